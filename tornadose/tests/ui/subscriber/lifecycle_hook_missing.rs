use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick, opened = Self::opened, closed = Self::closed)]
struct Ticks;

#[subscriber(sse, store = Tick, opened = Self::joined, closed = Subscriber::closed)]
struct Tocks;

fn main() {}
