use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[store(latest)]
#[derive(Serialize)]
struct Tock(f64);

#[subscriber(sse, store = Tick, closed = not_async)]
struct A;

fn not_async(_: A, _: &Store<Tick>) {}

#[subscriber(sse, store = Tick, closed = by_reference)]
struct B;

async fn by_reference(_: &mut B, _: &Store<Tick>) {}

#[subscriber(sse, store = Tick, closed = returns_a_result)]
struct C;

async fn returns_a_result(_: C, _: &Store<Tick>) -> Result<(), Close> {
    Ok(())
}

#[subscriber(sse, store = Tick, closed = another_store)]
struct D;

async fn another_store(_: D, _: &Store<Tock>) {}

fn main() {}
