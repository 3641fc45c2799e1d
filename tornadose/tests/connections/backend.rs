//! A store that a backend fills, in virtual time. The backend passes its link to the test, which then plays the engine.

use std::future::pending;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tornadose::backend::{
    Backend, BackendLink, Epoch, IncomingEntry, Ingested, Offset, OpenError, OutgoingKind, SendOutcome,
};
use tornadose::prelude::*;
use tornadose::{GapReason, Received, SubmitError};
use tornadose_test::{Harness, assert_transcript};

use super::harness::harness;

#[store(queue, capacity = 4)]
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Line {
    text: String,
}

#[subscriber(sse, ws, store = Line, replay = 10)]
struct Lines;

#[store(queue)]
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Market {
    Trade {
        #[key]
        symbol: String,
        price: u32,
    },
    #[latest]
    Quote {
        #[key]
        symbol: String,
        bid: u32,
    },
}

#[subscriber(sse, store = Market, all_keys, replay = 10)]
struct Prices;

/// A backend that only passes its link to the test.
struct LinkBackend(mpsc::UnboundedSender<BackendLink>);

impl Backend for LinkBackend {
    async fn run(self, link: BackendLink) -> Result<(), OpenError> {
        self.0.send(link).unwrap();
        pending().await
    }
}

const EPOCH: &str = "aaaaaaaa";

fn at(seq: u64) -> Offset {
    Offset::new(7, seq)
}

/// Ingests a `Line` with this text at offset `7.<seq>`.
fn ingest(link: &BackendLink, seq: u64, text: &str) -> Ingested {
    let payload = format!(r#"{{"text":"{text}"}}"#);
    link.ingest(at(seq), IncomingEntry::new(payload.as_bytes()))
}

fn entry(payload: &str) -> IncomingEntry<'_> {
    IncomingEntry::new(payload.as_bytes())
}

/// A store that is opened after `load` has ingested the history.
async fn loaded<M>(load: impl FnOnce(&BackendLink)) -> (Store<M>, BackendLink)
where
    M: Message + Serialize + for<'de> Deserialize<'de>,
{
    let (links, mut link) = mpsc::unbounded_channel();
    let opening = tokio::spawn(Store::open(LinkBackend(links)));
    let link = link.recv().await.unwrap();
    load(&link);
    link.caught_up();
    (opening.await.unwrap().unwrap(), link)
}

async fn empty<M>() -> (Store<M>, BackendLink)
where
    M: Message + Serialize + for<'de> Deserialize<'de>,
{
    loaded(|link| link.reset(EPOCH.parse().unwrap(), Offset::START)).await
}

fn app(store: &Store<Line>) -> Harness {
    harness(Router::with_path("lines").get(Lines::handler(store)))
}

/// An application that serves an empty store at `/lines`.
async fn empty_app() -> (Harness, BackendLink) {
    let (store, link) = empty().await;
    (app(&store), link)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tornadose_test::test]
