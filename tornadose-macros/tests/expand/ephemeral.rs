//! Messages of which nothing is kept.

use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Room {
    Said {
        #[key]
        room: u32,
        text: String,
    },
    #[latest]
    Topic {
        #[key]
        room: u32,
        text: String,
    },
    #[ephemeral]
    Typing {
        #[key]
        room: u32,
        user: String,
    },
}

#[store(latest)]
#[derive(Serialize)]
enum Canvas {
    #[ephemeral]
    Moved(u32, u32),
    #[tornadose(ephemeral)]
    Left,
}
