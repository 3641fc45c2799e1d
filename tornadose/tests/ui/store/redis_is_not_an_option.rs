use tornadose::prelude::*;

#[store(redis)]
#[derive(Serialize)]
struct Tick(f64);

fn main() {}
