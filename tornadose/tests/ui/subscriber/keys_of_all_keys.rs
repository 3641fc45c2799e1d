use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Quote {
    #[key]
    symbol: String,
}

#[subscriber(sse, store = Quote, all_keys)]
struct Quotes {
    #[keys(symbol)]
    #[query]
    symbols: Vec<String>,
}

fn main() {}
