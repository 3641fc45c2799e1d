use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

enum Side {
    Bid,
}

#[subscriber(sse, store = Tick)]
struct Ticks {
    #[query]
    side: Option<Side>,
}

fn main() {}
