use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick, throttle = 500)]
struct A;

#[subscriber(sse, store = Tick, throttle = "0ms")]
struct B;

#[subscriber(sse, store = Tick, throttle = "8761h")]
struct C;

fn main() {}
