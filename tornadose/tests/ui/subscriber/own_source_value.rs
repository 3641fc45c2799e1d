use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick)]
struct Ticks {
    #[state(7)]
    a: u8,
    #[connection("id")]
    b: ConnectionId,
    #[store_handle = "store"]
    c: Store<Tick>,
    #[ticket(u64)]
    h: u64,
    #[depot(Account)]
    d: u64,
    #[depot(Account, "id")]
    e: u64,
    #[depot(Account, id, 7)]
    f: u64,
    #[depot = Account]
    g: u64,
}

fn main() {}
