use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick, retry = off)]
struct A;

#[subscriber(sse, store = Tick, retry = "3")]
struct B;

#[subscriber(sse, store = Tick, retry = "0ms")]
struct C;

#[subscriber(sse, store = Tick, retry)]
struct D;

fn main() {}
