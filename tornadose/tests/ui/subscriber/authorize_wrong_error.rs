use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick, authorize = Self::allowed)]
struct Ticks;

impl Ticks {
    async fn allowed(&self) -> bool {
        true
    }
}

fn main() {}
