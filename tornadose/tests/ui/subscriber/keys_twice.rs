use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Quote {
    #[key]
    symbol: String,
}

#[subscriber(sse, store = Quote, authorize = public)]
struct A {
    #[keys(symbol)]
    #[keys(symbol)]
    #[query]
    symbols: Vec<String>,
}

#[subscriber(sse, store = Quote, authorize = public)]
struct B {
    #[keys(symbol)]
    #[query]
    symbols: Vec<String>,
    #[keys(symbol)]
    #[depot]
    others: Vec<String>,
}

#[subscriber(sse, store = Quote, authorize = public)]
struct C {
    #[key]
    #[keys(symbol)]
    #[query]
    symbol: Vec<String>,
}

#[subscriber(sse, store = Quote, authorize = public)]
struct D {
    #[key]
    symbol: String,
    #[keys(symbol)]
    #[query]
    symbols: Vec<String>,
}

fn main() {}
