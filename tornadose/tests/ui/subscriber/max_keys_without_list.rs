use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Quote {
    #[key]
    symbol: String,
}

#[subscriber(sse, store = Quote, authorize = public, max_keys = 10)]
struct Quotes {
    #[key]
    symbol: String,
}

fn main() {}
