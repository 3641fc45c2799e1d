use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
enum Room {
    #[latest]
    #[queue]
    Said(String),
}

fn main() {}
