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
    symbols: Vec<String>,
}

#[subscriber(sse, store = Quote, authorize = public)]
struct B {
    #[keys(symbol)]
    #[header("x-symbols")]
    symbols: Vec<String>,
}

#[subscriber(sse, store = Quote, authorize = public)]
struct C {
    #[keys(symbol)]
    #[param]
    symbols: Vec<String>,
}

fn main() {}
