use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
struct Line {
    #[key]
    room: String,
}

struct LineKey;

fn main() {}
