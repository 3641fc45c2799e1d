use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick, lag = skip, lag = close)]
struct Ticks;

fn main() {}
