use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
struct Line {
    #[key(name = "room")]
    room: String,
}

fn main() {}
