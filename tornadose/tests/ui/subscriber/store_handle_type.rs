use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[store(latest)]
#[derive(Serialize)]
struct Tock(f64);

#[subscriber(sse, store = Tick)]
struct Ticks {
    #[store_handle]
    store: Store<Tock>,
}

#[subscriber(sse, store = Tick)]
struct Tocks {
    #[store_handle]
    store: u8,
}

fn main() {}
