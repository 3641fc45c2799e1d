//! What a test must have looked at by its end: every answer, every end, and that each request has an answer.
#![cfg(feature = "salvo")]
#![allow(clippy::unwrap_used)]

mod common {
    pub(crate) mod failure;
    pub(crate) mod feed;
}

use std::future::pending;
use std::time::Duration;

use common::failure::failure;
use common::feed::feed;
use salvo::prelude::*;
use tornadose_test::{Harness, assert_transcript};

#[handler]
async fn never() {
    pending::<()>().await;
}

#[handler]
async fn deny(res: &mut Response) {
    res.status_code(StatusCode::FORBIDDEN);
    res.render("not your room");
}

fn router() -> Router {
    Router::new().push(Router::with_path("never").post(never)).push(Router::with_path("denied").get(deny))
}

#[test]
fn a_request_without_an_answer_fails_the_test() {
    insta::assert_snapshot!(failure(|| async {
        let app = Harness::new(router());
        app.client("ada").post("/never", "").await;
    }), @"
    `ada` has sent a request and has no answer
        give the handler the time that it needs, `app.advance(duration).await`, or open the client with `.lenient()`

    the transcript so far:
        ada > POST /never
    the clients:
        ada: waiting for a response, 0 unread
    ");
}

#[test]
fn an_answer_that_nobody_has_looked_at_fails_the_test() {
    insta::assert_snapshot!(failure(|| async {
        let app = Harness::new(router());
        app.client("ada").get("/denied").await;
        app.client("bob").sse("/denied").await;
        app.client("eve").lenient().sse("/denied").await;
        app.client("fay").lenient().get("/denied").await;
        assert_eq!(app.client("cat").get("/denied").await.text(), "not your room");
        assert_eq!(app.client("dan").sse("/denied").await.status(), 403);
    }), @"
    `ada` has an answer that the test has not looked at:
        ada ~ answer 403 not your room
        look at it with `.status()` or `assert_transcript!`, or open the client with `.lenient()`
    `bob` has an answer that the test has not looked at:
        bob ~ answer 403 not your room
        look at it with `bob.status()` or `assert_transcript!`, or open the client with `.lenient()`

    the transcript so far:
        ada > GET /denied
        ada ~ answer 403 not your room
        bob > GET /denied
        bob ~ answer 403 not your room
        eve > GET /denied
        eve ~ answer 403 not your room
        fay > GET /denied
        fay ~ answer 403 not your room
        cat > GET /denied
        cat ~ answer 403 not your room
        dan > GET /denied
        dan ~ answer 403 not your room
    the clients:
        ada: answered 403, 0 unread
        bob: answered 403, 0 unread
        eve: answered 403, 0 unread
        fay: answered 403, 0 unread
        cat: answered 403, 0 unread
        dan: answered 403, 0 unread
    ");
}

#[test]
fn an_end_that_nobody_has_seen_fails_the_test() {
    insta::assert_snapshot!(failure(|| async {
        let (feed, handler) = feed("data: 1\n\n");
        let app = Harness::new(Router::with_path("feed").get(handler));
        let ada = app.client("ada").once().sse("/feed").await;
        let bob = app.client("bob").sse("/feed").await;
        let cat = app.client("cat").sse("/feed").await;
        let dan = app.client("dan").once().sse("/feed").await;
        for client in [&ada, &bob, &cat, &dan] {
            client.skip(1).await;
        }
        feed.end();
        // A message of the next connection is later than the end of the first.
        bob.skip(1).await;
        cat.reconnected().await;
        cat.skip(1).await;
        dan.closed().await;
    }), @"
    `ada` has an end that the test has not looked at:
        ada ~ end
        look at it with `ada.closed().await` or `assert_transcript!`, or open the client with `.lenient()`

    the transcript so far:
        … 3 lines before
        bob > GET /feed
        bob ~ open 200 text/event-stream
        bob < message 1
        cat > GET /feed
        cat ~ open 200 text/event-stream
        cat < message 1
        dan > GET /feed
        dan ~ open 200 text/event-stream
        dan < message 1
        ada ~ end
        bob ~ end
        cat ~ end
        dan ~ end
        after 3s
        bob > GET /feed
        bob ~ open 200 text/event-stream
        bob < message 1
        cat > GET /feed
        cat ~ open 200 text/event-stream
        cat < message 1
    the clients:
        ada: ended, 0 unread
        bob: open, 0 unread
        cat: open, 0 unread
        dan: ended, 0 unread
    ");
}

#[test]
fn quiet_needs_an_open_stream() {
    let (feed, handler) = feed("");
    let quiet = |path: &'static str| {
        let handler = handler.clone();
        failure(move || async move {
            let app = Harness::new(router().push(Router::with_path("feed").get(handler)));
            app.sse(path).await.quiet_for(Duration::from_secs(60)).await;
        })
    };
    insta::assert_snapshot!(quiet("/typo"), @r#"
    `typo`: expected no messages for 60s, and their absence proves nothing: it has no stream that is open and read: answered 404
        to let time pass, write `app.advance(duration).await`
    at tornadose-test/tests/end.rs:LINE

    the transcript so far:
        typo > GET /typo
        typo ~ answer 404 <!DOCTYPE html>\n<html>\n<head>\n    <meta charset="utf-8">\n    <meta name="viewport" content="width=device-width">\n    <title>404: Not Found</title>\n    <style>\n    :root {\n        --bg-color: #fff;\n        --text-color: #222;\n    }\n    body {\n        background: var(--bg-color);\n        color: var(--text-color);\n        text-align: center;\n    }\n    pre { text-align: left; padding:  … (905 bytes)
    the clients:
        typo: answered 404, 0 unread
    "#);
    drop(feed);
}

#[tornadose_test::test]
async fn a_transcript_looks_at_answers_and_ends() {
    let (feed, handler) = feed("data: 1\n\n");
    let app = Harness::new(router().push(Router::with_path("feed").get(handler)));
    app.client("ada").once().sse("/feed").await;
    app.client("bob").get("/denied").await;
    feed.end();
    assert_transcript!(app, @"
    ada > GET /feed
    ada ~ open 200 text/event-stream
    ada < message 1
    bob > GET /denied
    bob ~ answer 403 not your room
    ada ~ end
    ");
}

#[tornadose_test::test]
async fn what_the_test_does_to_the_server_needs_no_look() {
    let (_feed, handler) = feed("");
    let app = Harness::new(Router::with_path("feed").get(handler));
    app.sse("/feed").await;
    app.server().stop().await;
    app.advance(Duration::from_secs(10)).await;
}
