use tornadose::prelude::*;

#[store(queue, max_key = 1024)]
#[derive(Serialize)]
struct A(f64);

#[store(queue, max_key = "1MB")]
#[derive(Serialize)]
struct B(f64);

#[store(queue, max_key = "1 MiB")]
#[derive(Serialize)]
struct C(f64);

#[store(latest, max_key = "0KiB")]
#[derive(Serialize)]
struct D(f64);

#[store(latest, max_key = "99999999999GiB")]
#[derive(Serialize)]
struct E(f64);

#[store(latest, max_key)]
#[derive(Serialize)]
struct F(f64);

fn main() {}
