use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

struct Tock(f64);

#[subscriber(sse, store = Tock)]
struct Tocks;

fn main() {}
