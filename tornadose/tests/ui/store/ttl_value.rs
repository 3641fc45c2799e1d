use tornadose::prelude::*;

#[store(queue, ttl = 3600)]
#[derive(Serialize)]
struct Number(f64);

#[store(queue, ttl = "1d")]
#[derive(Serialize)]
struct Day(f64);

#[store(queue, ttl = "0s")]
#[derive(Serialize)]
struct Zero(f64);

#[subscriber(sse, store = Number, ttl = "1h")]
struct Elsewhere;

fn main() {}
