use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Quote {
    #[key]
    symbol: String,
}

#[subscriber(sse, store = Quote, authorize = public)]
struct Quotes {
    #[keys(symbl)]
    #[query]
    symbols: Vec<String>,
}

fn main() {}
