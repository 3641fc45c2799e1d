//! Faults: each happens at its place, once, with a line in the transcript. A fault without effect fails the test.
#![cfg(feature = "salvo")]
#![allow(clippy::unwrap_used)]

mod common {
    pub(crate) mod failure;
    pub(crate) mod feed;
    pub(crate) mod ws_endpoint;
}

use std::time::Duration;

use common::failure::failure;
use common::feed::feed;
use common::ws_endpoint::ws_endpoint;
use salvo::prelude::*;
use tokio::time::Instant;
use tornadose_test::{Chunks, Cut, Ending, Harness, ReadRate, assert_transcript};

#[handler]
async fn echo(req: &mut Request) -> String {
    String::from_utf8(req.payload().await.unwrap().to_vec()).unwrap()
}

#[tornadose_test::test]
async fn a_cut_inside_an_event_loses_it_and_the_client_reconnects() {
    let (feed, handler) = feed("retry: 2000\n\n");
    let app = Harness::new(Router::with_path("rooms/1").get(handler));
    let alice = app.client("alice").sse("/rooms/1").await;
    alice.fault(Cut::inside_event(2)).await;
    feed.push("id: k3v9x0aq-1\nevent: said\ndata: hi\n\n");
    app.advance(Duration::from_secs(15)).await;
    feed.push(": keep-alive\n\nid: k3v9x0aq-2\nevent: said\n");
    app.settle().await;
    feed.push("data: again\n\ndata: never\n\n");
    alice.reconnected().await;
    assert_eq!(feed.readers(), 1, "the server has noticed the end of the first connection");
    feed.push("id: k3v9x0aq-2\nevent: said\ndata: again\n\n");
    assert_transcript!(alice, @"
    alice > GET /rooms/1
    alice ~ open 200 text/event-stream, retry 2s
    alice < said #1 hi
    after 15s
    alice < : keep-alive
    alice ! cut inside event #2 (10 of 40 bytes arrived)
    after 2s
    alice > GET /rooms/1 last-event-id #1
    alice ~ open 200 text/event-stream, retry 2s
    alice < said #2 again
    ");
}

#[tornadose_test::test]
async fn a_cut_waits_for_a_connection_that_reaches_its_place() {
    let (_feed, handler) = feed("id: 1\ndata: a\n\nid: 2\ndata: b\n\n");
    let app = Harness::new(Router::with_path("a").get(handler));
    let a = app.client("a").fault(Cut::at_byte(0)).fault(Cut::after_event(1)).fault(Cut::at_byte(29)).sse("/a").await;
    for _ in 0..3 {
        a.reconnected().await;
    }
    assert_transcript!(a, wire, @r"
    a > GET /a
    a ~ open 200 text/event-stream
    a ~ content-type: text/event-stream; charset=utf-8
    a ~ transfer-encoding: chunked
    a ! cut at byte 0
    after 3s
    a > GET /a
    a ~ open 200 text/event-stream
    a ~ content-type: text/event-stream; charset=utf-8
    a ~ transfer-encoding: chunked
    a < id: #1\ndata: a\n\n
    a ! cut after event #1
    after 3s
    a > GET /a last-event-id #1
    a ~ open 200 text/event-stream
    a ~ content-type: text/event-stream; charset=utf-8
    a ~ transfer-encoding: chunked
    a < id: #1\ndata: a\n\n
    a < id: #2\ndata: b\n
    a ! cut at byte 29
    after 3s
    a > GET /a last-event-id #1
    a ~ open 200 text/event-stream
    a ~ content-type: text/event-stream; charset=utf-8
    a ~ transfer-encoding: chunked
    a < id: #1\ndata: a\n\n
    a < id: #2\ndata: b\n\n
    ");
}

#[tornadose_test::test]
async fn a_websocket_is_cut_inside_its_message() {
    let (endpoint, handler) = ws_endpoint(&[]);
    let app = Harness::new(Router::with_path("a").get(handler));
    let a = app.client("a").fault(Cut::inside_event(2)).ws("/a").await;
    endpoint.push_text(r#"{"id":"k3v9x0aq-1"}"#);
    endpoint.push_text(r#"{"id":"k3v9x0aq-2","data":1}"#);
    endpoint.push(b"\x89\x00");
    endpoint.push_text(r#"{"data":2}"#);
    assert_eq!(a.closed().await, Ending::Abort);
    endpoint.hang_up();
    a.skip(1).await;
    assert_transcript!(a, @"
    a > GET /a upgrade websocket
    a ~ open 101
    a < message #1 1
    a < ping
    a ! cut inside event 2 (3 of 12 bytes arrived)
    ");
}

#[tornadose_test::test]
async fn chunks_split_both_directions() {
    let greeting = "id: 1\r\ndata: ä€\r\n\r\ndata: 2\n\n";
    for chunks in [Chunks::of(1), Chunks::of(7), Chunks::at([1, 90, 91, 200]), Chunks::seeded(7), Chunks::seeded(8)] {
        let (_feed, handler) = feed(greeting);
        let (endpoint, sockets) = ws_endpoint(&[]);
        let (news, talk) = (Router::with_path("feed").get(handler), Router::with_path("line").get(sockets));
        let app = Harness::new(Router::new().push(news).push(talk).push(Router::with_path("echo").post(echo)));
        let start = Instant::now();
        let news = app.client("news").fault(chunks.clone()).sse("/feed").await;
        assert_eq!((news.next::<String>().await, news.next::<u8>().await), ("ä€".into(), 2));
        let echoed = app.client("echo").fault(chunks.clone()).post("/echo", "the body").await;
        assert_eq!(echoed.text(), "the body");
        let bob = app.client("bob").fault(chunks.clone()).ws("/line").await;
        bob.send_text("hello, in chunks").await;
        assert_eq!(endpoint.take_frames(), [b"\x81hello, in chunks"]);
        endpoint.push_text("and back");
        assert_eq!(bob.next::<String>().await, "and back");
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert!(news.recording().to_string().contains(&format!("\nnews ! {chunks}\n")));
    }
}

#[tornadose_test::test]
async fn the_server_reads_each_chunk_alone() {
    let (endpoint, handler) = ws_endpoint(&[]);
    let app = Harness::new(Router::with_path("a").get(handler));
    let a = app.ws("/a").await;
    a.fault(Chunks::at([1, 2, 5])).await;
    a.send_raw(b"\x81\x83\x00\x00\x00\x00abc").await;
    assert_eq!(endpoint.take_read_sizes(), [1, 1, 3, 4]);
}

#[tornadose_test::test]
async fn a_read_rate_limits_the_bytes_per_second() {
    let (feed, handler) = feed("");
    let app = Harness::new(Router::with_path("slow").get(handler));
    let slow = app.client("slow").buffer_size(64).sse("/slow").await;
    slow.fault(ReadRate::bytes_per_second(100)).await;
    let start = Instant::now();
    for n in 0..100 {
        feed.push(&format!("data: {n}\n\n"));
    }
    slow.skip(100).await;
    let seconds = start.elapsed().as_secs_f64();
    // 990 bytes of events, and about 500 bytes of chunked encoding.
    assert!((14.0..16.0).contains(&seconds), "{seconds}");
}

#[tornadose_test::test]
async fn a_half_closed_client_still_receives() {
    let (endpoint, handler) = ws_endpoint(&[]);
    let app = Harness::new(Router::with_path("a").get(handler));
    let a = app.ws("/a").await;
    a.half_close().await;
    assert!(endpoint.has_ended());
    endpoint.push_text("still here");
    assert_eq!(a.next_now::<String>().await, "still here");
    assert_transcript!(a, @r#"
    a > GET /a upgrade websocket
    a ~ open 101
    a ! half-close
    a < "still here"
    "#);
}

#[test]
fn a_fault_without_effect_fails_the_test() {
    insta::assert_snapshot!(failure(|| async {
        let (_feed, handler) = feed("data: 1\n\n");
        let app = Harness::new(Router::with_path("{**path}").get(handler));
        let ada = app.client("ada").fault(Cut::inside_event(2)).sse("/a").await;
        ada.fault(Cut::at_byte(100)).await;
        ada.fault(ReadRate::bytes_per_second(1)).await;
        ada.skip(1).await;
        app.client("bob").fault(Chunks::at([100_000])).lenient().sse("/b").await;
    }), @"
    `ada`: the fault `cut inside event 2` had no effect, because the stream did not reach its place: remove it, or let the stream go on
    `ada`: the fault `cut at byte 100` had no effect, because the stream did not reach its place: remove it, or let the stream go on
    `ada`: the fault `1 byte a second` had no effect, because the stream did not reach its place: remove it, or let the stream go on

    the transcript so far:
        ada > GET /a
        ada ~ open 200 text/event-stream
        ada < message 1
        ada ! 1 byte a second
        bob > GET /b
        bob ! chunks that end at bytes 100000
        bob ~ open 200 text/event-stream
        bob < message 1
    the clients:
        ada: open, 0 unread
        bob: open, 1 unread
    ");
}

#[test]
fn a_cut_at_a_passed_place_fails_the_test() {
    insta::assert_snapshot!(failure(|| async {
        let (_feed, handler) = feed("data: 1\n\n");
        let app = Harness::new(Router::with_path("a").get(handler));
        let a = app.sse("/a").await;
        a.fault(Cut::inside_event(1)).await;
    }), @"
    `a`: the cut inside event 1 is too late: 9 bytes of the stream have arrived, with 1 whole events; to cut the beginning of a stream, give the fault to `app.client(…)` before it opens
    at tornadose-test/tests/faults.rs:LINE

    the transcript so far:
        a > GET /a
        a ~ open 200 text/event-stream
        a < message 1
    the clients:
        a: open, 1 unread
    ");
}

#[test]
fn a_disconnected_client_cannot_be_cut() {
    insta::assert_snapshot!(failure(|| async {
        let (feed, handler) = feed("");
        let app = Harness::new(Router::with_path("a").get(handler));
        let a = app.sse("/a").await;
        feed.end();
        a.cut().await;
    }), @"
    `a` has no connection to cut
    at tornadose-test/tests/faults.rs:LINE

    the transcript so far:
        a > GET /a
        a ~ open 200 text/event-stream
        a ~ end
    the clients:
        a: ended, reconnects in 3s, 0 unread
    ");
}
