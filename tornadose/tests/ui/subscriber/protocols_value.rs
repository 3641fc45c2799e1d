use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(ws, store = Tick, protocols = "v1")]
struct A;

#[subscriber(ws, store = Tick, protocols = [])]
struct B;

#[subscriber(ws, store = Tick, protocols = ["v1", "chat v2", ""])]
struct C;

#[subscriber(ws, store = Tick, protocols = ["v1", "v1"])]
struct D;

fn main() {}
