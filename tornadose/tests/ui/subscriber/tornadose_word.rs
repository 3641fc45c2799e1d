use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick)]
struct Ticks {
    #[tornadose(pram)]
    #[query]
    a: u8,
    #[tornadose(query, header)]
    b: u8,
    #[tornadose(query("x", separator = 3))]
    c: u8,
    #[tornadose(latest)]
    #[query]
    d: u8,
    #[tornadose(nothing::like, this)]
    #[query]
    e: u8,
}

fn main() {}
