use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
struct Line {
    #[key]
    room: String,
    text: String,
}

#[subscriber(sse, store = Line, all_keys)]
struct Room {
    #[key]
    room: String,
}

fn main() {}
