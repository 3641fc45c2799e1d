//! A store behind a backend, in virtual time: opening, submits and subscriptions.

use std::cell::RefCell;
use std::future::pending;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tornadose::backend::{Backend, BackendLink, Epoch, Ingested, Offset, OpenError, OutgoingKind, SendOutcome};
use tornadose::prelude::*;
use tornadose::{GapReason, Received, SubmitError};

use super::link::{EPOCH, Line, LinkBackend, Market, MarketKey, at, entry, ingest, open_empty};

#[tornadose_test::test]
async fn a_store_is_open_once_the_backend_has_caught_up() {
    let (links, mut link) = mpsc::unbounded_channel();
    let mut opening = tokio::spawn(Store::<Line>::open(LinkBackend(links)));
    let link = link.recv().await.unwrap();
    link.reset(EPOCH.parse().unwrap(), Offset::START);
    ingest(&link, 1, "before");
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert!((&mut opening).now_or_never().is_none());
    link.caught_up();
    let store = opening.await.unwrap().unwrap();
    assert_eq!(store.head().to_string(), "aaaaaaaa-7.1");
}

#[tornadose_test::test]
async fn open_returns_the_error_of_a_backend_that_fails_at_the_start() {
    struct Fails;
    impl Backend for Fails {
        async fn run(self, _: BackendLink) -> Result<(), OpenError> {
            Err(OpenError::new("not today"))
        }
    }
    struct Returns;
    impl Backend for Returns {
        async fn run(self, _: BackendLink) -> Result<(), OpenError> {
            Ok(())
        }
    }
    let error = Store::<Line>::open(Fails).await.unwrap_err();
    assert_eq!(error.to_string(), "not today");
    assert_eq!(std::io::Error::from(error).to_string(), "not today");
    let error = Store::<Line>::open(Returns).await.unwrap_err();
    assert_eq!(error.to_string(), "the backend stopped before it was ready (`caught_up` was never called)");
}

fn line(text: &str) -> Line {
    Line { text: text.into() }
}

