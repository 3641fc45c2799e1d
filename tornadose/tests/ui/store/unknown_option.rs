use tornadose::prelude::*;

#[store(queue, capcity = 10)]
#[derive(Serialize)]
struct Tick(f64);

#[store(latset)]
#[derive(Serialize)]
struct Tock(f64);

#[store(queue, retain = 10)]
#[derive(Serialize)]
struct Tack(f64);

fn main() {}
