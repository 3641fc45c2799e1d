use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Quote {
    #[key]
    symbol: String,
}

#[subscriber(ws, store = Quote, watch = public, load = without_keys)]
struct A;

async fn without_keys(_: &A, _: &Store<Quote>) -> Result<Vec<Quote>, StatusError> {
    Ok(Vec::new())
}

#[subscriber(ws, store = Quote, watch = public, load = not_async)]
struct B;

fn not_async(_: &B, _: &[QuoteKey], _: &Store<Quote>) -> Result<Vec<Quote>, StatusError> {
    Ok(Vec::new())
}

#[subscriber(ws, store = Quote, watch = public, load = one_key)]
struct C;

async fn one_key(_: &C, _: &QuoteKey, _: &Store<Quote>) -> Result<Vec<Quote>, StatusError> {
    Ok(Vec::new())
}

#[subscriber(ws, store = Quote, watch = public, load = Self::load_keys)]
struct D;

#[subscriber(ws, store = Quote, watch = public, load = Self::load)]
struct F;

#[subscriber(ws, store = Quote, authorize = public, load = Self::stored)]
struct E {
    #[key]
    symbol: String,
}

impl E {
    async fn stored(&self, _: &[QuoteKey], _: &Store<Quote>) -> Result<Vec<Quote>, StatusError> {
        Ok(Vec::new())
    }
}

fn main() {}
