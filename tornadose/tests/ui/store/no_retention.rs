use tornadose::prelude::*;

#[store]
#[derive(Serialize)]
struct Tick(f64);

fn main() {}