async fn a_store_is_open_once_the_backend_has_caught_up() {
    let (links, mut link) = mpsc::unbounded_channel();
    let mut opening = tokio::spawn(Store::<Line>::open(LinkBackend(links)));
    let link = link.recv().await.unwrap();
    link.reset(EPOCH.parse().unwrap(), Offset::START);
    ingest(&link, 1, "before");
    tokio::time::sleep(secs(100)).await;
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
    let (store, link) = empty::<Line>().await;
    let handle = store.clone();
    let submit = tokio::spawn(async move { handle.submit(line("hi")).await });
    let mut messages = link.next_outgoing(10).await.unwrap();
    assert_eq!(messages.len(), 1);
    let outgoing = messages.remove(0);
    assert_eq!((outgoing.payload(), outgoing.number()), (&br#"{"text":"hi"}"#[..], 1));
    assert_eq!(*outgoing.kind(), OutgoingKind::Queue);
    assert!(outgoing.wants_ack());
    outgoing.appended(at(1));
    assert_eq!(submit.await.unwrap().unwrap().to_string(), "aaaaaaaa-7.1");
    // The log follows when the backend ingests it.
    assert_eq!(store.head().to_string(), "aaaaaaaa-0");
    ingest(&link, 1, "hi");
    assert_eq!(store.head().to_string(), "aaaaaaaa-7.1");
}

#[tornadose_test::test]
async fn a_message_that_is_not_taken_in_time_was_not_sent() {
    let (store, link) = empty::<Line>().await;
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
async fn a_message_that_is_not_acknowledged_in_time_is_unknown() {
    let (store, link) = empty::<Line>().await;
    let before = tokio::time::Instant::now();
    let (submit, messages) = tokio::join!(store.submit(line("hi")), link.next_outgoing(10));
    assert_eq!(before.elapsed().as_secs(), 3);
    assert!(matches!(submit.unwrap_err(), SubmitError::Unavailable { outcome: SendOutcome::Unknown, .. }));
    assert!(!messages.unwrap()[0].wants_ack());
    // A message that is dropped unresolved is unknown at once.
    let (submit, ()) = tokio::join!(store.submit(line("hi")), async { drop(link.next_outgoing(10).await) });
    assert!(matches!(submit.unwrap_err(), SubmitError::Unavailable { outcome: SendOutcome::Unknown, .. }));
    assert_eq!(before.elapsed().as_secs(), 3);
}

#[tornadose_test::test]
async fn a_submit_that_is_dropped_before_it_is_taken_is_not_sent() {
    let (store, link) = empty::<Line>().await;
    assert!(store.submit(line("dropped")).now_or_never().is_none());
    assert!(link.next_outgoing(10).now_or_never().is_none());
    assert!(store.try_submit(line("without ack")).unwrap().is_none());
    let messages = link.next_outgoing(10).await.unwrap();
    assert_eq!(messages.len(), 1);
    assert_eq!((messages[0].number(), messages[0].is_unacknowledged()), (2, true));
}

#[store(queue, memory = "64KiB")]
#[derive(Debug, Serialize, Deserialize)]
struct Small(String);

#[tornadose_test::test]
async fn messages_in_the_outbox_are_bounded_by_memory() {
    let (store, link) = empty::<Small>().await;
    for _ in 0..128 {
        assert!(store.try_submit(Small("x".into())).unwrap().is_none());
    }
    let error = store.try_submit(Small("x".into())).unwrap_err();
    assert!(matches!(error, SubmitError::Unavailable { outcome: SendOutcome::NotSent, .. }));
    let before = tokio::time::Instant::now();
    let error = store.submit(Small("x".into())).await.unwrap_err();
    assert!(matches!(error, SubmitError::Unavailable { outcome: SendOutcome::NotSent, .. }));
    assert_eq!(before.elapsed().as_secs(), 3, "a submit waits for space until its deadline");
    drop(link.next_outgoing(1).await);
    assert!(store.try_submit(Small("x".into())).is_ok(), "a resolved message frees its bytes");
    let error = store.submit(Small("x".repeat(70_000))).await.unwrap_err();
    assert!(matches!(error, SubmitError::TooLarge { .. }), "{error}");
}

#[tornadose_test::test]
async fn a_closed_store_sends_its_queued_messages_and_refuses_more() {
    let (store, link) = empty::<Line>().await;
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
    tokio::time::sleep(secs(10)).await;
    assert!(dropped.try_recv().is_err(), "a reader is left");
    drop(reader);
    assert_eq!(dropped.recv().await, Some("dropped"));
}

#[tornadose_test::test]
async fn an_id_is_valid_in_every_process() {
    let (one, first) = empty::<Line>().await;
    let (other, second) = empty::<Line>().await;
    for link in [&first, &second] {
        ingest(link, 1, "a");
        ingest(link, 5, "b");
    }
    let app = harness(
        Router::new()
            .push(Router::with_path("one").get(Lines::handler(&one)))
            .push(Router::with_path("other").get(Lines::handler(&other))),
    );
    let client = app.sse("/one").await;
    client.skip(2).await;
    client.close().await;
    ingest(&second, 6, "c");
    let moved = app.client("moved").last_event_id(client.last_event_id().unwrap()).sse("/other").await;
    assert_eq!(client.last_event_id().unwrap(), "aaaaaaaa-7.5");
    moved.skip(1).await;
    assert_transcript!(moved, @r#"
    moved > GET /other last-event-id #1
    moved ~ open 200 text/event-stream
    moved < message #2 {"text":"c"}
    "#);
}

#[tornadose_test::test]
async fn a_client_that_is_ahead_waits_for_the_process_to_catch_up() {
    let (app, link) = empty_app().await;
    ingest(&link, 1, "a");
    app.client("sse").last_event_id("aaaaaaaa-7.3").sse("/lines").await;
    app.client("ws").ws("/lines?last_event_id=aaaaaaaa-7.3").await;
    app.advance(secs(1)).await;
    ingest(&link, 2, "b");
    app.settle().await;
    ingest(&link, 3, "c");
    app.settle().await;
    ingest(&link, 4, "d");
    assert_transcript!(app, @r#"
    sse > GET /lines last-event-id #1
    sse ~ open 200 text/event-stream
    ws > GET /lines?last_event_id=#1 upgrade websocket
    ws ~ open 101
    after 1s
    sse < message #2 {"text":"d"}
    ws < message #2 {"text":"d"}
    "#);
}

#[tornadose_test::test]
async fn a_client_that_is_ahead_for_2_seconds_gets_the_gap_restarted() {
    let (app, link) = empty_app().await;
    ingest(&link, 1, "a");
    app.client("ahead").last_event_id("aaaaaaaa-7.3").sse("/lines").await;
    app.advance(Duration::from_millis(1999)).await;
    app.advance(Duration::from_millis(1)).await;
    ingest(&link, 3, "c");
    assert_transcript!(app, @r#"
    ahead > GET /lines last-event-id #1
    ahead ~ open 200 text/event-stream
    after 2s
    ahead < tornadose:gap {"reason":"restarted","missed":null}
    ahead < message #2 {"text":"a"}
    ahead < message #1 {"text":"c"}
    "#);
}

#[tornadose_test::test]
async fn a_client_that_is_ahead_waits_while_the_backend_is_disconnected() {
    let (app, link) = empty_app().await;
    ingest(&link, 1, "a");
    link.report_disconnected("a test");
    app.client("ahead").last_event_id("aaaaaaaa-7.2").sse("/lines").await;
    app.client("here").last_event_id("aaaaaaaa-7.1").sse("/lines").await;
    app.advance(secs(40)).await;
    link.caught_up();
    app.advance(secs(1)).await;
    ingest(&link, 2, "b");
    ingest(&link, 3, "c");
    assert_transcript!(app, @r#"
    ahead > GET /lines last-event-id #1
    ahead ~ open 200 text/event-stream
    here > GET /lines last-event-id #2
    here ~ open 200 text/event-stream
    after 15s
    ahead < : keep-alive
    here < : keep-alive
    after 15s
    ahead < : keep-alive
    here < : keep-alive
    after 11s
    ahead < message #3 {"text":"c"}
    here < message #1 {"text":"b"}
    here < message #3 {"text":"c"}
    "#);
}

#[tornadose_test::test]
async fn an_id_that_this_process_never_read_is_trimmed() {
    // When the process started, the stream had entries up to 4 that the history no longer has.
    let (store, link) = loaded::<Line>(|link| {
        link.reset(EPOCH.parse().unwrap(), at(4));
        ingest(link, 5, "five");
        ingest(link, 6, "six");
    })
    .await;
    let app = app(&store);
    for (name, id) in [("old", "7.3"), ("border", "7.4"), ("start", "0"), ("known", "7.6"), ("other", "7.5")] {
        let client = app.client(name).last_event_id(format!("aaaaaaaa-{id}")).sse("/lines").await;
        client.close().await;
    }
    ingest(&link, 9, "nine");
    app.client("never").last_event_id("aaaaaaaa-7.8").sse("/lines").await.close().await;
    // No position frame is written for the offset before the first message, because it is not known.
    app.client("new").sse("/lines").await.close().await;
    assert_transcript!(app, wire, @r#"
    old > GET /lines last-event-id #1
    old ~ open 200 text/event-stream
    old ~ content-type: text/event-stream; charset=utf-8
    old ~ cache-control: no-cache, no-transform
    old ~ x-accel-buffering: no
    old ~ transfer-encoding: chunked
    old < retry: 3000\n: tornadose\n\n
    old < event: tornadose:gap\ndata: {"reason":"trimmed","missed":null}\n\n
    old < id: #2\ndata: {"text":"five"}\n\n
    old < id: #3\ndata: {"text":"six"}\n\n
    old ~ close (client)
    border > GET /lines last-event-id #4
    border ~ open 200 text/event-stream
    border ~ content-type: text/event-stream; charset=utf-8
    border ~ cache-control: no-cache, no-transform
    border ~ x-accel-buffering: no
    border ~ transfer-encoding: chunked
    border < retry: 3000\n: tornadose\n\n
    border < event: tornadose:gap\ndata: {"reason":"trimmed","missed":null}\n\n
    border < id: #2\ndata: {"text":"five"}\n\n
    border < id: #3\ndata: {"text":"six"}\n\n
    border ~ close (client)
    start > GET /lines last-event-id #5
    start ~ open 200 text/event-stream
    start ~ content-type: text/event-stream; charset=utf-8
    start ~ cache-control: no-cache, no-transform
    start ~ x-accel-buffering: no
    start ~ transfer-encoding: chunked
    start < retry: 3000\n: tornadose\n\n
    start < event: tornadose:gap\ndata: {"reason":"trimmed","missed":null}\n\n
    start < id: #2\ndata: {"text":"five"}\n\n
    start < id: #3\ndata: {"text":"six"}\n\n
    start ~ close (client)
    known > GET /lines last-event-id #3
    known ~ open 200 text/event-stream
    known ~ content-type: text/event-stream; charset=utf-8
    known ~ cache-control: no-cache, no-transform
    known ~ x-accel-buffering: no
    known ~ transfer-encoding: chunked
    known < retry: 3000\n: tornadose\n\n
    known ~ close (client)
    other > GET /lines last-event-id #2
    other ~ open 200 text/event-stream
    other ~ content-type: text/event-stream; charset=utf-8
    other ~ cache-control: no-cache, no-transform
    other ~ x-accel-buffering: no
    other ~ transfer-encoding: chunked
    other < retry: 3000\n: tornadose\n\n
    other < id: #3\ndata: {"text":"six"}\n\n
    other ~ close (client)
    never > GET /lines last-event-id #6
    never ~ open 200 text/event-stream
    never ~ content-type: text/event-stream; charset=utf-8
    never ~ cache-control: no-cache, no-transform
    never ~ x-accel-buffering: no
    never ~ transfer-encoding: chunked
    never < retry: 3000\n: tornadose\n\n
    never < event: tornadose:gap\ndata: {"reason":"trimmed","missed":null}\n\n
    never < id: #7\ndata: {"text":"nine"}\n\n
    never ~ close (client)
    new > GET /lines
    new ~ open 200 text/event-stream
    new ~ content-type: text/event-stream; charset=utf-8
    new ~ cache-control: no-cache, no-transform
    new ~ x-accel-buffering: no
    new ~ transfer-encoding: chunked
    new < retry: 3000\n: tornadose\n\n
    new < id: #2\ndata: {"text":"five"}\n\n
    new < id: #3\ndata: {"text":"six"}\n\n
    new < id: #7\ndata: {"text":"nine"}\n\n
    new ~ close (client)
    "#);
}

#[tornadose_test::test]
async fn trimmed_messages_are_reported_at_their_position() {
    let (app, link) = empty_app().await;
    app.client("sse").sse("/lines").await;
    app.client("ws").ws("/lines").await;
    ingest(&link, 1, "a");
    link.report_trimmed(Some(3));
    ingest(&link, 5, "b");
    app.settle().await;
    app.client("resumes").last_event_id("aaaaaaaa-7.1").sse("/lines").await;
    app.client("knows").last_event_id("aaaaaaaa-7.5").sse("/lines").await;
    assert_transcript!(app, @r#"
    sse > GET /lines
    sse ~ open 200 text/event-stream
    ws > GET /lines upgrade websocket
    ws ~ open 101
    sse < message #1 {"text":"a"}
    sse < tornadose:gap {"reason":"trimmed","missed":3}
    sse < message #2 {"text":"b"}
    ws < message #1 {"text":"a"}
    ws < tornadose:gap {"reason":"trimmed","missed":3}
    ws < message #2 {"text":"b"}
    resumes > GET /lines last-event-id #1
    resumes ~ open 200 text/event-stream
    resumes < tornadose:gap {"reason":"trimmed","missed":null}
    resumes < message #2 {"text":"b"}
    knows > GET /lines last-event-id #2
    knows ~ open 200 text/event-stream
    "#);
}

#[tornadose_test::test]
async fn missed_is_null_unless_every_trimmed_message_was_owed() {
    let (store, link) = empty::<Market>().await;
    let mut all = store.subscribe();
    assert!(all.next().now_or_never().is_none());
    link.report_trimmed(Some(3));
    let Some(Received::Gap { reason, missed }) = all.next().await else { panic!("expected a gap") };
    assert_eq!((reason, missed), (GapReason::Trimmed, None));
}

#[tornadose_test::test]
async fn an_outage_is_reported_once() {
    let (app, link) = empty_app().await;
    link.ingest_unplaced(entry(r#"{"text":"a"}"#));
    let here = app.client("here").sse("/lines").await;
    link.report_disconnected("a test");
    app.advance(secs(20)).await;
    app.client("late").sse("/lines").await;
    link.report_outage();
    link.caught_up();
    app.settle().await;
    link.ingest_unplaced(entry(r#"{"text":"b"}"#));
    app.settle().await;
    app.client("back").last_event_id(here.last_event_id().unwrap()).sse("/lines").await;
    app.client("before").last_event_id("aaaaaaaa-1").sse("/lines").await;
    app.client("new").sse("/lines").await;
    assert_transcript!(app, @r#"
    here > GET /lines
    here ~ open 200 text/event-stream
    here < message #1 {"text":"a"}
    after 15s
    here < : keep-alive
    after 5s
    late > GET /lines
    late ~ open 200 text/event-stream
    late < message #1 {"text":"a"}
    here < tornadose:gap {"reason":"outage","missed":null}
    late < tornadose:gap {"reason":"outage","missed":null}
    here < message #2 {"text":"b"}
    late < message #2 {"text":"b"}
    back > GET /lines last-event-id #2
    back ~ open 200 text/event-stream
    before > GET /lines last-event-id #1
    before ~ open 200 text/event-stream
    before < tornadose:gap {"reason":"trimmed","missed":null}
    before < message #2 {"text":"b"}
    new > GET /lines
    new ~ open 200 text/event-stream
    new < message {"text":"a"}
    new < message #2 {"text":"b"}
    "#);
}

#[tornadose_test::test]
async fn after_a_reset_every_reader_gets_one_gap_and_the_kept_state() {
    let (app, link) = empty_app().await;
    ingest(&link, 1, "a");
    let sse = app.client("sse").sse("/lines").await;
    app.client("ws").ws("/lines").await;
    app.settle().await;
    let former = sse.last_event_id().unwrap();
    ingest(&link, 2, "unread");
    link.reset("bbbbbbbb".parse().unwrap(), Offset::START);
    for seq in 1..=6 {
        ingest(&link, seq, "again");
        tokio::task::yield_now().await;
    }
    app.settle().await;
    app.client("meanwhile").sse("/lines").await;
    link.caught_up();
    app.settle().await;
    ingest(&link, 7, "live");
    app.client("former").last_event_id(former).sse("/lines").await;
    assert_transcript!(app, @r#"
    sse > GET /lines
    sse ~ open 200 text/event-stream
    sse < message #1 {"text":"a"}
    ws > GET /lines upgrade websocket
    ws ~ open 101
    ws < message #1 {"text":"a"}
    meanwhile > GET /lines
    meanwhile ~ open 200 text/event-stream
    sse < tornadose:gap {"reason":"restarted","missed":null}
    sse < message #2 {"text":"again"}
    sse < message #3 {"text":"again"}
    sse < message #4 {"text":"again"}
    sse < message #5 {"text":"again"}
    ws < tornadose:gap {"reason":"restarted","missed":null}
    ws < message #2 {"text":"again"}
    ws < message #3 {"text":"again"}
    ws < message #4 {"text":"again"}
    ws < message #5 {"text":"again"}
    meanwhile < message #2 {"text":"again"}
    meanwhile < message #3 {"text":"again"}
    meanwhile < message #4 {"text":"again"}
    meanwhile < message #5 {"text":"again"}
    sse < message #6 {"text":"live"}
    ws < message #6 {"text":"live"}
    meanwhile < message #6 {"text":"live"}
    former > GET /lines last-event-id #1
    former ~ open 200 text/event-stream
    former < tornadose:gap {"reason":"restarted","missed":null}
    former < message #3 {"text":"again"}
    former < message #4 {"text":"again"}
    former < message #5 {"text":"again"}
    former < message #6 {"text":"live"}
    "#);
}

#[tornadose_test::test]
async fn a_duplicate_is_dropped_and_its_offset_is_known() {
    let (app, link) = empty_app().await;
    app.sse("/lines").await;
    let ingest_from = |seq, sender_id, number, text: &str| {
        let payload = format!(r#"{{"text":"{text}"}}"#);
        link.ingest(at(seq), IncomingEntry::new(payload.as_bytes()).with_sender(sender_id, number))
    };
    assert_eq!(ingest_from(1, "me", 1, "a"), Ingested::Queue);
    assert_eq!(ingest_from(2, "me", 2, "b"), Ingested::Queue);
    assert_eq!(ingest_from(3, "you", 1, "yours"), Ingested::Queue);
    assert_eq!(ingest_from(4, "me", 1, "a"), Ingested::Duplicate);
    assert_eq!(ingest_from(5, "me", 2, "b"), Ingested::Duplicate);
    app.client("back").last_event_id("aaaaaaaa-7.4").sse("/lines").await;
    assert_eq!(ingest_from(6, "me", 3, "c"), Ingested::Queue);
    assert_transcript!(app, @r#"
    lines > GET /lines
    lines ~ open 200 text/event-stream
    lines < message #1 {"text":"a"}
    lines < message #2 {"text":"b"}
    lines < message #3 {"text":"yours"}
    back > GET /lines last-event-id #4
    back ~ open 200 text/event-stream
    lines < message #5 {"text":"c"}
    back < message #5 {"text":"c"}
    "#);
}

#[tornadose_test::test]
async fn an_unreadable_entry_is_skipped() {
    let (app, link) = empty_app().await;
    app.sse("/lines").await;
    ingest(&link, 1, "before");
    for (seq, payload) in [(2, &b"{"[..]), (3, br#"{"txt":"a"}"#), (4, b"{\"text\":\"\xff\"}"), (5, b"")] {
        assert_eq!(link.ingest(at(seq), IncomingEntry::new(payload)), Ingested::Unreadable);
    }
    link.skip_unreadable(at(6), "no field `data`");
    assert_eq!(ingest(&link, 6, "an earlier offset"), Ingested::Duplicate);
    ingest(&link, 7, "after");
    assert_transcript!(app, @r#"
    lines > GET /lines
    lines ~ open 200 text/event-stream
    lines < message #1 {"text":"before"}
    lines < message #2 {"text":"after"}
    "#);
}

#[derive(Debug)]
struct Bad;

impl Serialize for Bad {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for Bad {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("deserializing fails")
    }
}

impl Message for Bad {
    type Key = tornadose::NoKey;
    const CHANNEL: &'static str = "bad";
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
    let (store, link) = empty::<Bad>().await;
    assert_eq!(link.ingest(at(1), entry("null")), Ingested::Unreadable);
    assert_eq!(store.head().to_string(), "aaaaaaaa-7.1");
}

#[tornadose_test::test]
async fn latest_values_older_than_the_history_are_loaded_before_it() {
    let quote = |symbol: &str, bid: u32| format!(r#"{{"quote":{{"symbol":"{symbol}","bid":{bid}}}}}"#);
    let trade = |symbol: &str, price: u32| format!(r#"{{"trade":{{"symbol":"{symbol}","price":{price}}}}}"#);
    let (store, link) = loaded::<Market>(|link| {
        link.reset(EPOCH.parse().unwrap(), at(9));
        let ingested = link.ingest(at(2), entry(&quote("AAPL", 1)));
        assert_eq!(ingested, Ingested::Latest { field: r#"MarketKey { symbol: "AAPL" } quote"#.into() });
        link.ingest(at(10), entry(&trade("AAPL", 7)));
        link.ingest(at(11), entry(&quote("MSFT", 2)));
    })
    .await;
    let app = harness(Router::with_path("prices").get(Prices::handler(&store)));
    app.client("new").sse("/prices").await.close().await;
    app.client("knows").last_event_id("aaaaaaaa-7.10").sse("/prices").await.close().await;
    app.client("former").last_event_id("aaaaaaaa-7.2").sse("/prices").await.close().await;
    assert_transcript!(app, wire, @r#"
    new > GET /prices
    new ~ open 200 text/event-stream
    new ~ content-type: text/event-stream; charset=utf-8
    new ~ cache-control: no-cache, no-transform
    new ~ x-accel-buffering: no
    new ~ transfer-encoding: chunked
    new < retry: 3000\n: tornadose\n\n
    new < event: quote\ndata: {"symbol":"AAPL","bid":1}\n\n
    new < id: #1\nevent: trade\ndata: {"symbol":"AAPL","price":7}\n\n
    new < id: #2\nevent: quote\ndata: {"symbol":"MSFT","bid":2}\n\n
    new ~ close (client)
    knows > GET /prices last-event-id #1
    knows ~ open 200 text/event-stream
    knows ~ content-type: text/event-stream; charset=utf-8
    knows ~ cache-control: no-cache, no-transform
    knows ~ x-accel-buffering: no
    knows ~ transfer-encoding: chunked
    knows < retry: 3000\n: tornadose\n\n
    knows < id: #2\nevent: quote\ndata: {"symbol":"MSFT","bid":2}\n\n
    knows ~ close (client)
    former > GET /prices last-event-id #3
    former ~ open 200 text/event-stream
    former ~ content-type: text/event-stream; charset=utf-8
    former ~ cache-control: no-cache, no-transform
    former ~ x-accel-buffering: no
    former ~ transfer-encoding: chunked
    former < retry: 3000\n: tornadose\n\n
    former < event: tornadose:gap\ndata: {"reason":"trimmed","missed":null}\n\n
    former < id: #1\nevent: trade\ndata: {"symbol":"AAPL","price":7}\n\n
    former < id: #2\nevent: quote\ndata: {"symbol":"MSFT","bid":2}\n\n
    former ~ close (client)
    "#);
    let key = MarketKey { symbol: "AAPL".into() };
    assert!(store.latest(&key).is_some());

    store.forget(&key);
    assert!(store.latest(&key).is_some(), "before the backend has ingested the forget");
    let messages = link.next_outgoing(10).await.unwrap();
    assert_eq!(*messages[0].kind(), OutgoingKind::Forget { key: r#"MarketKey { symbol: "AAPL" }"#.into() });
    assert_eq!(link.forget(Some(at(12)), r#"MarketKey { symbol: "AAPL" }"#), [r#"MarketKey { symbol: "AAPL" } quote"#]);
    assert!(store.latest(&key).is_none());
    assert!(link.forget(Some(at(13)), "unknown").is_empty());
    assert_eq!(store.head().to_string(), "aaaaaaaa-7.13");
}

/// Returns what the reader yields at once. Every call is in the same task, as the mailbox of a caught-up reader requires.
async fn next_now(reader: &mut tornadose::Subscription<Line>) -> Option<Received<Line>> {
    tokio::time::timeout(Duration::from_millis(1), reader.next()).await.ok().flatten()
}

#[tornadose_test::test]
async fn a_caught_up_reader_gets_the_gap_of_a_reset_before_the_later_messages() {
    let text = |received: Option<Received<Line>>| match received {
        Some(Received::Message { message, .. }) => message.text.clone(),
        Some(Received::Gap { reason, .. }) => format!("{reason:?}"),
        _ => "nothing".into(),
    };
    let (store, link) = empty::<Line>().await;
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
