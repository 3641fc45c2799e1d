use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
enum Room {
    #[key]
    Joined { room: String },
    Said {
        #[key]
        room: String,
    },
}

fn main() {}
