use tornadose::prelude::*;

struct Line {
    room: String,
}

#[subscriber(sse, store = Line, authorize = public, filter = Self::wanted)]
struct Room {
    #[key]
    room: String,
}

impl Room {
    fn wanted(&self, line: &Line) -> bool {
        line.room == self.room
    }
}

fn main() {}
