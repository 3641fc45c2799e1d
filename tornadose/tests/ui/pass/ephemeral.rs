//! Ephemeral variants beside others and alone, with keys, and in the long form.

#![deny(warnings)]

use tornadose::prelude::*;

#[store(queue, capacity = 10, ttl = "1h")]
#[derive(Serialize)]
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
    #[tornadose(ephemeral)]
    Typing {
        #[key]
        room: u32,
    },
}

#[store(latest)]
#[derive(Serialize)]
enum Canvas {
    #[ephemeral]
    Moved(u32, u32),
    #[ephemeral]
    Left,
}

#[subscriber(sse, ws, store = Room, authorize = public, throttle = "1s")]
struct RoomFeed {
    #[key]
    #[query]
    room: u32,
}

pub fn main() {
    assert!(Room::HAS_EPHEMERAL && Room::HAS_QUEUE && Room::HAS_LATEST);
    assert!(Canvas::HAS_EPHEMERAL && !Canvas::HAS_QUEUE && !Canvas::HAS_LATEST);
    assert_eq!(Room::Typing { room: 1 }.retention(), tornadose::Retention::Ephemeral);
    assert_eq!(Canvas::Left.retention(), tornadose::Retention::Ephemeral);
    let store = Store::new();
    for message in [Room::Said { room: 1, text: "hi".into() }, Room::Topic { room: 1, text: "cats".into() }] {
        store.try_submit(message).unwrap();
    }
    Store::new().try_submit(Canvas::Moved(1, 2)).unwrap();
    drop(RoomFeed::handler(&store));
}
