//! Keys that are watched behind messages that their connection has yet to read.

use serde_json::Value;
use tornadose::backend::{BackendLink, Offset};
use tornadose::prelude::*;
use tornadose_test::{Harness, WsClient};

use super::harness::{harness, secs};
use super::link::{self, entry, loaded};

#[store(queue)]
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Note {
    Said {
        #[key]
        room: String,
        text: String,
    },
    #[ephemeral]
    Typing {
        #[key]
        room: String,
        user: String,
    },
}

/// `GET /notes`
#[subscriber(ws, store = Note, watch = Self::may_watch, filter = Self::shows)]
struct Notes;

impl Notes {
    /// Nothing is read while it runs.
    #[allow(clippy::unused_self, reason = "the shape of the hook")]
    async fn may_watch(&mut self, key: &NoteKey, _: &Store<Note>) -> Result<(), String> {
        if key.room == "slow" {
            tokio::time::sleep(secs(1)).await;
        }
        Ok(())
    }

    #[allow(clippy::unused_self, reason = "the shape of the hook")]
    fn shows(&self, note: &Note) -> bool {
        !matches!(note, Note::Said { text, .. } if text == "hidden")
    }
}

fn said(link: &BackendLink, seq: u64, room: &str, text: &str) {
    link.ingest(link::at(seq), entry(&format!(r#"{{"said":{{"room":"{room}","text":"{text}"}}}}"#)));
}

fn typing(link: &BackendLink, room: &str, user: &str) {
    link.ingest_ephemeral(entry(&format!(r#"{{"typing":{{"room":"{room}","user":"{user}"}}}}"#)));
}

/// A page that watches the room `hall`.
async fn page() -> (WsClient, Harness, BackendLink) {
    let (store, link) = loaded::<Note>(|link| {
        link.reset(link::EPOCH.parse().unwrap(), Offset::START);
        said(link, 1, "hall", "first");
    })
    .await;
    let app = harness(Router::with_path("notes").get(Notes::handler(&store)));
    let page = app.client("page").ws("/notes").await;
    page.watch("hall").await;
    assert_eq!(events(&page).await, ["tornadose:watching hall"]);
    (page, app, link)
}

/// What has come, by the names of its events, and its room, text or user.
async fn events(page: &WsClient) -> Vec<String> {
    let events = page.drain_events().await.into_iter();
    let line = |name: &str, data: &str| {
        let data: Value = serde_json::from_str(data).unwrap();
        let what = [&data["text"], &data["user"], &data["keys"][0]].into_iter().find_map(Value::as_str);
        format!("{name} {}", what.unwrap_or("nothing"))
    };
    events.map(|event| line(&event.name, &event.data)).collect()
}

#[tornadose_test::test]
async fn a_key_is_watched_after_a_message_that_the_filter_withholds() {
    let (page, app, link) = page().await;
    page.watch_since("slow", format!("{}-7.3", link::EPOCH)).await;
    said(&link, 2, "slow", "before");
    said(&link, 3, "hall", "hidden");
    app.advance(secs(1)).await;
    assert_eq!(events(&page).await, ["tornadose:watching slow"]);
    said(&link, 4, "slow", "after");
    assert_eq!(events(&page).await, ["said after"]);
}

#[tornadose_test::test]
async fn a_watched_key_takes_no_ephemeral_message_of_another_away() {
    let (page, app, link) = page().await;
    page.watch("slow").await;
    typing(&link, "hall", "ada");
    typing(&link, "slow", "bob");
    app.advance(secs(1)).await;
    assert_eq!(events(&page).await, ["typing ada", "tornadose:watching slow"]);
    typing(&link, "slow", "cyd");
    assert_eq!(events(&page).await, ["typing cyd"]);
}
