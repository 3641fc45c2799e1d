use tornadose::prelude::*;

#[store(latest = true)]
#[derive(Serialize)]
struct Tick(f64);

fn main() {}
