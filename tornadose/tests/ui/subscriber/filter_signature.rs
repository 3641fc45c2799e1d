use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick, filter = Self::wanted)]
struct Ticks;

impl Ticks {
    fn wanted(&self, tick: f64) -> bool {
        tick > 0.0
    }
}

fn main() {}
