use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse store = Tick)]
struct A;

#[subscriber(sse, , store = Tick)]
struct B;

#[subscriber(sse, store = Tick, filter = |tick| tick.0 > )]
struct C;

fn main() {}
