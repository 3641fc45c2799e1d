use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

struct Say;

#[subscriber(ws, store = Tick, receive = Self::received)]
struct Ticks;

impl Ticks {
    async fn received(&mut self, _: Say, _: &Store<Tick>) {}
}

fn main() {}
