use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[store(latest)]
#[derive(Serialize)]
struct Tock(f64);

#[subscriber(sse, store = Tick, load = Self::another_message)]
struct A;

impl A {
    async fn another_message(&self, _: &Store<Tick>) -> Result<Vec<Tock>, StatusError> {
        Ok(Vec::new())
    }
}

#[subscriber(sse, store = Tick, load = Self::another_error)]
struct B;

impl B {
    async fn another_error(&self, _: &Store<Tick>) -> Result<Vec<Tick>, String> {
        Ok(Vec::new())
    }
}

#[subscriber(sse, store = Tick, load = Self::one_message)]
struct C;

impl C {
    async fn one_message(&self, _: &Store<Tick>) -> Result<Tick, StatusError> {
        Ok(Tick(1.0))
    }
}

#[subscriber(sse, store = Tick, load = Self::no_result)]
struct D;

impl D {
    async fn no_result(&self, _: &Store<Tick>) -> Vec<Tick> {
        Vec::new()
    }
}

fn main() {}
