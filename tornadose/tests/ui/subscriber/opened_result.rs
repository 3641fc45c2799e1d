use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick, opened = Self::joined)]
struct Ticks;

impl Ticks {
    async fn joined(&mut self, _: &Store<Tick>) -> Result<(), String> {
        Ok(())
    }
}

fn main() {}
