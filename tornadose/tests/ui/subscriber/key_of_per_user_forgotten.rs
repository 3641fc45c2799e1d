use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
struct Notification {
    #[key]
    user: u64,
    title: String,
}

#[subscriber(sse, store = Notification)]
struct Inbox {
    #[query]
    user: u64,
}

fn main() {}
