use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Quote {
    #[key]
    symbol: String,
}

#[subscriber(ws, store = Quote, watch = public, all_keys)]
struct All;

#[subscriber(ws, store = Quote, watch = public, load = Self::stored)]
struct Loaded;

impl Loaded {
    async fn stored(&self, _: &Store<Quote>) -> Result<Vec<Quote>, StatusError> {
        Ok(Vec::new())
    }
}

fn main() {}
