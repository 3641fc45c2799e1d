use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(ws, store = Tick, receive = Self::received)]
struct A;

impl A {
    async fn received(&mut self, _: &String, _: &Store<Tick>) {}
}

#[subscriber(ws, store = Tick, receive = Self::received)]
struct B;

impl B {
    async fn received(&mut self, _: &[u8], _: &Store<Tick>) {}
}

fn main() {}
