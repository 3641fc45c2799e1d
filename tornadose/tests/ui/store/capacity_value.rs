use tornadose::prelude::*;

#[store(queue, capacity = "10")]
#[derive(Serialize)]
struct A(f64);

#[store(queue, capacity)]
#[derive(Serialize)]
struct B(f64);

#[store(queue, capacity = 0)]
#[derive(Serialize)]
struct C(f64);

#[store(queue, capacity = )]
#[derive(Serialize)]
struct D(f64);

#[store(queue, capacity = -1)]
#[derive(Serialize)]
struct E(f64);

#[store(queue, capacity = 10u8)]
#[derive(Serialize)]
struct F(f64);

#[store(queue, capacity = 340282366920938463463374607431768211456)]
#[derive(Serialize)]
struct G(f64);

fn main() {}
