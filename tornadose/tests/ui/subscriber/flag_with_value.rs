use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse = true, store = Tick, all_keys = yes)]
struct Ticks;

fn main() {}
