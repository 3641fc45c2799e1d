use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick)]
struct Ticks {
    #[state]
    #[query]
    a: u8,
    #[connection]
    #[state]
    b: ConnectionId,
    #[store_handle]
    #[depot]
    c: Store<Tick>,
}

fn main() {}
