use tornadose::prelude::*;

#[store(latest, channel = ticks)]
#[derive(Serialize)]
struct A(f64);

#[store(latest, channel = "")]
#[derive(Serialize)]
struct B(f64);

fn main() {}
