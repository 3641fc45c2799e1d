use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(ws, store = Tick, receive = Self::received)]
struct A;

impl A {
    async fn received(&mut self, _: &str, _: &Store<Tick>) {}
}

fn main() {}
