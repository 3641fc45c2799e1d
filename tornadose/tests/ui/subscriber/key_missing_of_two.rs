use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
struct Line {
    #[key]
    tenant: String,
    #[key]
    room: String,
    text: String,
}

#[subscriber(sse, store = Line, authorize = public)]
struct Room {
    #[key]
    room: String,
}

#[subscriber(sse, store = Line, authorize = public)]
struct Floor {
    #[key]
    tenant: String,
    #[key]
    floor: String,
    #[key]
    room: String,
}

fn main() {}
