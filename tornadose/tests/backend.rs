//! A store behind a backend, in virtual time: the backend is a puppet, and the test says what it hears.

#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "common/harness.rs"]
mod common;

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

use self::common::harness;

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

/// A backend that does nothing but hand its link out.
struct Puppet(mpsc::UnboundedSender<BackendLink>);

impl Backend for Puppet {
    async fn run(self, link: BackendLink) -> Result<(), OpenError> {
        self.0.send(link).unwrap();
        pending().await
    }
}

const EPOCH: &str = "aaaaaaaa";

fn at(seq: u64) -> Offset {
    Offset::new(7, seq)
}

fn say(link: &BackendLink, seq: u64, text: &str) -> Ingested {
    let payload = format!(r#"{{"text":"{text}"}}"#);
    link.ingest(at(seq), IncomingEntry::new(payload.as_bytes()))
}

fn heard(payload: &str) -> IncomingEntry<'_> {
    IncomingEntry::new(payload.as_bytes())
}

/// A store that has heard of nothing, or of what `load` tells.
async fn opened<M>(load: impl FnOnce(&BackendLink)) -> (Store<M>, BackendLink)
where
    M: Message + Serialize + for<'de> Deserialize<'de>,
{
    let (links, mut link) = mpsc::unbounded_channel();
    let opening = tokio::spawn(Store::open(Puppet(links)));
    let link = link.recv().await.unwrap();
    load(&link);
    link.caught_up();
    (opening.await.unwrap().unwrap(), link)
}

async fn empty() -> (Store<Line>, BackendLink) {
    opened(|link| link.reset(EPOCH.parse().unwrap(), Offset::START)).await
}

fn app(store: &Store<Line>) -> Harness {
    harness(Router::with_path("lines").get(Lines::handler(store)))
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tornadose_test::test]
async fn a_store_is_open_once_it_has_caught_up() {
    let (links, mut link) = mpsc::unbounded_channel();
    let mut opening = tokio::spawn(Store::<Line>::open(Puppet(links)));
    let link = link.recv().await.unwrap();
    link.reset(EPOCH.parse().unwrap(), Offset::START);
    say(&link, 1, "before");
    tokio::time::sleep(secs(100)).await;
    assert!((&mut opening).now_or_never().is_none());
    link.caught_up();
    let store = opening.await.unwrap().unwrap();
    assert_eq!(store.head().to_string(), "aaaaaaaa-7.1");
}

#[tornadose_test::test]
async fn a_backend_that_fails_at_the_start_says_why() {
    struct Refuses;
    impl Backend for Refuses {
        async fn run(self, _: BackendLink) -> Result<(), OpenError> {
            Err(OpenError::new("not today"))
        }
    }
    struct Ends;
    impl Backend for Ends {
        async fn run(self, _: BackendLink) -> Result<(), OpenError> {
            Ok(())
        }
    }
    let error = Store::<Line>::open(Refuses).await.unwrap_err();
    assert_eq!(error.to_string(), "not today");
    assert_eq!(std::io::Error::from(error).to_string(), "not today");
    let error = Store::<Line>::open(Ends).await.unwrap_err();
    assert_eq!(error.to_string(), "the backend stopped before it was ready (`caught_up` was never called)");
}

fn line(text: &str) -> Line {
    Line { text: text.into() }
}

