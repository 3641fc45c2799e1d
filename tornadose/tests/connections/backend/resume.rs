//! Ids that clients resume after, in a process that may know more or less than another.

use std::time::Duration;

use tornadose::backend::{Ingested, OutgoingKind};
use tornadose::prelude::*;
use tornadose_test::assert_transcript;

use crate::connections::harness::{harness, secs};
use crate::connections::link::{EPOCH, Line, Market, MarketKey, at, entry, ingest, loaded, open_empty};

use super::{Lines, app, empty_app};

#[tornadose_test::test]
async fn an_id_is_valid_in_every_process() {
    let (one, first) = open_empty::<Line>().await;
    let (other, second) = open_empty::<Line>().await;
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
    old < retry: 3000\n: tornadose\nevent: tornadose:gap\ndata: {"reason":"trimmed","missed":null}\n\n
    old < id: #2\ndata: {"text":"five"}\n\n
    old < id: #3\ndata: {"text":"six"}\n\n
    old ~ close (client)
    border > GET /lines last-event-id #4
    border ~ open 200 text/event-stream
    border ~ content-type: text/event-stream; charset=utf-8
    border ~ cache-control: no-cache, no-transform
    border ~ x-accel-buffering: no
    border ~ transfer-encoding: chunked
    border < retry: 3000\n: tornadose\nevent: tornadose:gap\ndata: {"reason":"trimmed","missed":null}\n\n
    border < id: #2\ndata: {"text":"five"}\n\n
    border < id: #3\ndata: {"text":"six"}\n\n
    border ~ close (client)
    start > GET /lines last-event-id #5
    start ~ open 200 text/event-stream
    start ~ content-type: text/event-stream; charset=utf-8
    start ~ cache-control: no-cache, no-transform
    start ~ x-accel-buffering: no
    start ~ transfer-encoding: chunked
    start < retry: 3000\n: tornadose\nevent: tornadose:gap\ndata: {"reason":"trimmed","missed":null}\n\n
    start < id: #2\ndata: {"text":"five"}\n\n
    start < id: #3\ndata: {"text":"six"}\n\n
    start ~ close (client)
    known > GET /lines last-event-id #3
    known ~ open 200 text/event-stream
    known ~ content-type: text/event-stream; charset=utf-8
    known ~ cache-control: no-cache, no-transform
    known ~ x-accel-buffering: no
    known ~ transfer-encoding: chunked
    known < retry: 3000\n: tornadose\n
    known ~ close (client)
    other > GET /lines last-event-id #2
    other ~ open 200 text/event-stream
    other ~ content-type: text/event-stream; charset=utf-8
    other ~ cache-control: no-cache, no-transform
    other ~ x-accel-buffering: no
    other ~ transfer-encoding: chunked
    other < retry: 3000\n: tornadose\nid: #3\ndata: {"text":"six"}\n\n
    other ~ close (client)
    never > GET /lines last-event-id #6
    never ~ open 200 text/event-stream
    never ~ content-type: text/event-stream; charset=utf-8
    never ~ cache-control: no-cache, no-transform
    never ~ x-accel-buffering: no
    never ~ transfer-encoding: chunked
    never < retry: 3000\n: tornadose\nevent: tornadose:gap\ndata: {"reason":"trimmed","missed":null}\n\n
    never < id: #7\ndata: {"text":"nine"}\n\n
    never ~ close (client)
    new > GET /lines
    new ~ open 200 text/event-stream
    new ~ content-type: text/event-stream; charset=utf-8
    new ~ cache-control: no-cache, no-transform
    new ~ x-accel-buffering: no
    new ~ transfer-encoding: chunked
    new < retry: 3000\n: tornadose\nid: #2\ndata: {"text":"five"}\n\n
    new < id: #3\ndata: {"text":"six"}\n\n
    new < id: #7\ndata: {"text":"nine"}\n\n
    new ~ close (client)
    "#);
}

#[subscriber(sse, store = Market, all_keys, replay = 10)]
struct Prices;

#[tornadose_test::test]
async fn latest_values_older_than_the_history_are_loaded_before_it() {
    let quote = |symbol: &str, bid: u32| format!(r#"{{"quote":{{"symbol":"{symbol}","bid":{bid}}}}}"#);
    let trade = |symbol: &str, price: u32| format!(r#"{{"trade":{{"symbol":"{symbol}","price":{price}}}}}"#);
    let (store, link) = loaded::<Market>(|link| {
        link.reset(EPOCH.parse().unwrap(), at(9));
        let ingested = link.ingest(at(2), entry(&quote("AAPL", 1)));
        assert_eq!(ingested, Ingested::Latest { slot: r#"{"symbol":"AAPL"} quote"#.into() });
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
    new < retry: 3000\n: tornadose\nevent: quote\ndata: {"symbol":"AAPL","bid":1}\n\n
    new < id: #1\nevent: trade\ndata: {"symbol":"AAPL","price":7}\n\n
    new < id: #2\nevent: quote\ndata: {"symbol":"MSFT","bid":2}\n\n
    new ~ close (client)
    knows > GET /prices last-event-id #1
    knows ~ open 200 text/event-stream
    knows ~ content-type: text/event-stream; charset=utf-8
    knows ~ cache-control: no-cache, no-transform
    knows ~ x-accel-buffering: no
    knows ~ transfer-encoding: chunked
    knows < retry: 3000\n: tornadose\nid: #2\nevent: quote\ndata: {"symbol":"MSFT","bid":2}\n\n
    knows ~ close (client)
    former > GET /prices last-event-id #3
    former ~ open 200 text/event-stream
    former ~ content-type: text/event-stream; charset=utf-8
    former ~ cache-control: no-cache, no-transform
    former ~ x-accel-buffering: no
    former ~ transfer-encoding: chunked
    former < retry: 3000\n: tornadose\nevent: tornadose:gap\ndata: {"reason":"trimmed","missed":null}\n\n
    former < id: #1\nevent: trade\ndata: {"symbol":"AAPL","price":7}\n\n
    former < id: #2\nevent: quote\ndata: {"symbol":"MSFT","bid":2}\n\n
    former ~ close (client)
    "#);
    let key = MarketKey { symbol: "AAPL".into() };
    assert!(store.latest(&key).is_some());

    store.forget(&key);
    assert!(store.latest(&key).is_some(), "before the backend has ingested the forget");
    let messages = link.next_outgoing(10).await.unwrap();
    assert_eq!(*messages[0].kind(), OutgoingKind::Forget { key: r#"{"symbol":"AAPL"}"#.into() });
    assert_eq!(link.forget(Some(at(12)), r#"{"symbol":"AAPL"}"#), [r#"{"symbol":"AAPL"} quote"#]);
    assert!(store.latest(&key).is_none());
    assert!(link.forget(Some(at(13)), "unknown").is_empty());
    assert_eq!(store.head().to_string(), "aaaaaaaa-7.13");
}
