use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[store(latest)]
#[derive(Serialize)]
struct Tock(f64);

#[subscriber(sse, store = Tick, opened = not_async)]
struct A;

fn not_async(_: &mut A, _: &Store<Tick>) {}

#[subscriber(sse, store = Tick, opened = without_store)]
struct B;

async fn without_store(_: &mut B) {}

#[subscriber(sse, store = Tick, opened = self_by_value)]
struct C;

async fn self_by_value(_: C, _: &Store<Tick>) {}

#[subscriber(sse, store = Tick, opened = another_store)]
struct D;

async fn another_store(_: &mut D, _: &Store<Tock>) {}

fn main() {}
