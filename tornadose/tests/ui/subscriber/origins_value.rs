use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick, origins = "https://app.example")]
struct A;

#[subscriber(sse, store = Tick, origins = [])]
struct B;

#[subscriber(sse, store = Tick, origins = all)]
struct C;

#[subscriber(sse, store = Tick, origins = ["https://app.example", app])]
struct D;

#[subscriber(sse, store = Tick, origins = ["https://app.example", "https://app.example"])]
struct E;

fn main() {}
