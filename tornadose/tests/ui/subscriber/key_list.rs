use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Quote {
    #[key]
    symbol: String,
}

#[subscriber(sse, store = Quote, authorize = public)]
struct Quotes {
    #[key]
    #[query]
    symbol: Vec<String>,
}

fn main() {}
