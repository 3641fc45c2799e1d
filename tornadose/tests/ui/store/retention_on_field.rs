use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
struct Line {
    #[latest]
    text: String,
}

fn main() {}
