use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(store = Tick)]
struct Ticks;

fn main() {}
