//! SSE clients of hand-written handlers.
#![cfg(feature = "salvo")]
#![allow(clippy::unwrap_used)]

mod common {
    pub(crate) mod feed;
}

use std::time::Duration;

use common::feed::{Feed, feed};
use salvo::prelude::*;
use serde::Deserialize;
use tornadose_test::{Ending, Harness, assert_transcript};

#[handler]
async fn forbidden(res: &mut Response) {
    res.status_code(StatusCode::FORBIDDEN);
    res.render("not your room");
}

#[handler]
async fn brief(res: &mut Response) {
    res.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
    res.write_body("retry: 3000\n: hello\n\n").unwrap();
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Chat {
    Said { text: String },
}

#[tornadose_test::test]
async fn a_transcript_shows_the_events_of_a_page() {
    let (feed, handler) = feed("retry: 2000\n: tornadose\n\n");
    let app = Harness::new(Router::with_path("rooms/1").get(handler));
    let ada = app.client("ada").sse("/rooms/1").await;
    let bob = app.client("bob").sse("/rooms/1").await;
    feed.push("id: k3v9x0aq-1\nevent: said\ndata: {\"text\":\"hi\"}\n\n");
    app.advance(Duration::from_secs(15)).await;
    feed.push(": keep-alive\n\nid: k3v9x0aq-2\n\n");
    bob.close().await;
    feed.push("data: two\ndata: lines\n\nretry: 4200\n\n");
    feed.end();
    app.client("ada").last_event_id(ada.last_event_id().unwrap()).sse("/rooms/1").await;
    assert_transcript!(app, @r#"
    ada > GET /rooms/1
    ada ~ open 200 text/event-stream, retry 2s
    bob > GET /rooms/1
    bob ~ open 200 text/event-stream, retry 2s
    ada < said #1 {"text":"hi"}
    bob < said #1 {"text":"hi"}
    after 15s
    ada < : keep-alive
    bob < : keep-alive
    bob ~ close (client)
    ada < message two\nlines
    ada < retry 4.2s
    ada ~ end
    ada-2 > GET /rooms/1 last-event-id #2
    ada-2 ~ open 200 text/event-stream, retry 2s
    "#);
    assert_transcript!(ada, wire, @r#"
    ada > GET /rooms/1
    ada ~ open 200 text/event-stream
    ada ~ content-type: text/event-stream; charset=utf-8
    ada ~ transfer-encoding: chunked
    ada < retry: 2000\n: tornadose\n\n
    ada < id: #1\nevent: said\ndata: {"text":"hi"}\n\n
    after 15s
    ada < : keep-alive\n\n
    ada < id: #2\n\n
    ada < data: two\ndata: lines\n\n
    ada < retry: 4200\n\n
    ada ~ end
    "#);
}

#[tornadose_test::test]
async fn lines_without_a_blank_line_are_shown_when_they_arrive() {
    let (feed, handler) = feed("retry: 2000\n: tornadose\n");
    let app = Harness::new(Router::with_path("rooms/1").get(handler));
    let ada = app.client("ada").sse("/rooms/1").await;
    app.advance(Duration::from_secs(15)).await;
    feed.push(": keep-alive\n");
    app.advance(Duration::from_secs(15)).await;
    feed.push(": keep-alive\nid: k3v9x0aq-1\n\nretry: 4200\n");
    feed.end();
    assert_transcript!(ada, @"
    ada > GET /rooms/1
    ada ~ open 200 text/event-stream, retry 2s
    after 15s
    ada < : keep-alive
    after 15s
    ada < : keep-alive
    ada < retry 4.2s
    ada ~ end
    ");
    assert_transcript!(ada, wire, @r"
    ada > GET /rooms/1
    ada ~ open 200 text/event-stream
    ada ~ content-type: text/event-stream; charset=utf-8
    ada ~ transfer-encoding: chunked
    ada < retry: 2000\n: tornadose\n
    after 15s
    ada < : keep-alive\n
    after 15s
    ada < : keep-alive\nid: #1\n\n
    ada < retry: 4200\n
    ada ~ end
    ");
}

#[tornadose_test::test]
async fn a_rejection_and_a_complete_stream_are_lines() {
    let app = Harness::new(Router::new().push(Router::with_path("out").get(forbidden)).get(brief));
    let out = app.sse("/out").await;
    assert_eq!((out.status(), out.text()), (403, "not your room".into()));
    assert_eq!(out.closed().await, Ending::End);
    app.sse("/").await;
    assert_transcript!(app, @"
    out > GET /out
    out ~ answer 403 not your room
    client > GET /
    client ~ open 200 text/event-stream
    client ~ end
    ");
}

#[tornadose_test::test]
async fn messages_are_read_in_order() {
    let (feed, handler) = feed("");
    let app = Harness::new(Router::with_path("chat").get(handler));
    let chat = app.sse("/chat").await;
    chat.quiet().await;
    let late = feed.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(50)).await;
        late.push("event: said\ndata: {\"text\":\"late\"}\n\n");
    });
    chat.quiet_for(Duration::from_secs(10)).await;
    assert_eq!(chat.next::<Chat>().await, Chat::Said { text: "late".into() });
    feed.push("data: 1\n\ndata: 2\n\nid: 9\nevent: said\ndata: {\"text\":\"now\"}\n\n");
    chat.skip(1).await;
    assert_eq!(chat.next_now::<u8>().await, 2);
    let event = chat.next_event().await;
    assert_eq!((event.name.as_str(), event.id.as_deref()), ("said", Some("9")));
    chat.quiet().await;
}

#[tornadose_test::test]
async fn a_body_that_breaks_off_is_an_abort() {
    let (feed, handler) = feed("data: 1\n\n");
    let app = Harness::new(Router::with_path("cut").get(handler));
    let cut = app.client("cut").lenient().sse("/cut").await;
    feed.push("data: never fin");
    feed.abort();
    assert_eq!(cut.closed().await, Ending::Abort);
    assert_transcript!(cut, wire, @r"
    cut > GET /cut
    cut ~ open 200 text/event-stream
    cut ~ content-type: text/event-stream; charset=utf-8
    cut ~ transfer-encoding: chunked
    cut < data: 1\n\n
    cut ~ abort
    ");
}

#[tornadose_test::test]
async fn a_stalled_client_resumes_without_loss() {
    let (feed, handler) = feed("");
    let app = Harness::new(Router::with_path("slow").get(handler));
    let slow = app.client("slow").buffer_size(64).sse("/slow").await;
    slow.stall().await;
    for n in 0..100 {
        feed.push(&format!("data: {n}\n\n"));
    }
    app.settle().await;
    slow.resume().await;
    slow.skip(99).await;
    assert_eq!(slow.next_now::<u8>().await, 99);
}

#[tornadose_test::test]
async fn the_server_notices_a_closed_client_and_not_a_vanished_one() {
    let (feed, handler) = feed("");
    let app = Harness::new(Router::with_path("a").get(handler));
    let closed = app.client("closed").sse("/a").await;
    let vanished = app.client("vanished").sse("/a").await;
    assert_eq!(feed.readers(), 2);
    closed.close().await;
    assert_eq!(feed.readers(), 1);
    vanished.vanish().await;
    app.advance(Duration::from_mins(5)).await;
    assert_eq!(feed.readers(), 1);
}

#[tornadose_test::test]
async fn each_of_500_clients_gets_every_message() {
    let (feed, handler) = feed("");
    let app = Harness::new(Router::with_path("all").get(handler));
    let mut clients = Vec::new();
    for _ in 0..500 {
        clients.push(app.sse("/all").await);
    }
    for n in 0..10 {
        feed.push(&format!("data: {n}\n\n"));
    }
    for client in clients {
        client.skip(9).await;
        assert_eq!(client.next_now::<u8>().await, 9);
    }
}

#[tornadose_test::test]
async fn ids_and_uuids_have_the_same_labels_for_all_clients() -> Result<(), std::io::Error> {
    let (feed, handler) = feed("");
    let app = Harness::new(Router::with_path("{**path}").get(handler));
    app.client("a").last_event_id("zzzzzzzz-1").sse("/a").await;
    app.client("b").last_event_id("k3v9x0aq-7").sse("/b").await;
    feed.push("id: k3v9x0aq-8\ndata: {\"after\":\"k3v9x0aq-7\",\"user\":\"0190a6b0-7c1e-7a2b-8000-00000000000a\"}\n\n");
    app.settle().await;
    feed.push("id: 7\ndata: {\"n\":\"7\",\"user\":\"0190A6B0-7C1E-7A2B-8000-00000000000A\"}\n\n");
    assert_transcript!(app, @r##"
    a > GET /a last-event-id "zzzzzzzz-1"
    a ~ open 200 text/event-stream
    b > GET /b last-event-id #1
    b ~ open 200 text/event-stream
    a < message #2 {"after":"#1","user":"[uuid-1]"}
    b < message #2 {"after":"#1","user":"[uuid-1]"}
    a < message #3 {"n":"7","user":"[uuid-1]"}
    b < message #3 {"n":"7","user":"[uuid-1]"}
    "##);
    let json = serde_json::to_value(app.recording()).unwrap();
    assert_eq!(json["events"][4]["data"]["user"], "[uuid-1]");
    Ok(())
}

#[tornadose_test::test]
async fn a_snapshot_without_a_text_is_in_a_file() {
    let app = Harness::new(Router::new().get(brief));
    app.sse("/").await;
    assert_transcript!("a brief stream", app);
    assert_transcript!("a brief stream on the wire", app, wire);
    assert_transcript!(app);
}

#[tornadose_test::test]
async fn a_stream_ends_with_its_server() {
    let (_feed, handler): (Feed, _) = feed("");
    let app = Harness::new(Router::with_path("a").get(handler));
    let a = app.sse("/a").await;
    app.server().stop_gracefully(Duration::from_secs(5)).await;
    assert_eq!(a.closed().await, Ending::Abort);
    app.sse("/a").await;
    app.server().start(Router::with_path("a").get(brief)).await;
    app.sse("/a").await;
    assert_transcript!(app, @"
    a > GET /a
    a ~ open 200 text/event-stream
    server ! stop gracefully, in 5s at most
    after 5s
    a ~ abort
    a-2 > GET /a
    a-2 ~ refused
    server ! start
    a-3 > GET /a
    a-3 ~ open 200 text/event-stream
    a-3 ~ end
    ");
}

#[tornadose_test::test]
async fn streams_have_unique_names_and_requests_may_share_them() {
    let app = Harness::new(Router::with_path("{**path}").get(brief));
    app.client("ada").get("/profile").await;
    app.client("ada").sse("/a").await;
    app.client("ada").sse("/b").await;
    app.sse("/rooms/7/?user=ada").await;
    assert_transcript!(app, @r"
    ada > GET /profile
    ada ~ answer 200 retry: 3000\n: hello\n\n
    ada > GET /a
    ada ~ open 200 text/event-stream
    ada ~ end
    ada-2 > GET /b
    ada-2 ~ open 200 text/event-stream
    ada-2 ~ end
    7 > GET /rooms/7/?user=ada
    7 ~ open 200 text/event-stream
    7 ~ end
    ");
}

/// Runs a scenario whose events could arrive in another order.
async fn run_crowded_scenario() -> String {
    let (feed, handler) = feed("retry: 1500\n\n");
    let app = Harness::new(Router::with_path("{**path}").get(handler));
    for n in 0..20 {
        app.client(format!("c{n}")).buffer_size(1 + n * 7).lenient().sse("/all").await;
        feed.push(&format!("id: k3v9x0aq-{n}\ndata: {n}\n\n"));
        let late = feed.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(500 * (20 - n as u64))).await;
            late.push("event: late\ndata: \"0190a6b0-7c1e-7a2b-8000-00000000000a\"\n\n");
        });
    }
    app.advance(Duration::from_secs(20)).await;
    feed.end();
    app.settle().await;
    app.recording().to_string() + &app.recording().wire()
}

#[test]
fn every_run_gives_the_same_transcript() {
    let first = tornadose_test::run(run_crowded_scenario());
    assert_eq!(first.lines().filter(|line| line.contains("< late")).count(), 400);
    for _ in 0..20 {
        assert_eq!(tornadose_test::run(run_crowded_scenario()), first);
    }
}

#[tornadose_test::test]
async fn two_harnesses_share_one_clock() {
    let (left, right) = (feed("data: 1\n\n"), feed("data: 2\n\n"));
    let left = Harness::new(Router::with_path("a").get(left.1));
    let right = Harness::new(Router::with_path("a").get(right.1));
    let (one, two) = (left.sse("/a").await, right.sse("/a").await);
    let reading = tokio::spawn(async move { one.next::<u8>().await + two.next::<u8>().await });
    assert_eq!(reading.await.unwrap(), 3);
    assert_eq!(left.recording().to_string().lines().count(), 3);
}
