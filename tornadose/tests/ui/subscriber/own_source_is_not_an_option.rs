use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick, state, connection, store_handle)]
struct Ticks;

#[subscriber(sse, store = Tick, open = Self::joined, close = Self::left)]
struct Tocks;

fn main() {}
