use tornadose::prelude::*;

#[store(queue, ttl = "1h")]
#[derive(Serialize)]
enum Gauge {
    #[latest(ttl = "30s")]
    Value(f64),
}

#[store(latest, ttl = "30s")]
#[derive(Serialize)]
enum Line {
    #[queue]
    Said(String),
}

fn main() {}
