use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick)]
struct Ticks {
    #[connection]
    id: String,
}

fn main() {}
