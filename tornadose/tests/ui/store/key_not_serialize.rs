use tornadose::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Symbol(String);

#[store(latest)]
#[derive(Serialize)]
struct Quote {
    #[key]
    symbol: Symbol,
}

fn main() {}
