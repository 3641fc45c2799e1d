use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick, load = Self::stored, max_loads = 0)]
struct A;

#[subscriber(sse, store = Tick, load = Self::stored, max_loads = "4")]
struct B;

#[subscriber(sse, store = Tick, load = Self::stored, max_loads = all)]
struct C;

#[subscriber(sse, store = Tick, max_loads = 4)]
struct D;

fn main() {}
