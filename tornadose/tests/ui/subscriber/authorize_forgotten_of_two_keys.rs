use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
struct Line {
    #[key]
    tenant: String,
    #[key]
    room: String,
}

#[subscriber(sse, store = Line)]
struct Room {
    #[key]
    #[header]
    tenant: String,
    #[key]
    room: String,
}

fn main() {}