#[tornadose_test::test]
async fn a_submit_resolves_when_it_is_acknowledged() {
    let (store, link) = open_empty::<Line>().await;
    let handle = store.clone();
    let submit = tokio::spawn(async move { handle.submit(line("hi")).await });
    let mut messages = link.next_outgoing(10).await.unwrap();
    assert_eq!(messages.len(), 1);
    let outgoing = messages.remove(0);
    assert_eq!((outgoing.payload(), outgoing.number()), (&br#"{"text":"hi"}"#[..], 1));
    assert_eq!(*outgoing.kind(), OutgoingKind::Queue);
    assert!(outgoing.needs_sending());
    outgoing.appended(at(1));
    assert_eq!(submit.await.unwrap().unwrap().to_string(), "aaaaaaaa-7.1");
    // The log follows when the backend ingests it.
    assert_eq!(store.head().to_string(), "aaaaaaaa-0");
    ingest(&link, 1, "hi");
    assert_eq!(store.head().to_string(), "aaaaaaaa-7.1");
}

#[tornadose_test::test]
async fn a_disconnect_waits_for_what_was_acknowledged() {
    let (store, link) = open_empty::<Line>().await;
    let handle = store.clone();
    let submit = tokio::spawn(async move { handle.submit(line("last")).await });
    link.next_outgoing(10).await.unwrap().remove(0).appended(at(2));
    submit.await.unwrap().unwrap();
    let mut reader = store.subscribe_to(tornadose::NoKey);
    store.disconnect(&tornadose::NoKey);
    assert!(reader.next().now_or_never().is_none(), "the message is on its way here");
    ingest(&link, 1, "of another process");
    ingest(&link, 2, "last");
    ingest(&link, 3, "later");
    for text in ["of another process", "last"] {
        assert!(
            matches!(reader.next().now_or_never(), Some(Some(Received::Message { message, .. })) if message.text == text)
        );
    }
    assert!(reader.next().await.is_none());
}

#[tornadose_test::test]
async fn a_disconnect_waits_5_seconds_for_what_never_arrives() {
    let (store, link) = open_empty::<Line>().await;
    let handle = store.clone();
    let submit = tokio::spawn(async move { handle.submit(line("last")).await });
    link.next_outgoing(10).await.unwrap().remove(0).appended(at(2));
    submit.await.unwrap().unwrap();
    let mut reader = store.subscribe_to(tornadose::NoKey);
    link.report_disconnected("the cable is cut");
    store.disconnect(&tornadose::NoKey);
    let before = tokio::time::Instant::now();
    assert!(reader.next().await.is_none());
    assert_eq!(before.elapsed().as_secs(), 5);
}

/// A store to which a message was acknowledged at offset 2 that it has not read.
async fn acknowledged() -> (Store<Line>, BackendLink) {
    let (store, link) = open_empty::<Line>().await;
    let handle = store.clone();
    let submit = tokio::spawn(async move { handle.submit(line("last")).await });
    link.next_outgoing(10).await.unwrap().remove(0).appended(at(2));
    submit.await.unwrap().unwrap();
    (store, link)
}

#[tornadose_test::test]
async fn a_close_waits_for_what_was_acknowledged() {
    let (store, link) = acknowledged().await;
    let mut reader = store.subscribe();
    store.close();
    assert!(reader.next().now_or_never().is_none(), "the message is on its way here");
    assert_eq!(ingest(&link, 1, "of another process"), Ingested::Queue);
    assert_eq!(ingest(&link, 2, "last"), Ingested::Queue);
    assert_eq!(ingest(&link, 3, "later"), Ingested::Ignored);
    for text in ["of another process", "last"] {
        assert!(
            matches!(reader.next().now_or_never(), Some(Some(Received::Message { message, .. })) if message.text == text)
        );
    }
    assert!(reader.next().await.is_none());
}

/// A backend that ends when it is told to.
struct Ends(mpsc::UnboundedSender<BackendLink>, tokio::sync::oneshot::Receiver<()>);
impl Backend for Ends {
    async fn run(self, link: BackendLink) -> Result<(), OpenError> {
        self.0.send(link).unwrap();
        self.1.await.ok();
        Ok(())
    }
}

#[tornadose_test::test]
async fn a_close_waits_5_seconds_for_what_never_arrives_and_not_when_the_backend_has_ended() {
    let (store, link) = acknowledged().await;
    let mut reader = store.subscribe();
    link.report_disconnected("the cable is cut");
    let before = tokio::time::Instant::now();
    store.close();
    assert!(reader.next().await.is_none());
    assert_eq!(before.elapsed().as_secs(), 5);

    let ((links, mut link), (end, ended)) = (mpsc::unbounded_channel(), tokio::sync::oneshot::channel());
    let opening = tokio::spawn(Store::<Line>::open(Ends(links, ended)));
    let link = link.recv().await.unwrap();
    link.reset(EPOCH.parse().unwrap(), Offset::START);
    link.caught_up();
    let store = opening.await.unwrap().unwrap();
    let handle = store.clone();
    let submit = tokio::spawn(async move { handle.submit(line("last")).await });
    link.next_outgoing(10).await.unwrap().remove(0).appended(at(2));
    submit.await.unwrap().unwrap();
    let mut reader = store.subscribe();
    let before = tokio::time::Instant::now();
    end.send(()).unwrap();
    assert!(reader.next().await.is_none());
    assert_eq!(before.elapsed().as_secs(), 0);
}

#[store(queue)]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Run {
    Line {
        #[key]
        run: u32,
    },
    #[finish]
    Done {
        #[key]
        run: u32,
    },
}

#[tornadose_test::test]
async fn over_an_engine_that_knows_no_finishes_one_holds_within_the_process() {
    let (store, link) = open_empty::<Run>().await;
    let key = RunKey { run: 1 };
    let (mut one, mut all) = (store.subscribe_to(key.clone()), store.subscribe());
    assert!(link.can_finish());
    assert!(matches!(store.finish(&key).await, Err(SubmitError::Unsupported { message: () })));
    assert!(matches!(store.remove(&key).await, Err(SubmitError::Unsupported { message: () })));
    let finished = tokio::spawn({
        let (store, key) = (store.clone(), key.clone());
        async move { store.finished(&key).await }
    });
    link.ingest(at(1), entry(r#"{"Line":{"run":1}}"#));
    link.ingest(at(2), entry(r#"{"Done":{"run":1}}"#));
    // The engine gives the next offset to another message.
    link.ingest(at(3), entry(r#"{"Line":{"run":2}}"#));
    let message = |item| match item {
        Some(Received::Message { message, .. }) => Run::clone(&message),
        other => panic!("{other:?}"),
    };
    for expected in [Run::Line { run: 1 }, Run::Done { run: 1 }] {
        assert_eq!(message(one.next().await), expected);
        assert_eq!(message(all.next().await), expected);
    }
    assert!(one.next().await.is_none());
    assert_eq!(message(all.next().await), Run::Line { run: 2 });
    assert!(finished.await.unwrap().is_some());
    assert!(matches!(store.submit(Run::Line { run: 1 }).await, Err(SubmitError::Finished { .. })));
    assert!(matches!(store.try_submit(Run::Line { run: 1 }), Err(SubmitError::Finished { .. })));
    assert!(store.subscribe_to(key).next().await.is_none());
    assert_eq!(link.ingest(at(4), entry(r#"{"Line":{"run":1}}"#)), Ingested::Ignored);
}

#[tornadose_test::test]
async fn a_disconnect_ends_with_the_log_in_which_its_last_message_was() {
    let (store, link) = open_empty::<Line>().await;
    ingest(&link, 1, "kept");
    let mut reader = store.subscribe_to(tornadose::NoKey);
    store.disconnect(&tornadose::NoKey);
    link.reset("bbbbbbbb".parse().unwrap(), Offset::START);
    ingest(&link, 1, "another");
    link.caught_up();
    assert!(matches!(reader.next().now_or_never(), Some(None)));
}

#[tornadose_test::test]
async fn a_message_that_is_not_taken_in_time_was_not_sent() {
    let (store, link) = open_empty::<Line>().await;
    let before = tokio::time::Instant::now();
    let error = store.submit(line("hi")).await.unwrap_err();
    assert_eq!(before.elapsed().as_secs(), 3);
    assert!(
        matches!(&error, SubmitError::Unavailable { outcome: SendOutcome::NotSent, message } if message.text == "hi")
    );
    assert_eq!(error.into_message(), line("hi"));
    assert!(link.next_outgoing(10).now_or_never().is_none(), "it is never sent");
}

#[tornadose_test::test]
async fn the_outcome_of_a_message_that_is_not_acknowledged_in_time_is_unknown() {
    let (store, link) = open_empty::<Line>().await;
    let before = tokio::time::Instant::now();
    let (submit, messages) = tokio::join!(store.submit(line("hi")), link.next_outgoing(10));
    assert_eq!(before.elapsed().as_secs(), 3);
    assert!(matches!(submit.unwrap_err(), SubmitError::Unavailable { outcome: SendOutcome::Unknown, .. }));
    assert!(!messages.unwrap()[0].needs_sending());
    // A message that is dropped unresolved is unknown at once.
    let (submit, ()) = tokio::join!(store.submit(line("hi")), async { drop(link.next_outgoing(10).await) });
    assert!(matches!(submit.unwrap_err(), SubmitError::Unavailable { outcome: SendOutcome::Unknown, .. }));
    assert_eq!(before.elapsed().as_secs(), 3);
}

#[tornadose_test::test]
async fn a_submit_that_is_dropped_before_it_is_taken_is_not_sent() {
    let (store, link) = open_empty::<Line>().await;
    assert!(store.submit(line("dropped")).now_or_never().is_none());
    assert!(link.next_outgoing(10).now_or_never().is_none());
    assert!(store.try_submit(line("without ack")).unwrap().is_none());
    let messages = link.next_outgoing(10).await.unwrap();
    assert_eq!(messages.len(), 1);
    assert_eq!((messages[0].number(), messages[0].is_fire_and_forget()), (2, true));
}

#[store(queue, memory = "64KiB")]
#[derive(Debug, Serialize, Deserialize)]
struct Small(String);

#[tornadose_test::test]
async fn messages_in_the_outbox_are_bounded_by_memory() {
    let (store, link) = open_empty::<Small>().await;
    for _ in 0..128 {
        assert!(store.try_submit(Small("x".into())).unwrap().is_none());
    }
    let error = store.try_submit(Small("x".into())).unwrap_err();
    assert!(matches!(error, SubmitError::Unavailable { outcome: SendOutcome::NotSent, .. }));
    let before = tokio::time::Instant::now();
    let error = store.submit(Small("x".into())).await.unwrap_err();
    assert!(matches!(error, SubmitError::Unavailable { outcome: SendOutcome::NotSent, .. }));
    assert_eq!(before.elapsed().as_secs(), 3, "a submit waits for room for as long as for its acknowledgement");
    drop(link.next_outgoing(1).await);
    assert!(store.try_submit(Small("x".into())).is_ok(), "a resolved message frees its bytes");
    let error = store.submit(Small("x".repeat(70_000))).await.unwrap_err();
    assert!(matches!(error, SubmitError::TooLarge { .. }), "{error}");
}

#[tornadose_test::test]
async fn a_closed_store_sends_its_queued_messages_and_refuses_more() {
    let (store, link) = open_empty::<Line>().await;
    store.try_submit(line("last")).unwrap();
    store.close();
    assert!(matches!(store.submit(line("late")).await, Err(SubmitError::Closed { .. })));
    assert!(matches!(store.try_submit(line("late")), Err(SubmitError::Closed { .. })));
    let messages = link.next_outgoing(10).await.unwrap();
    assert_eq!(messages[0].payload(), br#"{"text":"last"}"#);
    drop(messages);
    assert!(link.next_outgoing(10).await.is_none());
}

#[tornadose_test::test]
async fn a_backend_is_dropped_with_the_last_handle_and_reader() {
    struct ReportsDrop(mpsc::UnboundedSender<&'static str>);
    impl Drop for ReportsDrop {
        fn drop(&mut self) {
            self.0.send("dropped").unwrap();
        }
    }
    impl Backend for ReportsDrop {
        async fn run(self, link: BackendLink) -> Result<(), OpenError> {
            link.reset(Epoch::fresh(), Offset::START);
            link.caught_up();
            pending().await
        }
    }
    let (drops, mut dropped) = mpsc::unbounded_channel();
    let store = Store::<Line>::open(ReportsDrop(drops)).await.unwrap();
    let reader = store.subscribe();
    drop(store);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(dropped.try_recv().is_err(), "a reader is left");
    drop(reader);
    assert_eq!(dropped.recv().await, Some("dropped"));
}

#[tornadose_test::test]
async fn missed_is_unknown_for_a_type_with_latest_messages() {
    let (store, link) = open_empty::<Market>().await;
    let mut all = store.subscribe();
    assert!(all.next().now_or_never().is_none());
    link.report_trimmed(Some(3));
    let Some(Received::Gap { reason, missed }) = all.next().await else { panic!("expected a gap") };
    assert_eq!((reason, missed), (GapReason::Trimmed, None));
}

#[derive(Debug)]
struct Panics;

impl Serialize for Panics {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for Panics {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("deserializing fails")
    }
}

impl Message for Panics {
    type Key = tornadose::NoKey;
    const CHANNEL: &'static str = "panics";
    fn key(&self) -> tornadose::NoKey {
        tornadose::NoKey
    }
    fn retention(&self) -> tornadose::Retention {
        tornadose::Retention::Queue
    }
    fn event(&self) -> Result<tornadose::Event, tornadose::EncodeError> {
        Ok(tornadose::Event::text("x"))
    }
}

#[tornadose_test::test]
async fn a_panic_in_deserialize_makes_the_entry_unreadable() {
    let (store, link) = open_empty::<Panics>().await;
    assert_eq!(link.ingest(at(1), entry("null")), Ingested::Unreadable);
    assert_eq!(store.head().to_string(), "aaaaaaaa-7.1");
}

/// Returns what the reader yields at once. Every call is in the same task, as the mailbox of a
/// live reader requires.
async fn next_now(reader: &mut tornadose::Subscription<Line>) -> Option<Received<Line>> {
    tokio::time::timeout(Duration::from_millis(1), reader.next()).await.ok().flatten()
}

#[tornadose_test::test]
async fn a_live_reader_gets_the_gap_of_a_reset_before_the_later_messages() {
    let text = |received: Option<Received<Line>>| match received {
        Some(Received::Message { message, .. }) => message.text.clone(),
        Some(Received::Gap { reason, .. }) => format!("{reason:?}"),
        _ => "nothing".into(),
    };
    let (store, link) = open_empty::<Line>().await;
    let mut reader = store.subscribe();
    assert_eq!(text(next_now(&mut reader).await), "nothing");
    ingest(&link, 1, "one");
    assert_eq!(text(next_now(&mut reader).await), "one");
    link.reset("bbbbbbbb".parse().unwrap(), Offset::START);
    ingest(&link, 2, "again");
    assert_eq!(text(next_now(&mut reader).await), "nothing");
    link.caught_up();
    for expected in ["Restarted", "again", "nothing"] {
        assert_eq!(text(next_now(&mut reader).await), expected);
    }
    ingest(&link, 3, "three");
    assert_eq!(text(next_now(&mut reader).await), "three");
}

thread_local! {
    static STORE_OF_LOOKS_UP_HEAD: RefCell<Option<Store<LooksUpHead>>> = const { RefCell::new(None) };
}

/// A message that uses its store when it is dropped.
#[store(queue, memory = "4KiB")]
#[derive(Serialize, Deserialize)]
struct LooksUpHead {
    text: String,
}

impl Drop for LooksUpHead {
    fn drop(&mut self) {
        STORE_OF_LOOKS_UP_HEAD
            .with_borrow(|store| store.iter().for_each(|store| assert_ne!(store.head().to_string(), "")));
    }
}

#[tornadose_test::test]
async fn a_message_without_room_is_dropped_while_the_store_is_not_locked() {
    let (store, link) = open_empty::<LooksUpHead>().await;
    STORE_OF_LOOKS_UP_HEAD.set(Some(store));
    // It fits as JSON, and not with what the store needs beside it.
    let payload = format!(r#"{{"text":"{}"}}"#, "x".repeat(3800));
    assert_eq!(link.ingest(at(1), entry(&payload)), Ingested::Unreadable);
    STORE_OF_LOOKS_UP_HEAD.set(None);
}

#[tornadose_test::test]
async fn a_request_that_arrives_again_drops_nothing_that_followed_the_first() {
    let (store, link) = open_empty::<Market>().await;
    let apple = r#"{"symbol":"AAPL"}"#;
    let quote = r#"{"quote":{"symbol":"AAPL","bid":1}}"#;
    let sent = |number| entry(quote).with_sender("a1b2c3d4", number);
    for seq in [1, 3] {
        if link.record_request(("a1b2c3d4", 1)) {
            link.forget(Some(at(seq)), apple);
        } else {
            link.advance_to(at(seq));
        }
        let expected = if seq == 1 { "latest" } else { "ignored" };
        let ingested = match link.ingest(at(seq + 1), sent(2)) {
            Ingested::Latest { .. } => "latest",
            Ingested::Ignored => "ignored",
            other => panic!("{other:?}"),
        };
        assert_eq!(ingested, expected);
    }
    assert!(store.latest(&MarketKey { symbol: "AAPL".into() }).is_some());
    assert_eq!(store.head().to_string(), "aaaaaaaa-7.4");
}
