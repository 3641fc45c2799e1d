use tornadose::prelude::*;

#[derive(Serialize, Deserialize, PartialEq, Eq, Hash)]
struct UserId(u64);

#[store(queue)]
#[derive(Serialize)]
struct Line(String);

#[subscriber(sse, store = Line)]
struct Lines {
    #[ticket]
    user: UserId,
}

fn main() {}
