use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Quote {
    #[key]
    symbol: String,
}

#[subscriber(sse, store = Quote, authorize = public)]
struct A {
    #[keys]
    #[query]
    symbol: Vec<String>,
}

#[subscriber(sse, store = Quote, authorize = public)]
struct B {
    #[keys("symbol")]
    #[query]
    symbols: Vec<String>,
}

#[subscriber(sse, store = Quote, authorize = public)]
struct C {
    #[keys()]
    #[query]
    symbols: Vec<String>,
}

#[subscriber(sse, store = Quote, authorize = public)]
struct D {
    #[keys(symbol, tenant)]
    #[query]
    symbols: Vec<String>,
}

fn main() {}
