use tornadose::prelude::*;

#[store(queue capacity = 3)]
#[derive(Serialize)]
struct A(f64);

#[store(queue, = 3)]
#[derive(Serialize)]
struct B(f64);

#[store(queue, capacity(3))]
#[derive(Serialize)]
struct C(f64);

#[store(queue, capacity = 3 4)]
#[derive(Serialize)]
struct D(f64);

fn main() {}
