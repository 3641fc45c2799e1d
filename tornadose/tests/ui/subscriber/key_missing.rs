use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
struct Line {
    #[key]
    room: String,
    text: String,
}

#[subscriber(sse, store = Line)]
struct Room;

fn main() {}