#[tornadose_test::test]
async fn a_submit_resolves_when_it_is_acknowledged() {
    let (store, link) = empty().await;
    let handle = store.clone();
    let submit = tokio::spawn(async move { handle.submit(line("hi")).await });
    let mut batch = link.next_outgoing(10).await.unwrap();
    assert_eq!(batch.len(), 1);
    let outgoing = batch.remove(0);
    assert_eq!((outgoing.payload(), outgoing.number()), (&br#"{"text":"hi"}"#[..], 1));
    assert_eq!(*outgoing.kind(), OutgoingKind::Queue);
    assert!(outgoing.wants_ack());
    outgoing.appended(at(1));
    assert_eq!(submit.await.unwrap().unwrap().to_string(), "aaaaaaaa-7.1");
    // The log follows when the backend tells of it.
    assert_eq!(store.head().to_string(), "aaaaaaaa-0");
    say(&link, 1, "hi");
    assert_eq!(store.head().to_string(), "aaaaaaaa-7.1");
}

#[tornadose_test::test]
async fn what_nobody_takes_in_time_was_not_sent() {
    let (store, link) = empty().await;
    let before = tokio::time::Instant::now();
    let error = store.submit(line("hi")).await.unwrap_err();
    assert_eq!(before.elapsed().as_secs(), 3);
    assert!(
        matches!(&error, SubmitError::Unavailable { outcome: SendOutcome::NotSent, message } if message.text == "hi")
    );
    assert_eq!(error.into_message(), line("hi"));
    assert!(link.next_outgoing(10).now_or_never().is_none(), "it never will be");
}

#[tornadose_test::test]
async fn what_nobody_answers_in_time_is_unknown() {
    let (store, link) = empty().await;
    let before = tokio::time::Instant::now();
    let (submit, batch) = tokio::join!(store.submit(line("hi")), link.next_outgoing(10));
    assert_eq!(before.elapsed().as_secs(), 3);
    assert!(matches!(submit.unwrap_err(), SubmitError::Unavailable { outcome: SendOutcome::Unknown, .. }));
    assert!(!batch.unwrap()[0].wants_ack());
    // Let fall without an answer, it is known at once that nothing is known.
    let (submit, ()) = tokio::join!(store.submit(line("hi")), async { drop(link.next_outgoing(10).await) });
    assert!(matches!(submit.unwrap_err(), SubmitError::Unavailable { outcome: SendOutcome::Unknown, .. }));
    assert_eq!(before.elapsed().as_secs(), 3);
}

#[tornadose_test::test]
async fn a_submit_that_is_dropped_before_it_is_taken_is_not_sent() {
    let (store, link) = empty().await;
    assert!(store.submit(line("dropped")).now_or_never().is_none());
    assert!(link.next_outgoing(10).now_or_never().is_none());
    assert!(store.try_submit(line("left")).unwrap().is_none());
    let batch = link.next_outgoing(10).await.unwrap();
    assert_eq!(batch.len(), 1);
    assert_eq!((batch[0].number(), batch[0].is_unacknowledged()), (2, true));
}

#[store(queue, memory = "64KiB")]
#[derive(Debug, Serialize, Deserialize)]
struct Small(String);

#[tornadose_test::test]
async fn what_is_on_its_way_is_bounded_by_memory() {
    let (store, link) = opened::<Small>(|link| link.reset(Epoch::fresh(), Offset::START)).await;
    for _ in 0..128 {
        assert!(store.try_submit(Small("x".into())).unwrap().is_none());
    }
    let error = store.try_submit(Small("x".into())).unwrap_err();
    assert!(matches!(error, SubmitError::Unavailable { outcome: SendOutcome::NotSent, .. }));
    let before = tokio::time::Instant::now();
    let error = store.submit(Small("x".into())).await.unwrap_err();
    assert!(matches!(error, SubmitError::Unavailable { outcome: SendOutcome::NotSent, .. }));
    assert_eq!(before.elapsed().as_secs(), 3, "a submit waits for room as long");
    drop(link.next_outgoing(1).await);
    assert!(store.try_submit(Small("x".into())).is_ok(), "what is answered makes room");
    let error = store.submit(Small("x".repeat(70_000))).await.unwrap_err();
    assert!(matches!(error, SubmitError::TooLarge { .. }), "{error}");
}

#[tornadose_test::test]
async fn a_closed_store_sends_what_it_has_and_takes_no_more() {
    let (store, link) = empty().await;
    store.try_submit(line("last")).unwrap();
    store.close();
    assert!(matches!(store.submit(line("late")).await, Err(SubmitError::Closed { .. })));
    assert!(matches!(store.try_submit(line("late")), Err(SubmitError::Closed { .. })));
    let batch = link.next_outgoing(10).await.unwrap();
    assert_eq!(batch[0].payload(), br#"{"text":"last"}"#);
    drop(batch);
    assert!(link.next_outgoing(10).await.is_none());
}

#[tornadose_test::test]
async fn a_backend_ends_with_the_last_handle_and_reader() {
    struct Tells(mpsc::UnboundedSender<&'static str>);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.send("gone").unwrap();
        }
    }
    impl Backend for Tells {
        async fn run(self, link: BackendLink) -> Result<(), OpenError> {
            link.reset(Epoch::fresh(), Offset::START);
            link.caught_up();
            pending().await
        }
    }
    let (tell, mut told) = mpsc::unbounded_channel();
    let store = Store::<Line>::open(Tells(tell)).await.unwrap();
    let reader = store.subscribe();
    drop(store);
    tokio::time::sleep(secs(10)).await;
    assert!(told.try_recv().is_err(), "somebody reads");
    drop(reader);
    assert_eq!(told.recv().await, Some("gone"));
}

#[tornadose_test::test]
async fn an_id_is_good_in_every_process() {
    let (one, first) = empty().await;
    let (other, second) = empty().await;
    for link in [&first, &second] {
        say(link, 1, "a");
        say(link, 5, "b");
    }
    let app = harness(
        Router::new()
            .push(Router::with_path("one").get(Lines::handler(&one)))
            .push(Router::with_path("other").get(Lines::handler(&other))),
    );
    let client = app.sse("/one").await;
    client.skip(2).await;
    client.close().await;
    say(&second, 6, "c");
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
    let (store, link) = empty().await;
    say(&link, 1, "a");
    let app = app(&store);
    app.client("sse").last_event_id("aaaaaaaa-7.3").sse("/lines").await;
    app.client("ws").ws("/lines?last_event_id=aaaaaaaa-7.3").await;
    app.advance(secs(1)).await;
    say(&link, 2, "b");
    app.settle().await;
    say(&link, 3, "c");
    app.settle().await;
    say(&link, 4, "d");
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
async fn a_client_that_is_ahead_for_too_long_is_told_that_its_id_is_of_no_place() {
    let (store, link) = empty().await;
    say(&link, 1, "a");
    let app = app(&store);
    app.client("ahead").last_event_id("aaaaaaaa-7.3").sse("/lines").await;
    app.advance(Duration::from_millis(1999)).await;
    app.advance(Duration::from_millis(1)).await;
    say(&link, 3, "c");
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
async fn while_the_backend_is_away_who_is_ahead_waits_on() {
    let (store, link) = empty().await;
    say(&link, 1, "a");
    link.report_disconnected("a test");
    let app = app(&store);
    app.client("ahead").last_event_id("aaaaaaaa-7.2").sse("/lines").await;
    app.client("here").last_event_id("aaaaaaaa-7.1").sse("/lines").await;
    app.advance(secs(40)).await;
    link.caught_up();
    app.advance(secs(1)).await;
    say(&link, 2, "b");
    say(&link, 3, "c");
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
async fn an_id_that_was_never_read_here_is_trimmed() {
    // The process has come when the entries up to 4 were there already, and the history began at 5.
    let (store, link) = opened::<Line>(|link| {
        link.reset(EPOCH.parse().unwrap(), at(4));
        say(link, 5, "five");
        say(link, 6, "six");
    })
    .await;
    let app = app(&store);
    for (name, id) in [("old", "7.3"), ("border", "7.4"), ("start", "0"), ("known", "7.6"), ("other", "7.5")] {
        let client = app.client(name).last_event_id(format!("aaaaaaaa-{id}")).sse("/lines").await;
        client.close().await;
    }
    say(&link, 9, "nine");
    app.client("never").last_event_id("aaaaaaaa-7.8").sse("/lines").await.close().await;
    // The place below the first is not known, so no position is written there.
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
async fn a_hole_is_told_where_the_messages_would_have_stood() {
    let (store, link) = empty().await;
    let app = app(&store);
    app.client("sse").sse("/lines").await;
    app.client("ws").ws("/lines").await;
    say(&link, 1, "a");
    link.report_trimmed(Some(3));
    say(&link, 5, "b");
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
async fn what_is_missing_is_counted_only_when_all_of_it_was_owed() {
    let (store, link) = opened::<Market>(|link| link.reset(EPOCH.parse().unwrap(), Offset::START)).await;
    let mut all = store.subscribe();
    assert!(all.next().now_or_never().is_none());
    link.report_trimmed(Some(3));
    let Some(Received::Gap { reason, missed }) = all.next().await else { panic!("expected a gap") };
    assert_eq!((reason, missed), (GapReason::Trimmed, None));
}

#[tornadose_test::test]
async fn an_outage_is_a_gap_once() {
    let (store, link) = empty().await;
    let app = app(&store);
    link.ingest_unplaced(heard(r#"{"text":"a"}"#));
    let here = app.client("here").sse("/lines").await;
    link.report_disconnected("a test");
    app.advance(secs(20)).await;
    app.client("came").sse("/lines").await;
    link.report_outage();
    link.caught_up();
    app.settle().await;
    link.ingest_unplaced(heard(r#"{"text":"b"}"#));
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
    came > GET /lines
    came ~ open 200 text/event-stream
    came < message #1 {"text":"a"}
    here < tornadose:gap {"reason":"outage","missed":null}
    came < tornadose:gap {"reason":"outage","missed":null}
    here < message #2 {"text":"b"}
    came < message #2 {"text":"b"}
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
async fn when_the_log_begins_anew_every_reader_is_told_once_and_gets_what_is_kept() {
    let (store, link) = empty().await;
    let app = app(&store);
    say(&link, 1, "a");
    let sse = app.client("sse").sse("/lines").await;
    app.client("ws").ws("/lines").await;
    app.settle().await;
    let former = sse.last_event_id().unwrap();
    say(&link, 2, "unread");
    link.reset("bbbbbbbb".parse().unwrap(), Offset::START);
    for seq in 1..=6 {
        say(&link, seq, "anew");
        tokio::task::yield_now().await;
    }
    app.settle().await;
    app.client("meanwhile").sse("/lines").await;
    link.caught_up();
    app.settle().await;
    say(&link, 7, "live");
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
    sse < message #2 {"text":"anew"}
    sse < message #3 {"text":"anew"}
    sse < message #4 {"text":"anew"}
    sse < message #5 {"text":"anew"}
    ws < tornadose:gap {"reason":"restarted","missed":null}
    ws < message #2 {"text":"anew"}
    ws < message #3 {"text":"anew"}
    ws < message #4 {"text":"anew"}
    ws < message #5 {"text":"anew"}
    meanwhile < message #2 {"text":"anew"}
    meanwhile < message #3 {"text":"anew"}
    meanwhile < message #4 {"text":"anew"}
    meanwhile < message #5 {"text":"anew"}
    sse < message #6 {"text":"live"}
    ws < message #6 {"text":"live"}
    meanwhile < message #6 {"text":"live"}
    former > GET /lines last-event-id #1
    former ~ open 200 text/event-stream
    former < tornadose:gap {"reason":"restarted","missed":null}
    former < message #3 {"text":"anew"}
    former < message #4 {"text":"anew"}
    former < message #5 {"text":"anew"}
    former < message #6 {"text":"live"}
    "#);
}

#[tornadose_test::test]
async fn a_copy_is_dropped_and_its_place_is_known() {
    let (store, link) = empty().await;
    let app = app(&store);
    app.sse("/lines").await;
    let from = |seq, by, number, text: &str| {
        let payload = format!(r#"{{"text":"{text}"}}"#);
        link.ingest(at(seq), IncomingEntry::new(payload.as_bytes()).with_sender(by, number))
    };
    assert_eq!(from(1, "me", 1, "a"), Ingested::Queue);
    assert_eq!(from(2, "me", 2, "b"), Ingested::Queue);
    assert_eq!(from(3, "you", 1, "yours"), Ingested::Queue);
    assert_eq!(from(4, "me", 1, "a"), Ingested::Duplicate);
    assert_eq!(from(5, "me", 2, "b"), Ingested::Duplicate);
    app.client("back").last_event_id("aaaaaaaa-7.4").sse("/lines").await;
    assert_eq!(from(6, "me", 3, "c"), Ingested::Queue);
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
async fn what_is_no_message_is_skipped() {
    let (store, link) = empty().await;
    let app = app(&store);
    app.sse("/lines").await;
    say(&link, 1, "before");
    for (seq, payload) in [(2, &b"{"[..]), (3, br#"{"txt":"a"}"#), (4, b"{\"text\":\"\xff\"}"), (5, b"")] {
        assert_eq!(link.ingest(at(seq), IncomingEntry::new(payload)), Ingested::Unreadable);
    }
    link.skip_unreadable(at(6), "no field `data`");
    assert_eq!(say(&link, 6, "a place that was"), Ingested::Duplicate);
    say(&link, 7, "after");
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
        panic!("of the type's own")
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
async fn a_type_that_panics_when_it_is_read_does_not_end_the_feed() {
    let (store, link) = opened::<Bad>(|link| link.reset(EPOCH.parse().unwrap(), Offset::START)).await;
    assert_eq!(link.ingest(at(1), heard("null")), Ingested::Unreadable);
    assert_eq!(store.head().to_string(), "aaaaaaaa-7.1");
}

#[tornadose_test::test]
async fn latest_values_older_than_the_history_are_loaded_before_it() {
    let quote = |symbol: &str, bid: u32| format!(r#"{{"quote":{{"symbol":"{symbol}","bid":{bid}}}}}"#);
    let trade = |symbol: &str, price: u32| format!(r#"{{"trade":{{"symbol":"{symbol}","price":{price}}}}}"#);
    let (store, link) = opened::<Market>(|link| {
        link.reset(EPOCH.parse().unwrap(), at(9));
        let taken = link.ingest(at(2), heard(&quote("AAPL", 1)));
        assert_eq!(taken, Ingested::Latest { field: r#"MarketKey { symbol: "AAPL" } quote"#.into() });
        link.ingest(at(10), heard(&trade("AAPL", 7)));
        link.ingest(at(11), heard(&quote("MSFT", 2)));
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
    assert!(store.latest(&key).is_some(), "not before the backend has told it");
    let batch = link.next_outgoing(10).await.unwrap();
    assert_eq!(*batch[0].kind(), OutgoingKind::Forget { key: r#"MarketKey { symbol: "AAPL" }"#.into() });
    assert_eq!(link.forget(Some(at(12)), r#"MarketKey { symbol: "AAPL" }"#), [r#"MarketKey { symbol: "AAPL" } quote"#]);
    assert!(store.latest(&key).is_none());
    assert!(link.forget(Some(at(13)), "nobody").is_empty());
    assert_eq!(store.head().to_string(), "aaaaaaaa-7.13");
}

/// What comes at once, to the same task each time: a live reader is known by it.
async fn at_once(reader: &mut tornadose::Subscription<Line>) -> Option<Received<Line>> {
    tokio::time::timeout(Duration::from_millis(1), reader.next()).await.ok().flatten()
}

#[tornadose_test::test]
async fn a_live_reader_hears_of_a_turn_before_the_messages_behind_it() {
    let text = |received: Option<Received<Line>>| match received {
        Some(Received::Message { message, .. }) => message.text.clone(),
        Some(Received::Gap { reason, .. }) => format!("{reason:?}"),
        _ => "nothing".into(),
    };
    let (store, link) = empty().await;
    let mut reader = store.subscribe();
    assert_eq!(text(at_once(&mut reader).await), "nothing");
    say(&link, 1, "one");
    assert_eq!(text(at_once(&mut reader).await), "one");
    link.reset("bbbbbbbb".parse().unwrap(), Offset::START);
    say(&link, 2, "anew");
    assert_eq!(text(at_once(&mut reader).await), "nothing");
    link.caught_up();
    for expected in ["Restarted", "anew", "nothing"] {
        assert_eq!(text(at_once(&mut reader).await), expected);
    }
    say(&link, 3, "three");
    assert_eq!(text(at_once(&mut reader).await), "three");
}
