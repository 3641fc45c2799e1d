//! The transcripts of `docs/protocol.md`: the page shows exactly what clients receive.

use std::fs;

use tornadose::prelude::*;
use tornadose_test::{Harness, Recording};

use super::harness::{harness, secs};

#[store(queue, capacity = 2, finish)]
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum RoomEvent {
    Said {
        #[key]
        room: String,
        text: String,
    },
}

#[subscriber(sse, ws, store = RoomEvent, authorize = public, receive = Self::received)]
struct RoomFeed {
    #[key]
    room: String,
}

#[derive(Deserialize)]
struct Say {
    text: String,
}

impl RoomFeed {
    /// Replies with the length of the text.
    async fn received(&mut self, say: Say, store: &Store<RoomEvent>) -> Result<usize, String> {
        if say.text.is_empty() {
            return Err("say something".into());
        }
        let sent = store.submit(said(&self.room, &say.text)).await;
        sent.map(|_| say.text.len()).map_err(|error| error.to_string())
    }
}

#[store(latest, ttl = "10s")]
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Members {
    Here {
        #[key]
        room: String,
        #[slot]
        user: String,
    },
}

#[subscriber(sse, ws, store = Members, authorize = public)]
struct Room {
    #[key]
    room: String,
}

/// The same, with a room that is kept elsewhere.
#[subscriber(sse, ws, store = RoomEvent, authorize = public, load = Self::stored)]
struct StoredRoom {
    #[key]
    room: String,
}

impl StoredRoom {
    async fn stored(&self, _: &Store<RoomEvent>) -> Result<Vec<RoomEvent>, StatusError> {
        Ok(vec![said(&self.room, "zero"), said(&self.room, "one")])
    }
}

/// Rooms that the client chooses while it is connected.
#[subscriber(ws, store = RoomEvent, replay = 1, watch = may_watch)]
struct Rooms;

async fn may_watch(_: &Rooms, key: &RoomEventKey, _: &Store<RoomEvent>) -> Result<(), &'static str> {
    if key.room == "attic" { Err("the attic is private") } else { Ok(()) }
}

fn said(room: &str, text: &str) -> RoomEvent {
    RoomEvent::Said { room: room.into(), text: text.into() }
}

fn rooms() -> (Store<RoomEvent>, Harness) {
    let store = Store::new();
    let app = harness(Router::with_path("rooms/{room}").get(RoomFeed::handler(&store)));
    (store, app)
}

/// Compares a transcript with the page, but for the header that tells a detached stream from others.
fn check(recording: &Recording) {
    let transcript = recording.wire();
    let lines = transcript.lines().filter(|line| !line.ends_with("~ connection: close"));
    let shown: String = lines.flat_map(|line| [line, "\n"]).collect();
    // A package of the crate has no `docs`.
    let Ok(page) = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/protocol.md")) else { return };
    assert!(page.contains(&format!("```text\n{shown}```\n")), "docs/protocol.md does not have this:\n{shown}");
}

#[tornadose_test::test]
async fn the_page_shows_a_stream_of_server_sent_events() {
    let (store, app) = rooms();
    let ada = app.client("ada").once().sse("/rooms/1").await;
    store.submit(said("1", "hi")).await.unwrap();
    app.advance(secs(15)).await;
    store.submit(said("2", "of another room")).await.unwrap();
    app.advance(secs(15)).await;
    ada.skip(1).await;
    store.close();
    app.settle().await;
    let bob = app.client("bob").once().sse("/rooms/1").await;
    ada.closed().await;
    bob.closed().await;
    check(&app.recording());
}

#[tornadose_test::test]
async fn the_page_shows_how_a_client_resumes() {
    let (store, app) = rooms();
    let ada = app.client("ada").once().sse("/rooms/1").await;
    for text in ["one", "two"] {
        store.submit(said("1", text)).await.unwrap();
    }
    ada.skip(2).await;
    ada.close().await;
    let id = ada.last_event_id().unwrap();
    store.submit(said("1", "three")).await.unwrap();
    let known = app.client("known").last_event_id(&id).sse("/rooms/1").await;
    known.skip(1).await;
    known.close().await;
    for text in ["four", "five"] {
        store.submit(said("1", text)).await.unwrap();
    }
    let late = app.client("late").last_event_id(&id).sse("/rooms/1").await;
    late.skip(3).await;
    late.close().await;
    let other = app.client("other").sse("/rooms/1?last_event_id=unknown").await;
    other.skip(3).await;
    other.close().await;
    check(&app.recording());
}

