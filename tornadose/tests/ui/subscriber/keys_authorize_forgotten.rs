use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Quote {
    #[key]
    symbol: String,
}

#[subscriber(sse, store = Quote)]
struct Quotes {
    #[keys(symbol)]
    #[query]
    symbols: Vec<String>,
}

// Needs no `authorize`.
#[subscriber(sse, store = Quote)]
struct Rows {
    #[keys(symbol)]
    #[depot]
    symbols: Vec<String>,
}

fn main() {}
