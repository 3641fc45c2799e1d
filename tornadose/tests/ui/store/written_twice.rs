use tornadose::prelude::*;

#[store(latest)]
#[store(queue)]
#[derive(Serialize)]
struct Tick(f64);

fn main() {}
