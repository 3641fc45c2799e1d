use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(ws, store = Tick, retry = "3s")]
struct Ticks;

fn main() {}
