use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick, filter = Subscriber::filter)]
struct Ticks;

fn main() {}
