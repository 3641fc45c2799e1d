use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick, lag = drop)]
struct A;

#[subscriber(sse, store = Tick, lag = "skip")]
struct B;

#[subscriber(sse, store = Tick, lag)]
struct C;

fn main() {}
