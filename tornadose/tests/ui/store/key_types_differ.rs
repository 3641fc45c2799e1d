use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
enum Room {
    Said {
        #[key]
        room: String,
    },
    Joined {
        #[key]
        room: u32,
    },
}

fn main() {}
