use tornadose::prelude::*;

mod messages {
    use super::*;

    #[store(latest)]
    #[derive(Serialize)]
    struct Tick(f64);
}

#[subscriber(sse, store = Tock, filter = Self::wanted)]
struct A;

impl A {
    fn wanted<T>(&self, _: &T) -> bool {
        true
    }
}

#[subscriber(ws, store = messages::Tick, all_keys)]
struct B;

fn main() {}
