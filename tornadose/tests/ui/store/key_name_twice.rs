use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Quote {
    #[key]
    symbol: String,
    #[key]
    symbol: u32,
}

fn main() {}
