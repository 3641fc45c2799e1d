use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(#[key] String, f64);

#[store(latest)]
#[derive(Serialize)]
enum Tock {
    Bid(#[key] String),
    Ask {
        #[key]
        symbol: String,
    },
}

fn main() {}
