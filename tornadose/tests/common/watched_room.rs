//! The room that is watched by the tests of log events and of metrics.

use std::time::Duration;

use tornadose::prelude::*;
use tornadose_test::Harness;

use super::harness::harness;

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

#[derive(Deserialize)]
struct Order(String);

#[subscriber(sse, ws, store = Room, authorize = public, replay = 2, filter = Self::is_wanted, receive = Self::receive_order)]
pub(crate) struct Member {
    #[key]
    room: String,
}

impl Member {
    #[expect(clippy::unused_self, reason = "a filter takes the subscriber")]
    fn is_wanted(&self, message: &Room) -> bool {
        match message {
            Room::Said { text, .. } if text == "panic" => panic!("as asked"),
            Room::Said { text, .. } => text != "secret",
            Room::Topic { .. } => true,
        }
    }

    async fn receive_order(&mut self, Order(reason): Order, _: &Store<Room>) -> Result<(), Close> {
        Err(Close::new(CloseCode::literal::<4000>(), reason))
    }
}

pub(crate) fn said(text: &str) -> Room {
    Room::Said { room: "cellar".into(), text: text.into() }
}

pub(crate) fn topic(topic: &str) -> Room {
    Room::Topic { room: "cellar".into(), topic: topic.into() }
}

pub(crate) fn watched_room() -> (Store<Room>, Harness) {
    let store = Store::new();
    let app = harness(Router::with_path("rooms/{room}").get(Member::handler(&store)));
    (store, app)
}

/// A backend that ingests a few unreadable entries, disconnects and connects again.
pub(crate) struct ScriptedBackend;

impl tornadose::backend::Backend for ScriptedBackend {
    async fn run(self, link: tornadose::backend::BackendLink) -> Result<(), tornadose::backend::OpenError> {
        link.reset("aaaaaaaa".parse().unwrap(), tornadose::backend::Offset::START);
        for (seq, payload) in [(1, &b"{"[..]), (2, br#"{"txt":"secret"}"#), (3, b"\"\xff\""), (4, br#""hi""#)] {
            link.ingest(tornadose::backend::Offset::new(7, seq), tornadose::backend::IncomingEntry::new(payload));
            // In the minute after one is logged, others would only be counted.
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        link.skip_unreadable(tornadose::backend::Offset::new(7, 5), "no field `data`");
        link.caught_up();
        link.report_disconnected("a test");
        link.report_disconnected("again");
        link.caught_up();
        link.report_trimmed(Some(3));
        link.report_outage();
        std::future::pending().await
    }
}

#[store(queue)]
#[derive(Serialize, Deserialize)]
pub(crate) struct Note(pub(crate) String);
