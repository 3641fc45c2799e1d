//! How clients write the keys that they watch.

use salvo::http::StatusError;
use salvo::{Depot, Request, Router};
use serde_json::{Value, json};
use tornadose::prelude::*;
use tornadose::subscriber::{KeyOf, Options, ParseKey, Transports};
use tornadose::{EncodeError, Event, Retention, StreamHandler};
use tornadose_test::{WsClient, assert_transcript};

use super::harness::harness;

/// A text that is read in any case, and written in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
struct Token(String);

impl From<String> for Token {
    fn from(text: String) -> Self {
        Self(text.to_lowercase())
    }
}

impl From<Token> for String {
    fn from(token: Token) -> Self {
        token.0
    }
}

#[store(queue)]
#[derive(Serialize)]
struct Move {
    #[key]
    token: Token,
    step: u32,
}

#[subscriber(ws, store = Move, watch = public, replay = all)]
struct Moves;

#[tornadose_test::test]
async fn a_key_that_the_answers_would_write_otherwise_is_refused() {
    let store = Store::new();
    let app = harness(Router::with_path("moves").get(Moves::handler(&store)));
    store.submit(Move { token: Token("ab".into()), step: 1 }).await.unwrap();
    let page = app.client("page").ws("/moves").await;
    page.send(&json!({"tornadose:watch": ["AB", "ab"]})).await;
    page.unwatch("Ab").await;
    assert_transcript!(page, @r#"
    page > GET /moves upgrade websocket
    page ~ open 101
    page > {"tornadose:watch":["AB","ab"]}
    page < tornadose:error {"reason":"write this key as \"ab\"","key":"AB"}
    page < message at #1 of "ab" {"token":"ab","step":1}
    page < tornadose:watching {"keys":["ab"]}
    page > {"tornadose:unwatch":["Ab"]}
    page < tornadose:error {"reason":"write this key as \"ab\"","key":"Ab"}
    page < tornadose:unwatched {"keys":[]}
    "#);
}

/// A key by hand, with one field.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Place {
    hall: u32,
}

struct Visit(u32);

impl Message for Visit {
    type Key = Place;
    const CHANNEL: &'static str = "visits";

    fn key(&self) -> Place {
        Place { hall: self.0 }
    }
    fn retention(&self) -> Retention {
        Retention::Queue
    }
    fn event(&self) -> Result<Event, EncodeError> {
        Event::json(&self.0)
    }
}

struct Visits<const PANICS: bool>;

impl<const PANICS: bool> Subscriber for Visits<PANICS> {
    type Message = Visit;
    const OPTIONS: Options = Options::new().transports(Transports::Ws).replay(1);
    const WATCH: Option<ParseKey<Place>> =
        Some(if PANICS { ParseKey::new(|json| panic!("{json} as asked")) } else { ParseKey::json() });

    fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> {
        Ok(Self)
    }
    fn keys(&self) -> Keys<KeyOf<Self>> {
        Keys::Set(Vec::new())
    }
    async fn watch(&mut self, _: &Place, _: &Store<Visit>) -> Result<(), String> {
        Ok(())
    }
}

async fn frames(page: &WsClient) -> Vec<(String, Option<String>, Value)> {
    let events = page.drain_events().await.into_iter();
    events.map(|event| (event.name.clone(), event.key, serde_json::from_str(&event.data).unwrap())).collect()
}

#[tornadose_test::test]
async fn a_key_by_hand_is_answered_as_it_is_read() {
    let store = Store::new();
    let app = harness(Router::with_path("visits").get(StreamHandler::<Visits<false>>::new(&store)));
    store.submit(Visit(7)).await.unwrap();
    let page = app.client("page").ws("/visits").await;
    page.send_text(r#"{"tornadose:watch":[{ "hall": 7 },{"hall":7,"floor":1},8]}"#).await;
    page.unwatch(&json!({"hall": 7})).await;
    let (hall, long) = (json!({"hall": 7}), json!({"hall": 7, "floor": 1}));
    let error = |reason: &str, key| ("tornadose:error".to_string(), None, json!({"reason": reason, "key": key}));
    assert_eq!(
        frames(&page).await,
        [
            error(r#"write this key as {"hall":7}"#, long),
            error("this is not a key of these messages", json!(8)),
            ("message".into(), Some(hall.to_string()), json!(7)),
            ("tornadose:watching".into(), None, json!({"keys": [hall]})),
            ("tornadose:unwatched".into(), None, json!({"keys": [hall]})),
        ]
    );
}

#[tornadose_test::test]
async fn a_panic_of_what_reads_a_key_ends_the_connection() {
    let store = Store::new();
    let app = harness(Router::with_path("visits").get(StreamHandler::<Visits<true>>::new(&store)));
    for control in ["tornadose:watch", "tornadose:unwatch"] {
        let page = app.client("page").ws("/visits").await;
        page.send(&json!({control: [7]})).await;
        app.expect_panic("7 as asked").await;
        assert!(page.recording().to_string().contains("close 1011 (server) internal error"), "{}", page.recording());
        page.closed().await;
    }
}
