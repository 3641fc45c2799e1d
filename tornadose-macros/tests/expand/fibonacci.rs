#[store(queue)]
#[derive(Serialize)]
struct Fibonacci {
    n: u32,
    value: u64,
}

#[subscriber(sse, store = Fibonacci)]
struct Numbers;
