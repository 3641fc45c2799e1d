//! Reads what is left, parts of JSON values, a state of the program, and cookies that last.
#![cfg(feature = "salvo")]
#![allow(clippy::unwrap_used)]

mod common {
    pub(crate) mod failure;
    pub(crate) mod feed;
}

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::failure::failure;
use common::feed::feed;
use salvo::http::cookie::Cookie;
use salvo::prelude::*;
use serde_json::json;
use tokio::time::{Instant, sleep};
use tornadose_test::{CookieJar, Harness};

#[tornadose_test::test]
async fn drain_returns_what_is_left() {
    let (feed, handler) = feed("data: 1\n\ndata: 2\n\n");
    let app = Harness::new(Router::with_path("feed").get(handler));
    let client = app.sse("/feed").await;
    feed.push("data: 3\n\n");
    assert_eq!(client.drain::<u8>().await, [1, 2, 3]);
    assert!(client.drain::<u8>().await.is_empty());
    client.quiet().await;
}

#[tornadose_test::test]
async fn a_message_contains_a_part() {
    let (_feed, handler) =
        feed("event: said\ndata: {\"user\":{\"id\":7,\"name\":\"Ada\"},\"text\":\"hi\"}\n\ndata: plain text\n\n");
    let app = Harness::new(Router::with_path("feed").get(handler));
    let client = app.sse("/feed").await;
    let said = client.next_containing(json!({"said": {"user": {"name": "Ada"}}})).await;
    assert_eq!(said["text"], "hi");
    client.next_containing("plain text").await;
}

#[test]
fn a_missing_part_is_named() {
    insta::assert_snapshot!(failure(|| async {
        let (_feed, handler) = feed("event: said\ndata: {\"user\":{\"id\":7,\"name\":\"Ada\"},\"text\":\"hi\"}\n\n");
        let app = Harness::new(Router::with_path("feed").get(handler));
        app.sse("/feed").await.next_containing(json!({"user": {"name": "Bob"}})).await;
    }), @r#"
    `feed`: expected a message that contains {"user":{"name":"Bob"}}, got the event `said` with {"user":{"id":7,"name":"Ada"},"text":"hi"}
        `.user.name` is "Ada"
    at tornadose-test/tests/state.rs:LINE

    the transcript so far:
        feed > GET /feed
        feed ~ open 200 text/event-stream
        feed < said {"user":{"id":7,"name":"Ada"},"text":"hi"}
    the clients:
        feed: open, 0 unread
    the next timer: none within the hour
    "#);
}

#[tornadose_test::test]
async fn a_state_is_reached_eventually() {
    let app = Harness::new(Router::new());
    let count = Arc::new(AtomicU32::new(0));
    let counter = count.clone();
    tokio::spawn(async move {
        loop {
            sleep(Duration::from_secs(1)).await;
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    let start = Instant::now();
    app.eventually(|| count.load(Ordering::Relaxed) == 30).await;
    assert_eq!(start.elapsed(), Duration::from_secs(30));
}

#[tornadose_test::test]
async fn a_state_of_work_outside_is_reached_while_the_clock_is_held() {
    let app = Harness::new(Router::new());
    let count = Arc::new(AtomicU32::new(0));
    let (counter, start) = (count.clone(), Instant::now());
    let held = app.hold_clock();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        counter.store(7, Ordering::Relaxed);
    });
    app.eventually(|| count.load(Ordering::Relaxed) == 7).await;
    drop(held);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[test]
fn a_state_that_is_never_reached_fails_the_test() {
    insta::assert_snapshot!(failure(|| async {
        let app = Harness::new(Router::new());
        app.eventually(|| false).await;
    }), @"
    expected the condition to hold, and it does not after 1m
    at tornadose-test/tests/state.rs:LINE
    the next timer: none within the hour
        If it comes from a thread or a socket outside the runtime, the clock does not wait for it. Hold the clock meanwhile: `let _held = app.hold_clock();`
        Or use real time throughout: `#[tornadose_test::test(clock = real)]`
    ");
}

#[handler]
async fn log_in(res: &mut Response) {
    res.add_cookie(
        Cookie::build(("session", "7")).path("/").max_age(salvo::http::cookie::time::Duration::hours(1)).build(),
    );
}

#[handler]
async fn log_out(res: &mut Response) {
    res.headers_mut().append("set-cookie", "session=; Path=/; Max-Age=0".parse().unwrap());
}

#[handler]
async fn inbox(req: &mut Request, res: &mut Response) {
    let session = req.cookie("session").map(|cookie| cookie.value().to_owned());
    let Some(session) = session else {
        res.status_code(StatusCode::UNAUTHORIZED);
        return;
    };
    res.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
    res.write_body(format!("data: \"inbox of {session}\"\n\n")).unwrap();
}

#[tornadose_test::test]
async fn a_login_lasts() {
    let router = Router::new()
        .push(Router::with_path("login").post(log_in))
        .push(Router::with_path("logout").post(log_out))
        .push(Router::with_path("inbox").get(inbox));
    let app = Harness::new(router);
    let jar = CookieJar::new();
    let ada = app.client("ada").cookie_jar(&jar).cookie("theme", "dark");
    assert_eq!(ada.clone().get("/inbox").await.status(), 401);
    assert_eq!(ada.clone().post("/login", "").await.status(), 200);
    assert_eq!(jar.value("session").as_deref(), Some("7"));
    let mail = ada.clone().sse("/inbox").await;
    assert_eq!(mail.next::<String>().await, "inbox of 7");
    // The cookie is sent again when the client reconnects, until it ends.
    mail.reconnected().await;
    assert_eq!(mail.next::<String>().await, "inbox of 7");
    mail.close().await;
    assert_eq!(ada.clone().post("/logout", "").await.status(), 200);
    assert_eq!(ada.get("/inbox").await.status(), 401);
}
