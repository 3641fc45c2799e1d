use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick, replay = "all")]
struct A;

#[subscriber(sse, store = Tick, replay = 0)]
struct B;

#[subscriber(sse, store = Tick, replay = 99999999999999999999)]
struct C;

fn main() {}
