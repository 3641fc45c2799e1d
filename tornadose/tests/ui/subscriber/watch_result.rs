use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Quote {
    #[key]
    symbol: String,
}

#[subscriber(ws, store = Quote, watch = returns_bool)]
struct A;

async fn returns_bool(_: &A, _: &QuoteKey, _: &Store<Quote>) -> bool {
    true
}

struct NoText;

#[subscriber(ws, store = Quote, watch = without_display)]
struct B;

async fn without_display(_: &B, _: &QuoteKey, _: &Store<Quote>) -> Result<(), NoText> {
    Err(NoText)
}

fn main() {}
