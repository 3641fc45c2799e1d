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
        "https://App.example",
        "https://app.example:443",
        "*",
        "null",
    ],
)]
struct Ticks;

fn main() {}
