use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Quote {
    #[key]
    price: f64,
}

fn main() {}
