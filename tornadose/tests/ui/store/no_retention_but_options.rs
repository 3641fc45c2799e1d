use tornadose::prelude::*;

#[store(channel = "ticks")]
#[derive(Serialize)]
struct Tick(f64);

fn main() {}
