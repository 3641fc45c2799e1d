use tornadose::prelude::*;

#[store(queue, capacity = 10, capacity = 20)]
#[derive(Serialize)]
struct Tick(f64);

fn main() {}
