use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick, keep_alive = 15)]
struct A;

#[subscriber(sse, store = Tick, keep_alive = "15 s")]
struct B;

#[subscriber(sse, store = Tick, keep_alive = "0s")]
struct C;

#[subscriber(sse, store = Tick, keep_alive = on)]
struct D;

#[subscriber(sse, store = Tick, keep_alive = "99999999999999999999h")]
struct E;

fn main() {}
