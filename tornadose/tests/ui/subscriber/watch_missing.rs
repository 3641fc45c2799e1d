use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Quote {
    #[key]
    symbol: String,
}

#[subscriber(ws, store = Quote, watch = Self::watch)]
struct A;

#[subscriber(ws, store = Quote, watch = Self::may_watch)]
struct B;

fn main() {}
