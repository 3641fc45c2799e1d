use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(
    sse,
    store = Tick,
    origins = [
        "app.example",
        "https://app.example/",
        "*",
        "null",
    ],
)]
struct Ticks;

fn main() {}
