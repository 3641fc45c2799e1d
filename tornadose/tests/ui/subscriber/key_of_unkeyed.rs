use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick, authorize = public)]
struct Ticks {
    #[key]
    room: String,
}

fn main() {}
