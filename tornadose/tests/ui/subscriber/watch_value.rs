use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Quote {
    #[key]
    symbol: String,
}

#[subscriber(ws, store = Quote, watch)]
struct A;

#[subscriber(ws, store = Quote, watch = "public")]
struct B;

#[subscriber(ws, store = Quote, watch = Subscriber::watch)]
struct C;

fn main() {}
