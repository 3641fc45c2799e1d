use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Quote {
    #[key]
    symbol: String,
}

#[subscriber(sse, store = Quote, authorize = public)]
struct Quotes {
    #[keys(symbol)]
    #[query]
    symbol: Option<String>,
}

fn main() {}
