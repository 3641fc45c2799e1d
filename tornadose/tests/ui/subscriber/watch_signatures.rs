use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Quote {
    #[key]
    symbol: String,
}

#[store(latest)]
#[derive(Serialize)]
struct Trade {
    #[key]
    symbol: String,
}

#[subscriber(ws, store = Quote, watch = not_async)]
struct A;

fn not_async(_: &A, _: &QuoteKey, _: &Store<Quote>) -> Result<(), String> {
    Ok(())
}

#[subscriber(ws, store = Quote, watch = without_key)]
struct B;

async fn without_key(_: &B, _: &Store<Quote>) -> Result<(), String> {
    Ok(())
}

#[subscriber(ws, store = Quote, watch = of_another_key)]
struct C;

async fn of_another_key(_: &C, _: &TradeKey, _: &Store<Quote>) -> Result<(), String> {
    Ok(())
}

fn main() {}
