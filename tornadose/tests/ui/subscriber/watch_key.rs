use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(ws, store = Tick, watch = public)]
struct Ticks;

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
struct Symbol(String);

#[store(latest)]
#[derive(Serialize)]
struct Quote {
    #[key]
    symbol: Symbol,
}

#[subscriber(ws, store = Quote, watch = public)]
struct Quotes;

fn main() {}
