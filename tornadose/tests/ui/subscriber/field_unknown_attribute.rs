use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick)]
struct Ticks {
    /// A misspelt source.
    #[querry("x")]
    a: u8,
    #[cfg(all())]
    #[extension]
    b: u8,
    #[json(c)]
    #[allow(unused)]
    c: u8,
    #[query]
    #[qeury]
    d: u8,
}

fn main() {}
