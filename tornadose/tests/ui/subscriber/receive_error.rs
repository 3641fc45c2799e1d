use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[derive(Serialize)]
struct Failed;

#[subscriber(ws, store = Tick, receive = Self::received)]
struct Ticks;

impl Ticks {
    async fn received(&mut self, _: String, _: &Store<Tick>) -> Result<u32, Failed> {
        Err(Failed)
    }
}

fn main() {}
