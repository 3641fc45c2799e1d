use tornadose::prelude::*;

#[store(latest, queue)]
#[derive(Serialize)]
struct Tick(f64);

fn main() {}
