use tornadose::prelude::*;

#[derive(Serialize)]
struct Symbol(String);

#[store(latest)]
#[derive(Serialize)]
struct Quote {
    #[key]
    symbol: Symbol,
}

fn main() {}
