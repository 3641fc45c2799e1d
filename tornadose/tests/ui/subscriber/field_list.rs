use std::collections::HashMap;

use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick)]
struct Ticks {
    #[header]
    a: Vec<String>,
    #[cookie]
    b: Option<Vec<u8>>,
    #[param]
    c: [u8; 2],
    #[query]
    d: HashMap<String, String>,
    #[query]
    e: Vec<Vec<u8>>,
    #[query]
    f: &'static str,
}

fn main() {}
