use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(ws, store = Tick, receive = Self::received)]
struct A;

impl A {
    async fn received(&mut self, text: impl Into<String>, _: &Store<Tick>) {
        drop(text.into());
    }
}

#[subscriber(ws, store = Tick, receive = Self::received)]
struct B;

impl B {
    async fn received<'a, T: Deserialize<'a>>(&mut self, text: T, _: &Store<Tick>) {
        drop(text);
    }
}

fn main() {}
