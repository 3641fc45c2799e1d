use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick, authorize = Self::allowed)]
struct A;

impl A {
    async fn allowed(self) -> Result<(), StatusError> {
        Ok(())
    }
}

#[subscriber(sse, store = Tick, authorize = Self::allowed)]
struct B;

impl B {
    async fn allowed(&self, _: &Store<Tick>) -> Result<(), StatusError> {
        Ok(())
    }
}

#[subscriber(sse, store = Tick, authorize = allowed)]
struct C;

async fn allowed() -> Result<(), StatusError> {
    Ok(())
}

#[subscriber(sse, store = Tick, authorize = Self::ALLOWED)]
struct D;

impl D {
    const ALLOWED: bool = true;
}

fn main() {}
