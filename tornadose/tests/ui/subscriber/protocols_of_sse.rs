use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick, protocols = ["v1"], max_message = "1KiB")]
struct Ticks;

fn main() {}
