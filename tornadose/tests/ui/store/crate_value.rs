use tornadose::prelude::*;

#[store(latest, crate = "tornadose")]
#[derive(Serialize)]
struct Tick(f64);

fn main() {}
