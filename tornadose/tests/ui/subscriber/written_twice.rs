use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick)]
#[subscriber(ws, store = Tick)]
struct Ticks;

fn main() {}
