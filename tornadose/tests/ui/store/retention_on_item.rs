use tornadose::prelude::*;

#[store(queue)]
#[latest]
#[derive(Serialize)]
struct Line {
    text: String,
}

fn main() {}
