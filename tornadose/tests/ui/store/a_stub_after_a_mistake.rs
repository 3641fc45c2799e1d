use tornadose::prelude::*;

#[store(queue, capacity = 0)]
#[derive(Serialize)]
struct Line {
    #[key]
    room: String,
}

// Nothing below is a mistake, and nothing below is reported.
#[subscriber(sse, store = Line, authorize = public)]
struct Room {
    #[key]
    room: String,
}

fn main() {
    let store = Store::new();
    let _room = Room::handler(&store);
    let _key = Line { room: "1".into() }.key() == LineKey { room: "1".into() };
}
