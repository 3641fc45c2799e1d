use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick, capacity = 10)]
struct A;

#[subscriber(sse, store = Tick, latest)]
struct B;

#[subscriber(sse, store = Tick, query = "room")]
struct C;

fn main() {}
