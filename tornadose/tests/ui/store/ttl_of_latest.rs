use tornadose::prelude::*;

#[store(latest, ttl = "30s")]
#[derive(Serialize)]
struct Tick(f64);

fn main() {}