#[tornadose_test::test]
async fn the_page_shows_how_a_stream_finishes() {
    let (store, app) = rooms();
    let ada = app.client("ada").sse("/rooms/1").await;
    let bob = app.client("bob").ws("/rooms/1").await;
    store.submit(said("1", "bye")).await.unwrap();
    store.finish(&RoomEventKey { room: "1".into() }).await.unwrap();
    for client in [&ada, &*bob] {
        client.skip(1).await;
        client.finished().await;
    }
    app.advance(secs(7)).await;
    assert_eq!(ada.status(), 204);
    check(&app.recording());
}

#[tornadose_test::test]
async fn the_page_shows_a_value_that_expires() {
    let store = Store::new();
    let app = harness(Router::with_path("members/{room}").get(Room::handler(&store)));
    let ada = app.client("ada").sse("/members/1").await;
    let bob = app.client("bob").ws("/members/1").await;
    store.submit(Members::Here { room: "1".into(), user: "ada".into() }).await.unwrap();
    app.advance(secs(10)).await;
    for client in [&ada, &*bob] {
        client.skip(2).await;
    }
    check(&app.recording());
}

#[tornadose_test::test]
async fn the_page_shows_a_websocket() {
    let (store, app) = rooms();
    let ada = app.client("ada").ws("/rooms/1").await;
    ada.send_text(r#"{"text":"hi"}"#).await;
    ada.send_text(r#"{"text":""}"#).await;
    ada.skip(2).await;
    app.advance(secs(15)).await;
    store.close();
    app.settle().await;
    let bob = app.client("bob").ws("/rooms/1").await;
    assert_eq!(bob.status(), 503);
    ada.closed().await;
    check(&app.recording());
}

#[tornadose_test::test]
async fn the_page_shows_asks() {
    let (_, app) = rooms();
    let ada = app.client("ada").ws("/rooms/1").await;
    ada.send_text(r#"{"tornadose:ask":1,"data":{"text":"hi"}}"#).await;
    ada.send_text(r#"{"tornadose:ask":2,"data":{"text":""}}"#).await;
    ada.send_text(r#"{"tornadose:ask":"3","data":{"text":"hi"}}"#).await;
    ada.send_text(r#"{"tornadose:dance":true}"#).await;
    ada.skip(5).await;
    check(&app.recording());
}

#[tornadose_test::test]
async fn the_page_shows_how_a_client_is_loaded() {
    let store = Store::new();
    let app = harness(Router::with_path("stored/{room}").get(StoredRoom::handler(&store)));
    let ada = app.client("ada").once().sse("/stored/1").await;
    let bob = app.client("bob").ws("/stored/1").await;
    store.submit(said("1", "two")).await.unwrap();
    for client in [&ada, &*bob] {
        client.skip(4).await;
    }
    ada.close().await;
    let id = ada.last_event_id().unwrap();
    for text in ["three", "four", "five"] {
        store.submit(said("1", text)).await.unwrap();
    }
    bob.skip(6).await;
    let late = app.client("late").last_event_id(&id).once().sse("/stored/1").await;
    late.skip(6).await;
    late.close().await;
    tornadose_test::Client::close(&bob).await;
    check(&app.recording());
}

#[tornadose_test::test]
async fn the_page_shows_keys_that_are_watched() {
    let store = Store::new();
    let app = harness(Router::with_path("rooms").get(Rooms::handler(&store)));
    store.submit(said("1", "hi")).await.unwrap();
    let ada = app.client("ada").once().ws("/rooms").await;
    store.submit(said("2", "hello")).await.unwrap();
    ada.send(&serde_json::json!({"tornadose:watch": ["1", "attic"]})).await;
    store.submit(said("1", "how are you?")).await.unwrap();
    let since = store.head().to_string();
    ada.unwatch("1").await;
    store.submit(said("1", "well")).await.unwrap();
    ada.watch_since("1", since).await;
    ada.watch_since("2", "unknown").await;
    ada.close().await;
    ada.drain_events().await;
    check(&app.recording());
}
