use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

struct Account {
    id: u64,
    token: Token,
}

struct Token;

#[subscriber(sse, store = Tick)]
struct NoField {
    #[depot(Account, name)]
    name: String,
}

#[subscriber(sse, store = Tick)]
struct OtherType {
    #[depot(Account, id)]
    id: String,
}

#[subscriber(sse, store = Tick)]
struct NotClone {
    #[depot(Account, token)]
    token: Token,
}

fn main() {}
