use tornadose::prelude::*;

#[store(l)]
#[derive(Serialize)]
struct A(f64);

#[store(queue, ca)]
#[derive(Serialize)]
struct B(f64);

#[store(queue, capacity =)]
#[derive(Serialize)]
struct C(f64);

#[store(queue, capacity: 10)]
#[derive(Serialize)]
struct D(f64);

#[store(queue, capacity 10)]
#[derive(Serialize)]
struct E(f64);

#[store(=)]
#[derive(Serialize)]
struct F(f64);

fn main() {}
