use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
struct Line {
    #[key]
    room: String,
}

#[subscriber(sse, wss, stor = Line, authorise = public, receive = Self::received)]
struct Room {
    #[key]
    room: String,
}

fn main() {}
