use tornadose::prelude::*;

#[store(queue, memory = 64)]
#[derive(Serialize)]
struct A(f64);

#[store(queue, memory = "64MB")]
#[derive(Serialize)]
struct B(f64);

#[store(queue, memory = "64 MiB")]
#[derive(Serialize)]
struct C(f64);

#[store(latest, memory = "0KiB")]
#[derive(Serialize)]
struct D(f64);

#[store(latest, memory = "99999999999GiB")]
#[derive(Serialize)]
struct E(f64);

#[store(latest, memory)]
#[derive(Serialize)]
struct F(f64);

fn main() {}
