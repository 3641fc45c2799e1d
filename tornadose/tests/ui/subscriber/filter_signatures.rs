use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick, filter = self_by_value)]
struct A;

fn self_by_value(_: A, _: &Tick) -> bool {
    true
}

#[subscriber(sse, store = Tick, filter = is_async)]
struct B;

async fn is_async(_: &B, _: &Tick) -> bool {
    true
}

#[subscriber(sse, store = Tick, filter = takes_mut)]
struct C;

fn takes_mut(_: &mut C, _: &Tick) -> bool {
    true
}

#[subscriber(sse, store = Tick, filter = returns_option)]
struct D;

fn returns_option(_: &D, _: &Tick) -> Option<bool> {
    None
}

#[subscriber(sse, store = Tick, filter = without_message)]
struct E;

fn without_message(_: &E) -> bool {
    true
}

fn main() {}
