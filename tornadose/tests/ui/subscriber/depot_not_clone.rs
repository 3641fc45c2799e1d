use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

struct User;

#[subscriber(sse, store = Tick)]
struct Ticks {
    #[depot]
    user: User,
}

fn main() {}
