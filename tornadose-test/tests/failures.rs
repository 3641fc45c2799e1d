//! The failures of tests: their messages, and the moment at which they are reported.
#![cfg(feature = "salvo")]
#![allow(clippy::unwrap_used)]

mod common {
    pub(crate) mod failure;
    pub(crate) mod feed;
    pub(crate) mod ws_endpoint;
}

use std::future::pending;
use std::panic::catch_unwind;
use std::time::Duration;

use common::failure::failure;
use common::feed::feed;
use common::ws_endpoint::ws_endpoint;
use salvo::prelude::*;
use serde::Deserialize;
use tornadose_test::{Client, Cut, Harness, run};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "the tests fail while they decode it")]
enum Chat {
    Said { text: String },
}

#[handler]
async fn crash() {
    tokio::spawn(async { panic!("the cellar is flooded") });
}

#[test]
fn an_unread_message_fails_the_test_at_its_end() {
    insta::assert_snapshot!(failure(|| async {
        let (feed, handler) = feed("retry: 3000\n\n");
        let app = Harness::new(Router::with_path("{**path}").get(handler));
        let ada = app.client("ada").sse("/rooms/1").await;
        app.client("bob").lenient().sse("/rooms/1").await;
        feed.push("id: k3v9x0aq-1\nevent: said\ndata: 1\n\ndata: 2\n\n: keep-alive\n\nid: k3v9x0aq-2\n\n");
        ada.skip(1).await;
    }), @"
    `ada` has received 1 message that the test has not read:
        ada < message 2
        read with `ada.next().await`, compare with `assert_transcript!`, or open the client with `.lenient()`

    the transcript so far:
        ada > GET /rooms/1
        ada ~ open 200 text/event-stream
        bob > GET /rooms/1
        bob ~ open 200 text/event-stream
        ada < said #1 1
        ada < message 2
        ada < : keep-alive
        bob < said #1 1
        bob < message 2
        bob < : keep-alive
    the clients:
        ada: open, 1 unread
        bob: open, 2 unread
    ");
}

#[test]
fn a_wrong_message_is_shown_with_the_expected_type() {
    insta::assert_snapshot!(failure(|| async {
        let (feed, handler) = feed("event: left\ndata: {\"user\":\"bob\"}\n\n");
        let app = Harness::new(Router::with_path("chat").get(handler));
        let chat = app.sse("/chat").await;
        feed.end();
        chat.next::<Chat>().await;
    }), @r#"
    `chat`: expected a `Chat`, got the event `left` with {"user":"bob"}
        as {"left": data}: unknown variant `left`, expected `said` at line 1 column 7
        as data alone: unknown variant `user`, expected `said` at line 1 column 7
    at tornadose-test/tests/failures.rs:LINE

    the transcript so far:
        chat > GET /chat
        chat ~ open 200 text/event-stream
        chat < left {"user":"bob"}
        chat ~ end
    the clients:
        chat: ended, reconnects in 3s, 0 unread
    the next timer: in 3s
    "#);
}

#[test]
fn a_wait_for_a_message_is_bounded() {
    insta::assert_snapshot!(failure(|| async {
        let (_feed, handler) = feed("");
        let app = Harness::new(Router::with_path("chat").get(handler));
        app.sse("/chat").await.next::<Chat>().await;
    }), @"
    `chat`: expected a `Chat`, and no message arrived for 60s
    at tornadose-test/tests/failures.rs:LINE

    the transcript so far:
        chat > GET /chat
        chat ~ open 200 text/event-stream
    the clients:
        chat: open, 0 unread
    the next timer: none within the hour
        If it comes from a thread or a socket outside the runtime, the clock does not wait for it. Hold the clock meanwhile: `let _held = app.hold_clock();`
        Or use real time throughout: `#[tornadose_test::test(clock = real)]`
    ");
}

#[test]
fn next_now_fails_without_waiting() {
    insta::assert_snapshot!(failure(|| async {
        let (_feed, handler) = feed("");
        let app = Harness::new(Router::with_path("chat").get(handler));
        app.sse("/chat").await.next_now::<Vec<Chat>>().await;
    }), @"
    `chat`: expected a `Vec<Chat>` now, and there is no message
    at tornadose-test/tests/failures.rs:LINE

    the transcript so far:
        chat > GET /chat
        chat ~ open 200 text/event-stream
    the clients:
        chat: open, 0 unread
    the next timer: none within the hour
        If it comes from a thread or a socket outside the runtime, the clock does not wait for it. Hold the clock meanwhile: `let _held = app.hold_clock();`
        Or use real time throughout: `#[tornadose_test::test(clock = real)]`
    ");
}

#[test]
fn an_ended_stream_has_no_next_message() {
    insta::assert_snapshot!(failure(|| async {
        let (feed, handler) = feed("");
        let app = Harness::new(Router::with_path("chat").get(handler));
        let chat = app.client("chat").once().sse("/chat").await;
        feed.end();
        chat.skip(2).await;
    }), @"
    `chat`: expected message 1 of 2 to skip, and its stream has ended
    at tornadose-test/tests/failures.rs:LINE

    the transcript so far:
        chat > GET /chat
        chat ~ open 200 text/event-stream
        chat ~ end
    the clients:
        chat: ended, 0 unread
    the next timer: none within the hour
    ");
}

#[test]
fn quiet_shows_the_unread_messages() {
    insta::assert_snapshot!(failure(|| async {
        let (_feed, handler) = feed("data: 1\n\n");
        let app = Harness::new(Router::with_path("chat").get(handler));
        app.sse("/chat").await.quiet().await;
    }), @"
    `chat`: expected no messages, and 1 arrived:
        chat < message 1
    at tornadose-test/tests/failures.rs:LINE

    the transcript so far:
        chat > GET /chat
        chat ~ open 200 text/event-stream
        chat < message 1
    the clients:
        chat: open, 1 unread
    the next timer: none within the hour
    ");
}

#[test]
fn closed_fails_while_the_stream_stays_open() {
    insta::assert_snapshot!(failure(|| async {
        let (_feed, handler) = feed("");
        let app = Harness::new(Router::with_path("chat").get(handler));
        app.sse("/chat").await.closed().await;
    }), @"
    `chat`: expected its stream to end, and it is still open after 60s
    at tornadose-test/tests/failures.rs:LINE

    the transcript so far:
        chat > GET /chat
        chat ~ open 200 text/event-stream
    the clients:
        chat: open, 0 unread
    the next timer: none within the hour
        If it comes from a thread or a socket outside the runtime, the clock does not wait for it. Hold the clock meanwhile: `let _held = app.hold_clock();`
        Or use real time throughout: `#[tornadose_test::test(clock = real)]`
    ");
}

#[test]
fn a_panic_in_a_task_of_the_server_fails_the_test() {
    insta::assert_snapshot!(failure(|| async {
        let app = Harness::new(Router::with_path("crash").get(crash));
        app.get("/crash").await;
    }), @r#"
    `crash` has an answer that the test has not looked at:
        crash ~ answer 200
        look at it with `.status()` or `assert_transcript!`, or open the client with `.lenient()`
    a task panicked: the cellar is flooded
        if the panic is expected, write `app.expect_panic("…").await`

    the transcript so far:
        crash > GET /crash
        crash ~ answer 200
        server ! panicked: the cellar is flooded
    the clients:
        crash: ended, 0 unread
    "#);
}

#[test]
fn an_expected_panic_must_happen() {
    insta::assert_snapshot!(failure(|| async {
        let app = Harness::new(Router::with_path("crash").get(crash));
        app.expect_panic("cellar").await;
    }), @"
    expected a task to panic with `cellar`, and none has
    at tornadose-test/tests/failures.rs:LINE
    ");
}

#[test]
fn a_wait_that_never_ends_fails_the_test() {
    insta::assert_snapshot!(failure(pending), @"
    the clock ran 10 minutes ahead without a step of the test: the test waits for something outside its runtime (a thread, a socket, a database), or for something that never happens.
        While work outside the runtime is running, hold the clock: `let _held = app.hold_clock();`
        For a test that depends on such work throughout, use real time: `#[tornadose_test::test(clock = real)]`
        For an intended long wait, write `app.advance(duration).await`
    ");
}

#[test]
fn a_clock_that_runs_away_fails_the_test() {
    insta::assert_snapshot!(failure(|| async {
        let (_feed, handler) = feed("");
        let app = Harness::new(Router::with_path("chat").get(handler));
        let _chat = app.sse("/chat").await;
        tokio::spawn(async {
            loop {
                tokio::time::sleep(Duration::from_secs(15)).await;
            }
        });
        let (outside, reply) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            std::thread::park_timeout(Duration::from_secs(5));
            outside.send(())
        });
        reply.await.unwrap();
    }), @"
    the clock ran 10 minutes ahead without a step of the test: the test waits for something outside its runtime (a thread, a socket, a database), or for something that never happens.
        While work outside the runtime is running, hold the clock: `let _held = app.hold_clock();`
        For a test that depends on such work throughout, use real time: `#[tornadose_test::test(clock = real)]`
        For an intended long wait, write `app.advance(duration).await`

    the transcript so far:
        chat > GET /chat
        chat ~ open 200 text/event-stream
    the clients:
        chat: open, 0 unread
    ");
}

#[test]
fn a_failure_of_the_body_is_reported_alone() {
    let panic = catch_unwind(|| {
        run(async {
            let (feed, handler) = feed("");
            let app = Harness::new(Router::with_path("chat").get(handler));
            app.sse("/chat").await;
            feed.push("data: unread\n\n");
            tornadose_test::settle().await;
            assert!(feed.readers() > 1, "the body's own failure");
        });
    });
    assert_eq!(*panic.unwrap_err().downcast::<&str>().unwrap(), "the body's own failure");
}

#[test]
fn a_panic_fails_only_the_test_of_its_task() {
    let crashing = std::thread::spawn(|| {
        run(async {
            let app = Harness::new(Router::with_path("crash").get(crash));
            for _ in 0..100 {
                assert_eq!(app.get("/crash").await.status(), 200);
                app.expect_panic("cellar").await;
            }
        });
    });
    for _ in 0..20 {
        run(async {
            let app = Harness::new(Router::with_path("crash").get(crash));
            assert_eq!(app.sse("/elsewhere").await.status(), 404);
        });
    }
    crashing.join().unwrap();
}

#[test]
fn a_harness_outside_of_a_test_run_panics() {
    let panic = catch_unwind(|| Harness::new(Router::new())).err().unwrap();
    assert!(panic.downcast::<String>().unwrap().contains("#[tornadose_test::test]"));
}

#[tornadose_test::test]
#[should_panic(expected = "expected no messages")]
async fn other_attributes_of_a_test_keep_their_meaning() {
    let (_feed, handler) = feed("data: 1\n\n");
    let app = Harness::new(Router::with_path("chat").get(handler));
    app.sse("/chat").await.quiet().await;
}

#[tornadose_test::test]
async fn a_long_wait_is_a_step() -> Result<(), String> {
    let (_feed, handler) = feed("");
    let app = Harness::new(Router::with_path("chat").get(handler));
    let _chat = app.sse("/chat").await;
    let start = tokio::time::Instant::now();
    app.advance(Duration::from_hours(24)).await;
    if start.elapsed() == Duration::from_hours(24) { Ok(()) } else { Err("the clock is off".into()) }
}

#[tornadose_test::test]
async fn a_held_clock_waits_for_work_outside() {
    let (feed, handler) = feed("");
    let app = Harness::new(Router::with_path("chat").get(handler));
    let chat = app.sse("/chat").await;
    let start = tokio::time::Instant::now();
    for n in 0..3 {
        let (feed, held) = (feed.clone(), app.hold_clock());
        std::thread::spawn(move || {
            std::thread::park_timeout(Duration::from_millis(20));
            feed.push(&format!("data: {n}\n\n"));
        });
        assert_eq!(chat.next::<u8>().await, n);
        drop(held);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    app.advance(Duration::from_secs(1)).await;
}

#[test]
fn a_held_clock_does_not_advance() {
    insta::assert_snapshot!(failure(|| async {
        let app = Harness::new(Router::new());
        let _held = app.hold_clock();
        app.advance(Duration::from_secs(1)).await;
    }), @"
    the clock is held and cannot advance: drop the guard that `hold_clock()` returned first
    at tornadose-test/tests/failures.rs:LINE
    ");
}

#[tornadose_test::test]
async fn until_reads_the_wanted_message_and_those_before_it() {
    let (feed, handler) = feed("event: left\ndata: 1\n\ndata: 2\n\n");
    let app = Harness::new(Router::with_path("chat").get(handler));
    let chat = app.sse("/chat").await;
    feed.push("event: said\ndata: {\"text\":\"a\"}\n\nevent: said\ndata: {\"text\":\"b\"}\n\ndata: 3\n\n");
    let Chat::Said { text } = chat.until(|Chat::Said { text }: &Chat| text == "b").await;
    assert_eq!((text.as_str(), chat.next_now::<u8>().await), ("b", 3));
}

#[test]
fn until_fails_when_no_message_satisfies_it() {
    insta::assert_snapshot!(failure(|| async {
        let (feed, handler) = feed("retry: 70000\n\n");
        let app = Harness::new(Router::with_path("chat").get(handler));
        let chat = app.sse("/chat").await;
        feed.push("data: 3\n\n");
        app.settle().await;
        chat.stall().await;
        app.client("bob").sse("/chat").await;
        feed.end();
        chat.until(|number: &u8| *number > 3).await;
    }), @"
    `chat`: expected a `u8` that satisfies the condition, and no message arrived for 60s
    at tornadose-test/tests/failures.rs:LINE

    the transcript so far:
        chat > GET /chat
        chat ~ open 200 text/event-stream, retry 1m 10s
        chat < message 3
        chat ! stall
        bob > GET /chat
        bob ~ open 200 text/event-stream, retry 1m 10s
        bob ~ end
    the clients:
        chat: open, stalled, 0 unread
        bob: ended, reconnects in 10s, 0 unread
    the next timer: in 10s
        If it comes from a thread or a socket outside the runtime, the clock does not wait for it. Hold the clock meanwhile: `let _held = app.hold_clock();`
        Or use real time throughout: `#[tornadose_test::test(clock = real)]`
    ");
}

#[test]
fn a_failure_shows_the_next_timer() {
    let message = failure(|| async {
        let (feed, handler) = feed("");
        let app = Harness::new(Router::with_path("chat").get(handler));
        let chat = app.sse("/chat").await;
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(14_900)).await;
            feed.push("data: 1\n\n");
        });
        chat.next_now::<u8>().await;
    });
    assert!(message.ends_with("\nthe next timer: in 14.9s"), "{message}");
}

#[test]
fn a_connection_held_after_its_client_has_disconnected_fails_the_test() {
    insta::assert_snapshot!(failure(|| async {
        // The endpoint's task runs until the test drops its sender, whether a client is connected or not.
        let (_one, handler) = ws_endpoint(&[]);
        let (_other, lenient) = ws_endpoint(&[]);
        let app = Harness::new(Router::new().push(Router::with_path("a").get(handler)).get(lenient));
        for client in [app.client("ada").ws("/a").await, app.client("bob").lenient().ws("/").await] {
            Client::close(&client).await;
        }
    }), @"
    `ada` has disconnected, and a task of the server still holds the connection: the task has not noticed, or it does not end
        give it the time that it needs, `app.advance(duration).await`, or open the client with `.lenient()`

    the transcript so far:
        ada > GET /a upgrade websocket
        ada ~ open 101
        bob > GET / upgrade websocket
        bob ~ open 101
        ada ~ close (client)
        bob ~ close (client)
    the clients:
        ada: ended, 0 unread
        bob: ended, 0 unread
    ");
}

#[test]
fn all_failures_at_the_end_are_reported_together() {
    insta::assert_snapshot!(failure(|| async {
        let (_feed, handler) = feed("data: 1\n\n");
        let router = Router::new().push(Router::with_path("crash").get(crash));
        let app = Harness::new(router.push(Router::with_path("chat").get(handler)));
        app.mask([".token"]);
        app.client("ada").fault(Cut::at_byte(99)).sse("/chat").await;
        app.get("/crash").await;
    }), @r#"
    the mask `.token` matches nothing: remove it, or correct it
    `ada`: the fault `cut at byte 99` had no effect, because the stream did not reach its place: remove it, or let the stream go on
    `ada` has received 1 message that the test has not read:
        ada < message 1
        read with `ada.next().await`, compare with `assert_transcript!`, or open the client with `.lenient()`
    `crash` has an answer that the test has not looked at:
        crash ~ answer 200
        look at it with `.status()` or `assert_transcript!`, or open the client with `.lenient()`
    a task panicked: the cellar is flooded
        if the panic is expected, write `app.expect_panic("…").await`

    the transcript so far:
        ada > GET /chat
        ada ~ open 200 text/event-stream
        ada < message 1
        crash > GET /crash
        crash ~ answer 200
        server ! panicked: the cellar is flooded
    the clients:
        ada: open, 1 unread
        crash: ended, 0 unread
    "#);
}

#[test]
fn until_is_bounded_on_a_stream_that_goes_on_for_ever() {
    let fail = |span: u64| {
        failure(move || async move {
            let (feed, handler) = feed("");
            let app = Harness::new(Router::with_path("chat").get(handler));
            let chat = app.sse("/chat").await;
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(Duration::from_millis(span)).await;
                    feed.push("data: 3\n\n");
                }
            });
            chat.until(|number: &u8| *number > 3).await;
        })
    };
    let line = |message: String| message.lines().next().unwrap().to_owned();
    insta::assert_snapshot!(line(fail(1)), @"`chat`: expected a `u8` that satisfies the condition, and none of 1000 messages does");
    insta::assert_snapshot!(line(fail(59_000)), @"`chat`: expected a `u8` that satisfies the condition, and none of 1h does");
}

#[test]
fn a_message_from_a_thread_is_explained() {
    for with_timer in [false, true] {
        let message = failure(move || async move {
            let (feed, handler) = feed("");
            let app = Harness::new(Router::with_path("chat").get(handler));
            let chat = app.sse("/chat").await;
            if with_timer {
                tokio::spawn(async {
                    loop {
                        tokio::time::sleep(Duration::from_secs(15)).await;
                    }
                });
            }
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_secs(1));
                feed.push("data: 1\n\n");
            });
            chat.next::<u8>().await;
        });
        assert!(message.contains("hold_clock") && message.contains("clock = real"), "{message}");
    }
}

#[test]
fn a_type_of_the_test_is_named_without_its_path() {
    let message = failure(|| async {
        #[derive(Debug, Deserialize)]
        struct E;
        let (_feed, handler) = feed("");
        let app = Harness::new(Router::with_path("chat").get(handler));
        app.sse("/chat").await.next_now::<Vec<E>>().await;
    });
    assert!(message.starts_with("`chat`: expected a `Vec<E>` now"), "{message}");
}

#[handler]
async fn panic_at_once() {
    panic!("out of paper");
}

#[test]
fn a_handler_that_panics_breaks_off_before_an_answer() {
    insta::assert_snapshot!(failure(|| async {
        let app = Harness::new(Router::with_path("crash").get(panic_at_once));
        app.get("/crash").await.status();
    }), @"
    `crash` has received no response: broken off before an answer
    at tornadose-test/tests/failures.rs:LINE

    the transcript so far:
        crash > GET /crash
        crash ~ abort
        server ! panicked: out of paper
    the clients:
        crash: broken off before an answer, 0 unread
    ");
}
