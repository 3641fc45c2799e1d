use tornadose::prelude::*;

#[store(latest)]
struct Tick(f64);

fn main() {}
