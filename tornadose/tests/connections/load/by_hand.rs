//! `Subscriber::load` by hand.

use salvo::{Depot, Request, Router};
use tornadose::prelude::*;
use tornadose::subscriber::{KeyOf, Options, ParseKey, Transports};
use tornadose_test::assert_transcript;

use crate::connections::harness::harness;

#[store(queue)]
#[derive(Serialize)]
struct Line(String);

struct Lines;

impl Subscriber for Lines {
    type Message = Line;
    const OPTIONS: Options = Options::new().replay(5).max_loads(0);
    const LOADS: bool = true;

    fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> {
        Ok(Self)
    }
    fn keys(&self) -> Keys<KeyOf<Self>> {
        Keys::All
    }
    async fn load(&self, _: &Store<Line>) -> Result<Vec<Line>, StatusError> {
        Ok(vec![Line("stored".into())])
    }
}

#[tornadose_test::test]
async fn a_subscriber_by_hand_loads() {
    let store = Store::new();
    store.submit(Line("kept".into())).await.unwrap();
    let app = harness(Router::with_path("lines").get(StreamHandler::<Lines>::new(&store)));
    let ada = app.client("ada").sse("/lines").await;
    let bob = app.client("bob").ws("/lines").await;
    assert_transcript!(app, @r#"
    ada > GET /lines
    ada ~ open 200 text/event-stream
    ada < tornadose:reset {}
    ada < message "stored"
    ada < message #1 "kept"
    bob > GET /lines upgrade websocket
    bob ~ open 101
    bob < tornadose:reset {}
    bob < message "stored"
    bob < message #1 "kept"
    "#);
    drop((ada, bob));
}

/// Receives all keys, although its client could watch some.
struct AllNotes;

#[store(queue)]
#[derive(Serialize)]
struct Note {
    #[key]
    room: u32,
}

impl Subscriber for AllNotes {
    type Message = Note;
    const OPTIONS: Options = Options::new().transports(Transports::Both);
    const LOADS: bool = true;
    const WATCH: Option<ParseKey<NoteKey>> = Some(ParseKey::fields());

    fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> {
        Ok(Self)
    }
    fn keys(&self) -> Keys<NoteKey> {
        Keys::All
    }
    async fn load_keys(&self, keys: &[NoteKey], _: &Store<Note>) -> Result<Vec<Note>, StatusError> {
        assert!(keys.is_empty(), "all keys are to be loaded");
        Ok([1, 2].map(|room| Note { room }).into())
    }
}

#[tornadose_test::test]
async fn a_connection_with_all_keys_is_loaded_whole_where_keys_can_be_watched() {
    let app = harness(Router::with_path("notes").get(StreamHandler::<AllNotes>::new(&Store::new())));
    let ada = app.client("ada").sse("/notes").await;
    let bob = app.client("bob").ws("/notes").await;
    bob.watch(&2).await;
    assert_transcript!(app, @r#"
    ada > GET /notes
    ada ~ open 200 text/event-stream
    ada < tornadose:reset {}
    ada < message {"room":1}
    ada < message {"room":2}
    bob > GET /notes upgrade websocket
    bob ~ open 101
    bob < tornadose:reset {}
    bob < message {"room":1}
    bob < message {"room":2}
    bob > {"tornadose:watch":[2]}
    bob < tornadose:watching {"keys":[2]}
    "#);
    drop((ada, bob));
}
