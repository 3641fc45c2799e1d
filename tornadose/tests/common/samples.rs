//! Two sample stores: a ticker of latest values, and rooms with queued messages and a latest topic.

use tornadose::prelude::*;
use tornadose_test::Harness;

use super::harness::harness;

#[store(latest)]
#[derive(Serialize)]
pub(crate) struct Tick(pub(crate) f64);

#[subscriber(sse, ws, store = Tick)]
pub(crate) struct Ticks;

#[store(queue, capacity = 4)]
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Room {
    Said {
        #[key]
        room: String,
        text: String,
    },
    #[latest]
    Topic {
        #[key]
        room: String,
        topic: String,
    },
}

#[subscriber(sse, ws, store = Room, authorize = public, replay = 2)]
pub(crate) struct RoomFeed {
    #[key]
    room: String,
}

pub(crate) fn said(room: &str, text: &str) -> Room {
    Room::Said { room: room.into(), text: text.into() }
}

pub(crate) fn topic(room: &str, topic: &str) -> Room {
    Room::Topic { room: room.into(), topic: topic.into() }
}

pub(crate) fn ticker() -> (Store<Tick>, Harness) {
    let store = Store::new();
    let app = harness(Router::with_path("ticks").get(Ticks::handler(&store)));
    (store, app)
}

pub(crate) fn rooms() -> (Store<Room>, Harness) {
    let store = Store::new();
    let app = harness(Router::with_path("rooms/{room}").get(RoomFeed::handler(&store)));
    (store, app)
}
