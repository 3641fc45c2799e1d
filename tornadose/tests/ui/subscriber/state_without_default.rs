use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

struct Seen(u32);

#[subscriber(sse, store = Tick)]
struct Ticks {
    #[state]
    seen: Seen,
}

fn main() {}
