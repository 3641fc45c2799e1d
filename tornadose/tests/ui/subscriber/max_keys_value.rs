use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Quote {
    #[key]
    symbol: String,
}

#[subscriber(sse, store = Quote, authorize = public, max_keys = 0)]
struct A {
    #[keys(symbol)]
    #[query]
    symbols: Vec<String>,
}

#[subscriber(sse, store = Quote, authorize = public, max_keys = "many")]
struct B {
    #[keys(symbol)]
    #[query]
    symbols: Vec<String>,
}

#[subscriber(sse, store = Quote, authorize = public, max_keys = off)]
struct C {
    #[keys(symbol)]
    #[query]
    symbols: Vec<String>,
}

fn main() {}
