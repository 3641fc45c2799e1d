use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick, load = Self::load)]
struct Ticks;

#[subscriber(sse, store = Tick, load = Self::stored)]
struct Tocks;

#[subscriber(sse, store = Tick, load = Subscriber::load)]
struct Clocks;

#[subscriber(sse, store = Tick, load = "stored")]
struct Texts;

fn main() {}
