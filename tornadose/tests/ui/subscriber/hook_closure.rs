use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick, filter = |_, tick| tick.0 > 0.0)]
struct Ticks;

fn main() {}
