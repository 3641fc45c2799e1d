use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Quote {
    #[key]
    #[serde(rename = "s")]
    symbol: String,
}

#[subscriber(sse, store = Quote, authorize = public)]
struct Symbol {
    #[key]
    s: String,
}

fn main() {}
