use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Quote {
    #[key]
    symbol: String,
}

#[subscriber(sse, store = Quote, all_keys)]
struct A {
    #[query(separator)]
    tags: Vec<String>,
}

#[subscriber(sse, store = Quote, all_keys)]
struct B {
    #[query(separator = 1)]
    tags: Vec<String>,
}

#[subscriber(sse, store = Quote, all_keys)]
struct C {
    #[query(separator = "")]
    tags: Vec<String>,
}

#[subscriber(sse, store = Quote, all_keys)]
struct D {
    #[query(split = ",")]
    tags: Vec<String>,
}

#[subscriber(sse, store = Quote, all_keys)]
struct E {
    #[query(separator = ",", "tag")]
    tags: Vec<String>,
}

#[subscriber(sse, store = Quote, all_keys)]
struct F {
    #[query(separator = ",")]
    tags: Option<u64>,
}

#[subscriber(sse, store = Quote, all_keys)]
struct G {
    #[query("tag", separator = ",")]
    tags: Vec<Vec<u8>>,
}

#[subscriber(sse, store = Quote, all_keys)]
struct H {
    #[header(separator = ",")]
    tags: String,
}

fn main() {}
