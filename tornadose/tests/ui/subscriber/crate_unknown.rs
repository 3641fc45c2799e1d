use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick, crate = kit)]
struct Ticks {
    #[param]
    of: u8,
    #[query("x")]
    since: Option<u64>,
}

fn main() {}
