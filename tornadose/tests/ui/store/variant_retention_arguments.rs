use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
enum Room {
    #[latest(10)]
    Said(String),
}

fn main() {}
