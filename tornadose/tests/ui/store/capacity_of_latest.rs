use tornadose::prelude::*;

#[store(latest, capacity = 10)]
#[derive(Serialize)]
struct Tick(f64);

#[store(queue, capacity = 10)]
#[derive(Serialize)]
enum Quote {
    #[latest]
    Bid(f64),
}

fn main() {}
