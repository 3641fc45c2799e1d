use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
#[key]
struct Line {
    room: String,
}

fn main() {}
