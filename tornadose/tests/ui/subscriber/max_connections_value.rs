use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick, max_connections = 0)]
struct A;

#[subscriber(sse, store = Tick, max_connections = "many")]
struct B;

#[subscriber(sse, store = Tick, max_connections = 4294967296)]
struct C;

fn main() {}
