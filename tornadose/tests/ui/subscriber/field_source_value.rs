use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick)]
struct Ticks {
    #[query(name)]
    a: String,
    #[query = "b"]
    b: String,
    #[header("not a header")]
    c: String,
    #[cookie("a;b")]
    d: String,
    #[param("{room}")]
    e: String,
    #[query("")]
    f: String,
    #[query]
    #[query("g")]
    g: String,
}

fn main() {}
