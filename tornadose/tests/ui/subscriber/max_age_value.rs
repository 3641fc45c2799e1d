use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick, max_age = 600)]
struct A;

#[subscriber(sse, store = Tick, max_age = "0m")]
struct B;

#[subscriber(sse, store = Tick, max_age = "8761h")]
struct C;

fn main() {}
