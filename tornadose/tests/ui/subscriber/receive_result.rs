use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(ws, store = Tick, receive = Self::received)]
struct Ticks;

impl Ticks {
    async fn received(&mut self, _: String, _: &Store<Tick>) -> bool {
        true
    }
}

fn main() {}
