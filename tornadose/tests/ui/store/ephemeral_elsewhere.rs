use tornadose::prelude::*;

#[store(queue)]
#[ephemeral]
#[derive(Serialize)]
struct Cursor {
    #[ephemeral]
    x: u32,
}

#[store(ephemeral)]
#[derive(Serialize)]
enum Canvas {
    Moved(u32),
}

fn main() {}
