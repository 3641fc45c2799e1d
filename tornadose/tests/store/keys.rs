//! Keys: by which text a backend knows them, and how long they may be.

use std::fmt;

use futures_util::{FutureExt, StreamExt};
use tornadose::backend::{Ingested, OutgoingKind};
use tornadose::prelude::*;
use tornadose::{EncodeError, Event, Received, Retention, SubmitError};

use super::link::{Market, MarketKey, at, entry, open_empty};

/// A name that logs do not show.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[store(latest)]
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Balance {
    #[key]
    user: Secret,
    cents: u32,
}

fn balance(user: &str) -> BalanceKey {
    BalanceKey { user: Secret(user.into()) }
}

/// Returns what is sent to the backend next.
async fn next_kind(link: &tornadose::backend::BackendLink) -> OutgoingKind {
    link.next_outgoing(1).await.unwrap()[0].kind().clone()
}

#[tornadose_test::test]
async fn keys_with_one_debug_text_are_told_apart() {
    let (store, link) = open_empty::<Balance>().await;
    for (number, user) in [(1, "ada"), (2, "bob")] {
        store.try_submit(Balance { user: Secret(user.into()), cents: 7 }).unwrap();
        let slot = format!(r#"{{"user":"{user}"}}"#);
        assert_eq!(next_kind(&link).await, OutgoingKind::Latest { slot: slot.clone() });
        let payload = format!(r#"{{"user":"{user}","cents":7}}"#);
        assert_eq!(link.ingest(at(number), entry(&payload)), Ingested::Latest { slot });
    }
    store.forget(&balance("ada"));
    let OutgoingKind::Forget { key } = next_kind(&link).await else { panic!("expected a forget") };
    assert_eq!(key, r#"{"user":"ada"}"#);
    assert_eq!(link.forget(Some(at(3)), &key), [key.as_str()]);
    assert!(store.latest(&balance("ada")).is_none());
    assert!(store.latest(&balance("bob")).is_some());
    // A process of an earlier version cannot tell which of two keys it means.
    for user in ["ada", "bob"] {
        let payload = format!(r#"{{"user":"{user}","cents":7}}"#);
        link.ingest(at(if user == "ada" { 4 } else { 5 }), entry(&payload));
    }
    assert!(link.forget(Some(at(6)), "BalanceKey { user: Secret(..) }").is_empty());
    assert!(store.latest(&balance("ada")).is_some());
}

#[tornadose_test::test]
async fn a_forget_of_an_earlier_version_names_a_key_by_its_debug_text() {
    let (store, link) = open_empty::<Market>().await;
    let key = |symbol: &str| MarketKey { symbol: symbol.into() };
    for (number, symbol) in [(1, "AAPL"), (2, "MSFT")] {
        let payload = format!(r#"{{"quote":{{"symbol":"{symbol}","bid":1}}}}"#);
        let slot = format!(r#"{{"symbol":"{symbol}"}} quote"#);
        assert_eq!(link.ingest(at(number), entry(&payload)), Ingested::Latest { slot });
    }
    assert!(link.forget(Some(at(3)), r#"MarketKey { symbol: "GOOG" }"#).is_empty());
    assert!(link.forget(Some(at(4)), r#"{"symbol":"GOOG"}"#).is_empty());
    assert_eq!(link.forget(Some(at(5)), r#"MarketKey { symbol: "AAPL" }"#), [r#"{"symbol":"AAPL"} quote"#]);
    assert!(store.latest(&key("AAPL")).is_none());
    assert!(store.latest(&key("MSFT")).is_some());
}

/// A user, under the name `u`, as a text.
#[store(latest, max_key = "1KiB")]
#[derive(Serialize)]
struct Renamed {
    #[key]
    #[serde(rename = "u", with = "as_text")]
    user: u64,
    #[key]
    #[serde(serialize_with = "as_text::serialize")]
    r#type: u64,
}

mod as_text {
    use serde::Serializer;

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }
}

#[test]
fn a_key_is_written_under_the_names_of_its_fields_and_as_they_are_serialized() {
    let key = RenamedKey { user: 7, r#type: 8 };
    assert_eq!(serde_json::to_string(&key).unwrap(), r#"{"user":"7","type":"8"}"#);
    let store = Store::new();
    store.try_submit(Renamed { user: 7, r#type: 8 }).unwrap();
    assert!(store.latest(&key).is_some());
}

#[store(queue)]
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Note {
    #[key]
    to: String,
}

/// A note whose key is so many bytes long.
fn note(bytes: usize) -> Note {
    Note { to: "x".repeat(bytes - r#"{"to":""}"#.len()) }
}

#[tornadose_test::test]
async fn a_submit_with_a_key_that_is_too_long_fails() {
    let in_memory = Store::new();
    let (over_backend, link) = open_empty::<Note>().await;
    for store in [&in_memory, &over_backend] {
        match store.try_submit(note(1025)) {
            Err(SubmitError::KeyTooLong { message, size: 1025 }) => assert_eq!(message, note(1025)),
            other => panic!("{other:?}"),
        }
        assert!(store.try_submit(note(1024)).is_ok());
    }
    assert_eq!(link.next_outgoing(10).await.unwrap().len(), 1);
    let payload = serde_json::to_string(&note(1025)).unwrap();
    assert_eq!(link.ingest(at(1), entry(&payload)), Ingested::Unreadable);
    let wide = Store::builder().max_key(60_000).build();
    assert!(wide.try_submit(note(60_000)).is_ok());
    assert_eq!(wide.try_submit(note(60_001)).unwrap_err().into_message(), note(60_001));
    // A key without fields is never too long.
    let narrow = Store::builder().max_key(0).build();
    assert!(narrow.try_submit(super::link::Line { text: "hi".into() }).is_ok());
}

#[tornadose_test::test]
async fn a_subscription_to_a_key_that_is_too_long_waits_until_the_store_is_closed() {
    let store = Store::new();
    let key = |bytes| note(bytes).key();
    let mut long = store.subscribe_to(key(1025));
    assert_eq!((store.subscribers(), store.subscribers_of(&key(1025))), (1, 0));
    assert!(store.latest(&key(1025)).is_none());
    store.forget(&key(1025));
    store.disconnect(&key(1025));
    store.submit(note(1024)).await.unwrap();
    assert!(long.next().now_or_never().is_none());
    let mut known = store.subscribe_to(key(1024));
    store.submit(note(1024)).await.unwrap();
    assert!(matches!(known.next().now_or_never(), Some(Some(Received::Message { .. }))));
    store.close();
    assert!(long.next().await.is_none());
}

/// A key that fails to serialize when its number is odd.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Even(u8);

impl Serialize for Even {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 % 2 {
            0 => serializer.serialize_u8(self.0),
            _ => Err(serde::ser::Error::custom("odd")),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Numbered {
    number: u8,
    latest: bool,
}

impl Message for Numbered {
    type Key = Even;
    const CHANNEL: &'static str = "numbered";
    fn key(&self) -> Even {
        Even(self.number)
    }
    fn retention(&self) -> Retention {
        if self.latest { Retention::Latest } else { Retention::Queue }
    }
    fn event(&self) -> Result<Event, EncodeError> {
        Event::json(self)
    }
}

#[tornadose_test::test]
async fn a_key_that_cannot_be_serialized_is_an_encode_error() {
    let in_memory = Store::new();
    let (over_backend, link) = open_empty::<Numbered>().await;
    for latest in [false, true] {
        for store in [&in_memory, &over_backend] {
            let error = store.try_submit(Numbered { number: 1, latest }).unwrap_err();
            assert!(matches!(error, SubmitError::Encode { .. }));
            assert_eq!(error.to_string(), "the message cannot be written as JSON: odd");
            assert!(store.try_submit(Numbered { number: 2, latest }).is_ok());
        }
    }
    assert_eq!(link.next_outgoing(10).await.unwrap().len(), 2);
    assert_eq!(link.ingest(at(1), entry(r#"{"number":1,"latest":true}"#)), Ingested::Unreadable);
    assert_eq!(link.ingest(at(2), entry(r#"{"number":1,"latest":false}"#)), Ingested::Unreadable);
    over_backend.forget(&Even(1));
    let mut reader = in_memory.subscribe_to(Even(1));
    assert!(reader.next().now_or_never().is_none());
}
