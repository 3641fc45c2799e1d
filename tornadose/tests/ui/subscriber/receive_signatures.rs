use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[store(latest)]
#[derive(Serialize)]
struct Tock(f64);

#[subscriber(ws, store = Tick, receive = not_async)]
struct A;

fn not_async(_: &mut A, _: u8, _: &Store<Tick>) {}

#[subscriber(ws, store = Tick, receive = wrong_order)]
struct B;

async fn wrong_order(_: &mut B, _: &Store<Tick>, _: u8) {}

#[subscriber(ws, store = Tick, receive = store_by_value)]
struct C;

async fn store_by_value(_: &mut C, _: u8, _: Store<Tick>) {}

#[subscriber(ws, store = Tick, receive = self_by_value)]
struct D;

async fn self_by_value(_: D, _: u8, _: &Store<Tick>) {}

#[subscriber(ws, store = Tick, receive = another_store)]
struct E;

async fn another_store(_: &mut E, _: u8, _: &Store<Tock>) {}

fn main() {}
