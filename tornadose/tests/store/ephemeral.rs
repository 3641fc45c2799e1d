//! Ephemeral messages in a store, in virtual time.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tokio::time::{advance, sleep};
use tornadose::backend::{Backend, BackendLink, Epoch, Features, Ingested, Offset, OpenError, Outgoing, OutgoingKind};
use tornadose::prelude::*;
use tornadose::{ENTRY_OVERHEAD, EncodeError, Event, NoKey, Received, Retention, SubmitError, Subscription};

use super::link::{at, entry, open_empty};
use super::log::CapturedLog;

#[store(queue, capacity = 4)]
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Note {
    Said {
        #[key]
        room: u32,
        text: String,
    },
    #[ephemeral]
    Typing {
        #[key]
        room: u32,
        text: String,
    },
}

fn said(room: u32, text: &str) -> Note {
    Note::Said { room, text: text.into() }
}

fn typing(room: u32, text: &str) -> Note {
    Note::Typing { room, text: text.into() }
}

fn room(room: u32) -> NoteKey {
    NoteKey { room }
}

/// Returns what the subscription has to deliver now.
fn received(subscription: &mut Subscription<Note>) -> Vec<String> {
    let mut received = Vec::new();
    while let Some(next) = subscription.next().now_or_never() {
        match next.unwrap() {
            Received::Message { message, .. } => match &*message {
                Note::Said { text, .. } => received.push(text.clone()),
                Note::Typing { text, .. } => received.push(format!("{text}…")),
            },
            Received::Gap { reason, missed } => received.push(format!("{reason} {missed:?}")),
            other => panic!("{other:?}"),
        }
    }
    received
}

