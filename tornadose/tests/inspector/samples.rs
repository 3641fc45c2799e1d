//! Two stores of channels of the same name, an inspector that shows them, and a page that is told of them.

use std::fmt::Write;

use serde_json::{Value, json};
use tornadose::Keys;
use tornadose::prelude::*;
use tornadose_test::{Client, Event, Harness, Response};

use crate::harness::harness;

#[store(queue, capacity = 8, channel = "rooms")]
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

#[subscriber(sse, ws, store = Room, authorize = public, replay = 8)]
pub(crate) struct Feed {
    #[key]
    room: String,
}

/// All rooms.
pub(crate) struct House;

impl Subscriber for House {
    type Message = Room;

    fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> {
        Ok(Self)
    }
    fn keys(&self) -> Keys<RoomKey> {
        Keys::All
    }
}

#[store(latest, channel = "rooms")]
#[derive(Serialize)]
pub(crate) struct Tick(pub(crate) f64);

#[subscriber(sse, store = Tick)]
pub(crate) struct Ticks;

pub(crate) fn said(room: &str, text: &str) -> Room {
    Room::Said { room: room.into(), text: text.into() }
}

pub(crate) fn router(rooms: &Store<Room>, ticks: &Store<Tick>, inspector: Router) -> Router {
    Router::new()
        .push(Router::with_path("rooms/{room}").get(Feed::handler(rooms)))
        .push(Router::with_path("house").get(StreamHandler::<House>::new(rooms)))
        .push(Router::with_path("ticks").get(Ticks::handler(ticks)))
        .push(Router::with_path("a/inspector").push(inspector))
}

/// Serves two stores, both of a channel of the same name, and an inspector that shows them.
pub(crate) fn served() -> (Store<Room>, Store<Tick>, Harness) {
    let (rooms, ticks) = (Store::new(), Store::new());
    let inspector = tornadose::inspector().store(&rooms).store(&ticks).public().router();
    let app = harness(router(&rooms, &ticks, inspector));
    (rooms, ticks, app)
}

pub(crate) async fn open_page(app: &Harness) -> Client {
    app.client("page").lenient().sse("/a/inspector/events").await
}

/// The newest report of this name since the last look, and of this store.
pub(crate) async fn newest(page: &Client, name: &str, store: Option<usize>) -> Value {
    newest_of(&page.drain_events().await, name, store)
}

pub(crate) fn newest_of(events: &[Event], name: &str, store: Option<usize>) -> Value {
    let reports = events.iter().filter(|event| event.name == name);
    let reports: Vec<Value> = reports.map(|event| serde_json::from_str(&event.data).unwrap()).collect();
    let is_of = |report: &&Value| store.is_none_or(|store| report["store"] == store);
    reports.iter().rev().find(is_of).unwrap_or_else(|| panic!("no `{name}` among {events:?}")).clone()
}

/// What happened to readers since the last look.
pub(crate) async fn happened(page: &Client, name: &str) -> Vec<Value> {
    let events = page.drain_events().await;
    let reports = events.iter().filter(|event| event.name == name);
    reports.map(|event| serde_json::from_str(&event.data).unwrap()).collect()
}

pub(crate) fn tail_path(store: usize, key: &str) -> String {
    let mut path = format!("/a/inspector/tail/{store}?key=");
    for byte in key.bytes() {
        write!(path, "%{byte:02x}").unwrap();
    }
    path
}

pub(crate) async fn ask_to_disconnect(app: &Harness, store: usize, key: &Value) -> Response {
    let body = json!({ "store": store, "key": key }).to_string();
    app.client("operator").header("content-type", "application/json").post("/a/inspector/disconnect", body).await
}
