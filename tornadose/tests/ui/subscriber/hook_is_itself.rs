use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick, filter = Self::filter)]
struct A;

#[subscriber(sse, store = Tick, authorize = Self::authorize)]
struct B;

#[subscriber(ws, store = Tick, receive = Self::receive)]
struct C;

fn main() {}