fn submit(store: &Store<Note>, messages: impl IntoIterator<Item = Note>) {
    for message in messages {
        store.try_submit(message).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn it_takes_an_offset_and_is_read_in_order_by_those_who_are_there() {
    let store = Store::new();
    submit(&store, [typing(1, "early")]);
    let (mut all, mut one, mut live) = (store.subscribe(), store.subscribe_to(room(1)), store.subscribe_to(room(2)));
    assert!(received(&mut live).is_empty());
    let before = store.head();
    let id = store.submit(typing(1, "a")).await.unwrap();
    assert!(id > before && store.head() == id);
    submit(&store, [said(1, "b"), typing(2, "c"), typing(1, "d"), said(2, "e"), typing(1, "f")]);
    assert_eq!(received(&mut all), ["a…", "b", "c…", "d…", "e", "f…"]);
    assert_eq!(received(&mut one), ["a…", "b", "d…", "f…"]);
    assert_eq!(received(&mut live), ["c…", "e"]);
    assert!(received(&mut store.subscribe()).is_empty());
    // A reader that waits for the next message gets each at once.
    for text in ["g", "h"] {
        submit(&store, [typing(1, text)]);
        assert_eq!(received(&mut one), [format!("{text}…")]);
    }
}

#[tokio::test(start_paused = true)]
async fn it_stands_in_the_log_for_5_s() {
    let store = Store::new();
    let mut reader = store.subscribe();
    submit(&store, [typing(1, "old"), said(1, "kept")]);
    advance(Duration::from_millis(1)).await;
    submit(&store, [typing(1, "new")]);
    advance(Duration::from_millis(4999)).await;
    assert_eq!(received(&mut reader), ["kept", "new…"]);
    submit(&store, [typing(1, "last")]);
    advance(Duration::from_millis(4999)).await;
    assert_eq!(received(&mut reader), ["last…"]);
}

#[tokio::test(start_paused = true)]
async fn the_oldest_goes_when_1024_newer_have_come_whatever_their_keys() {
    let store = Store::new();
    let (mut all, mut one) = (store.subscribe(), store.subscribe_to(room(1)));
    submit(&store, [typing(1, "first"), typing(1, "second"), said(1, "kept")]);
    submit(&store, (0..1023).map(|number| typing(2, &number.to_string())));
    assert_eq!(received(&mut one), ["second…", "kept"]);
    assert_eq!(received(&mut all).len(), 1025);
}

#[tokio::test(start_paused = true)]
async fn what_a_reader_misses_is_in_its_ledger_and_not_a_gap() {
    let (log, _guard) = CapturedLog::start();
    let store = Store::new();
    let mut reader = store.subscribe();
    submit(&store, (0..4).map(|number| typing(1, &number.to_string())));
    assert_eq!(received(&mut reader).len(), 4);
    submit(&store, [typing(1, "old"), typing(1, "older"), said(1, "kept")]);
    sleep(Duration::from_secs(5)).await;
    submit(&store, [typing(1, "unread")]);
    drop(reader);
    let ended = log.take().pop().unwrap();
    let ledger = "owed=8 delivered=4 filtered=0 conflated=0 missed=0 ephemeral_missed=2 unread=2";
    assert!(ended.contains(ledger), "{ended}");
}

#[tokio::test(start_paused = true)]
async fn it_takes_memory_for_a_moment_and_makes_room_first() {
    let one = || Note::Typing { room: 1, text: "x".repeat(1000) };
    let said = |room| Note::Said { room, text: "x".repeat(1000) };
    // A message counts its text twice, for a store has one encoding beside it, and its JSON may be longer there.
    let store = Store::builder().memory(20 * (ENTRY_OVERHEAD + 2100)).build();
    let (mut reader, mut of_queue) = (store.subscribe(), store.subscribe_to(room(2)));
    store.try_submit(said(2)).unwrap();
    for _ in 0..100 {
        store.try_submit(one()).unwrap();
    }
    let read = received(&mut reader);
    assert_eq!(read[0].len(), 1000, "the queue message is not trimmed");
    assert!((10..60).contains(&read.len()), "{}", read.len());
    // Queue messages make ephemeral ones go.
    for _ in 0..3 {
        store.try_submit(said(3)).unwrap();
        store.try_submit(said(4)).unwrap();
    }
    assert_eq!(received(&mut of_queue).len(), 1);
    sleep(Duration::from_secs(6)).await;
    assert_eq!(received(&mut reader).len(), 6);
    let large = Note::Typing { room: 1, text: "x".repeat(1 << 20) };
    assert!(matches!(store.submit(large).await, Err(SubmitError::TooLarge { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_removal_drops_it() {
    let store = Store::new();
    let mut reader = store.subscribe_to(room(1));
    submit(&store, [typing(1, "gone"), said(1, "gone")]);
    store.remove(&room(1)).await.unwrap();
    submit(&store, [typing(1, "new")]);
    assert_eq!(received(&mut reader), ["removed Some(1)", "new…"]);
}

/// A type that forgets to say that it has ephemeral messages.
struct Forgetful;

impl Message for Forgetful {
    type Key = NoKey;
    const CHANNEL: &'static str = "forgetful";
    fn key(&self) -> NoKey {
        NoKey
    }
    fn retention(&self) -> Retention {
        Retention::Ephemeral
    }
    fn event(&self) -> Result<Event, EncodeError> {
        Ok(Event::text("x"))
    }
}

#[tokio::test]
async fn a_type_by_hand_has_to_say_that_it_has_them() {
    let error = Store::new().submit(Forgetful).await.unwrap_err();
    assert!(matches!(error, SubmitError::Encode { .. }));
    assert!(error.to_string().contains("`HAS_EPHEMERAL: bool = true`"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_knows_of_none_carries_it_as_a_queue_message() {
    let (store, link) = open_empty::<Note>().await;
    let mut reader = store.subscribe();
    let payload = r#"{"typing":{"room":1,"text":"a"}}"#;
    let submitting = tokio::spawn({
        let store = store.clone();
        async move { store.submit(typing(1, "a")).await }
    });
    let outgoing = link.next_outgoing(9).await.unwrap().pop().unwrap();
    assert_eq!((outgoing.kind(), outgoing.payload(), outgoing.key()), (&OutgoingKind::Queue, payload.as_bytes(), None));
    let own = entry(payload).with_sender(link.sender_id(), outgoing.number());
    assert_eq!(link.ingest(at(1), own), Ingested::Ephemeral);
    outgoing.appended(at(1));
    assert_eq!(submitting.await.unwrap().unwrap(), store.head());
    assert_eq!(link.ingest(at(2), entry(r#"{"said":{"room":1,"text":"b"}}"#)), Ingested::Queue);
    // One that is too old is dropped, and the log goes on.
    let old = entry(payload).with_age(Duration::from_secs(5));
    assert_eq!(link.ingest(at(3), old), Ingested::Ignored);
    assert_eq!(store.head().to_string(), "aaaaaaaa-7.3");
    assert_eq!(received(&mut reader), ["a…", "b"]);
}

#[tokio::test(start_paused = true)]
async fn what_comes_apart_from_the_log_is_placed_after_its_head() {
    let (store, link) = open_empty::<Note>().await;
    let (mut live, mut slow) = (store.subscribe_to(room(1)), store.subscribe());
    link.ingest(at(1), entry(r#"{"said":{"room":1,"text":"b"}}"#));
    assert_eq!(received(&mut live), ["b"]);
    let whisper = |number: u64, room: u32| {
        let payload = format!(r#"{{"typing":{{"room":{room},"text":"{number}"}}}}"#);
        link.ingest_ephemeral(entry(&payload).with_sender("other", number))
    };
    assert_eq!(whisper(1, 1), Ingested::Ephemeral);
    assert_eq!(whisper(1, 1), Ingested::Ignored, "it was received before");
    assert_eq!(received(&mut live), ["1…"]);
    // Several have one place.
    assert_eq!(
        (whisper(3, 1), whisper(2, 2), whisper(4, 1)),
        (Ingested::Ephemeral, Ingested::Ephemeral, Ingested::Ephemeral)
    );
    assert_eq!(store.head().to_string(), "aaaaaaaa-7.1");
    link.ingest(at(2), entry(r#"{"said":{"room":1,"text":"c"}}"#));
    assert_eq!(whisper(5, 1), Ingested::Ephemeral);
    assert_eq!(received(&mut live), ["3…", "4…", "c", "5…"]);
    assert_eq!(received(&mut slow), ["b", "1…", "3…", "2…", "4…", "c", "5…"]);
    // A finish or a gap stands before what comes after it.
    link.report_trimmed(Some(1));
    assert_eq!(whisper(6, 1), Ingested::Ephemeral);
    assert_eq!(received(&mut live), ["trimmed None", "6…"]);
    let old = entry(r#"{"typing":{"room":1,"text":"old"}}"#).with_age(Duration::from_secs(5));
    assert_eq!(link.ingest_ephemeral(old), Ingested::Ignored);
    assert!(received(&mut live).is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_an_ephemeral_message_is_counted_and_no_gap() {
    let (log, _guard) = CapturedLog::start();
    let (store, link) = open_empty::<Note>().await;
    let mut reader = store.subscribe();
    assert_eq!(link.ingest_ephemeral(entry(r#"{"said":{"room":1,"text":"b"}}"#)), Ingested::Unreadable);
    assert_eq!(link.ingest_ephemeral(entry("no JSON")), Ingested::Unreadable);
    assert!(received(&mut reader).is_empty());
    let skipped: Vec<String> = log.take().into_iter().filter(|line| line.contains("entry skipped")).collect();
    assert!(skipped[0].contains("not an ephemeral message"), "{skipped:?}");
}

/// Takes no message for a while, as an engine in an outage.
struct Slow(tokio::sync::mpsc::UnboundedSender<BackendLink>);

impl Backend for Slow {
    const SUPPORTS: Features = Features::EPHEMERAL;

    async fn run(self, link: BackendLink) -> Result<(), OpenError> {
        link.reset(Epoch::fresh(), Offset::START);
        link.caught_up();
        self.0.send(link).unwrap();
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_waited_for_its_engine_for_5_s_is_not_sent() {
    let (links, mut link) = tokio::sync::mpsc::unbounded_channel();
    let store = Store::<Note>::open(Slow(links)).await.unwrap();
    let link = link.recv().await.unwrap();
    assert!(link.has_ephemeral());
    submit(&store, [typing(1, "old")]);
    sleep(Duration::from_secs(4)).await;
    submit(&store, [typing(1, "taken"), said(1, "kept")]);
    sleep(Duration::from_secs(1)).await;
    let taken = link.next_outgoing(9).await.unwrap();
    let kinds: Vec<&OutgoingKind> = taken.iter().map(Outgoing::kind).collect();
    assert_eq!(kinds, [&OutgoingKind::Ephemeral, &OutgoingKind::Queue]);
    assert!(taken[0].needs_sending());
    sleep(Duration::from_secs(4)).await;
    assert!(!taken[0].needs_sending() && taken[1].needs_sending());
}
