//! Keep-alives, pings, and clients that do not answer them.

use std::time::Duration;

use salvo::{Depot, Request, Router};
use tornadose::prelude::*;
use tornadose::subscriber::{KeyOf, Options};
use tornadose_test::{Ending, assert_transcript};

use super::harness::{harness, secs};
use super::slow_hook::{Line, Lines, lines};
use super::talker::{TEXT, frame, talk};

#[tornadose_test::test]
async fn a_keep_alive_is_sent_15_seconds_after_the_last_event() {
    let store = Store::new();
    let app = harness(Router::with_path("lines").get(Lines::handler(&store)));
    let page = app.client("page").sse("/lines").await;
    app.advance(secs(10)).await;
    store.submit(Line("hi".into())).await.unwrap();
    page.skip(1).await;
    app.advance(secs(20)).await;
    assert_transcript!(page, @r#"
    page > GET /lines
    page ~ open 200 text/event-stream
    after 10s
    page < message #1 "hi"
    after 15s
    page < : keep-alive
    "#);
}

#[tornadose_test::test]
async fn a_stalled_client_that_reads_again_gets_one_keep_alive() {
    let store = Store::new();
    let app = harness(Router::with_path("lines").get(Lines::handler(&store)));
    let page = app.client("page").once().buffer_size(512).sse("/lines").await;
    let keep_alives = || page.recording().to_string().matches("page < : keep-alive").count();
    page.stall().await;
    store.submit(Line("x".repeat(20 << 10))).await.unwrap();
    app.advance(secs(20)).await;
    assert_eq!(keep_alives(), 0);
    page.resume().await;
    assert_eq!(page.next_now::<String>().await.len(), 20 << 10);
    app.settle().await;
    assert_eq!(keep_alives(), 1);
    // From then on there is one every 15 s.
    app.advance(secs(45)).await;
    assert_eq!(keep_alives(), 4);
}

#[tornadose_test::test]
async fn a_client_that_sends_texts_needs_no_pong() {
    let (store, count, app) = talk();
    let socket = app.client("mute").mute().lenient().ws("/talk").await;
    for _ in 0..10 {
        app.advance(secs(29)).await;
        socket.send_raw(frame(TEXT, br#""hi""#)).await;
    }
    assert_eq!((count.get(), store.subscribers()), (10, 1));
    app.advance(secs(30)).await;
    assert_eq!(store.subscribers(), 0);
}

#[tornadose_test::test]
async fn bytes_of_an_incomplete_frame_do_not_count_as_a_pong() {
    let (store, count, app) = talk();
    let socket = app.client("slow").mute().lenient().ws("/talk").await;
    let text = frame(TEXT, format!("\"{}\"", "x".repeat(98)).as_bytes());
    for byte in &text[..29] {
        app.advance(secs(1)).await;
        socket.send_raw([*byte]).await;
    }
    assert_eq!(store.subscribers(), 1);
    app.advance(secs(1)).await;
    assert_eq!((store.subscribers(), count.get()), (0, 0));
    assert_eq!(socket.closed().await, Ending::Abort);
}

#[tornadose_test::test]
async fn a_client_is_pinged_while_its_hook_runs() {
    let (_store, app) = lines();
    let page = app.client("page").ws("/lines").await;
    page.send_text("100").await;
    app.advance(secs(90)).await;
    let text = page.recording().to_string();
    assert!(text.contains("ping"), "no ping in 90 s:\n{text}");
}

#[tornadose_test::test]
async fn a_vanished_client_is_aborted_while_its_hook_runs() {
    let (store, app) = lines();
    let page = app.client("page").lenient().ws("/lines").await;
    page.send_text("100000").await;
    page.vanish().await;
    app.advance(secs(600)).await;
    assert_eq!(store.subscribers(), 0, "10 minutes later");
}

struct ZeroKeepAlive;

impl Subscriber for ZeroKeepAlive {
    type Message = Line;
    const OPTIONS: Options = Options::new().keep_alive(Duration::ZERO);
    fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> {
        Ok(Self)
    }
    fn keys(&self) -> Keys<KeyOf<Self>> {
        Keys::All
    }
}

#[tornadose_test::test]
async fn a_keep_alive_of_zero_counts_as_a_millisecond() {
    let store = Store::new();
    let app = harness(Router::with_path("lines").get(StreamHandler::<ZeroKeepAlive>::new(&store)));
    let _page = app.client("page").lenient().ws("/lines").await;
    assert_eq!(store.subscribers(), 1);
}

#[tornadose_test::test]
async fn options_accept_the_longest_duration() {
    let store = Store::new();
    let handler = Lines::handler(&store).keep_alive(Duration::MAX).max_age(Duration::MAX).retry(Duration::MAX);
    let app = harness(Router::with_path("lines").get(handler));
    app.client("page").lenient().sse("/lines").await;
    app.client("socket").lenient().ws("/lines").await;
    assert_eq!(store.subscribers(), 2);
}
