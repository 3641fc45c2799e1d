use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
enum Room {
    Said {
        #[key]
        room: String,
    },
    Joined { room: String },
    Left {
        #[key]
        rom: String,
    },
    Muted {
        #[key]
        room: String,
        #[key]
        user: String,
    },
    Closed,
}

fn main() {}
