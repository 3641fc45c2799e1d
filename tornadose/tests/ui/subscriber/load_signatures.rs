use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[store(latest)]
#[derive(Serialize)]
struct Tock(f64);

#[subscriber(sse, store = Tick, load = not_async)]
struct A;

fn not_async(_: &A, _: &Store<Tick>) -> Result<Vec<Tick>, StatusError> {
    Ok(Vec::new())
}

#[subscriber(sse, store = Tick, load = without_store)]
struct B;

async fn without_store(_: &B) -> Result<Vec<Tick>, StatusError> {
    Ok(Vec::new())
}

#[subscriber(sse, store = Tick, load = by_mut)]
struct C;

async fn by_mut(_: &mut C, _: &Store<Tick>) -> Result<Vec<Tick>, StatusError> {
    Ok(Vec::new())
}

#[subscriber(sse, store = Tick, load = another_store)]
struct D;

async fn another_store(_: &D, _: &Store<Tock>) -> Result<Vec<Tick>, StatusError> {
    Ok(Vec::new())
}

fn main() {}
