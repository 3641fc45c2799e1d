use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick)]
struct Ticks {
    #[query]
    #[serde(default)]
    a: u32,
    #[query]
    #[serde(rename = "bee")]
    b: u32,
    #[query]
    #[serde(with = "hex")]
    c: String,
}

fn main() {}
