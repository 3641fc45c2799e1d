use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Quote {
    #[key]
    symbol: String,
}

#[subscriber(sse, store = Quote, authorize = public, keys = symbol)]
struct Quotes {
    #[key]
    symbol: String,
}

fn main() {}
