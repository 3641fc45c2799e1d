use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(ws, store = Tick, max_message = 65536)]
struct A;

#[subscriber(ws, store = Tick, max_message = "64KB")]
struct B;

#[subscriber(ws, store = Tick, max_message = "0KiB")]
struct C;

fn main() {}
