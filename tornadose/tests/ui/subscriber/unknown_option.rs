use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick, keepalive = "15s")]
struct Ticks;

#[subscriber(see, store = Tick)]
struct Tocks;

#[subscriber(sse, stor = Tick)]
struct Tacks;

#[subscriber(sse, store = Tick, mount = "/ticks")]
struct Tucks;

fn main() {}
