use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

struct Pong;

#[subscriber(ws, store = Tick, receive = Self::received)]
struct A;

impl A {
    async fn received(&mut self, _: String, _: &Store<Tick>) -> Pong {
        Pong
    }
}

#[subscriber(ws, store = Tick, receive = Self::received)]
struct B;

impl B {
    async fn received(&mut self, _: String, _: &Store<Tick>) -> Result<Pong, String> {
        Ok(Pong)
    }
}

fn main() {}
