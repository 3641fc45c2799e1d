//! A client comes back as a browser's `EventSource` does: the cases, and what the harness adds to them.
#![allow(clippy::unwrap_used)]

mod common {
    pub(crate) mod feed;
    pub(crate) mod line;
}

use std::panic::catch_unwind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::feed::feed;
use common::line::line;
use futures_util::stream::{StreamExt, once, pending};
use salvo::http::HeaderMap;
use salvo::prelude::*;
use serde::Deserialize;
use tokio::time::Instant;
use tornadose_test::{Client, Ending, Harness, assert_transcript, run};

/// A row of `tests/cases/sse_reconnect.json`.
#[derive(Deserialize)]
struct Row {
    name: String,
    client_default_retry_ms: u64,
    connections: Vec<Connection>,
    expect_events: Vec<Expected>,
    end_state: String,
}

#[derive(Clone, Deserialize)]
struct Connection {
    expect_last_event_id: String,
    expect_delay_ms: Option<u64>,
    #[serde(default)]
    network_error: bool,
    respond: Option<Respond>,
}

#[derive(Clone, Deserialize)]
struct Respond {
    status: u16,
    content_type: String,
    body: String,
    then: String,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Expected {
    event: String,
    data: String,
    id: String,
}

/// Answers as the row says, and keeps what it was asked.
#[derive(Clone)]
struct Scripted {
    script: Arc<Mutex<Vec<Respond>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

struct Asked {
    at: Instant,
    method: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

#[async_trait]
impl Handler for Scripted {
    async fn handle(&self, req: &mut Request, _: &mut Depot, res: &mut Response, _: &mut FlowCtrl) {
        let body = req.payload().await.map(|body| body.to_vec()).unwrap_or_default();
        let (method, headers) = (req.method().to_string(), req.headers().clone());
        self.asked.lock().unwrap().push(Asked { at: Instant::now(), method, headers, body });
        let respond = {
            let mut script = self.script.lock().unwrap();
            assert!(!script.is_empty(), "nothing more was to be asked");
            script.remove(0)
        };
        res.status_code(StatusCode::from_u16(respond.status).unwrap());
        res.headers_mut().insert("content-type", respond.content_type.parse().unwrap());
        let body = once(async move { Ok::<_, std::io::Error>(unescaped(&respond.body)) });
        if respond.then == "hold" { res.stream(body.chain(pending())) } else { res.stream(body) }
    }
}

fn unescaped(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some((before, behind)) = rest.split_once('\\') {
        bytes.extend(before.bytes());
        let mut length = 1;
        bytes.push(match &behind[..1] {
            "n" => b'\n',
            "r" => b'\r',
            "t" => b'\t',
            "0" => 0,
            "x" => {
                length = 3;
                u8::from_str_radix(&behind[1..3], 16).unwrap()
            }
            other => other.as_bytes()[0],
        });
        rest = &behind[length..];
    }
    bytes.extend(rest.bytes());
    bytes
}

/// The next event, with the id that a page would see.
async fn seen(client: &Client, last: &mut String) -> Expected {
    let event = client.next_event().await;
    if let Some(id) = event.id {
        *last = id;
    }
    Expected { event: event.name, data: event.data, id: last.clone() }
}

async fn check(row: Row) {
    let responses: Vec<Respond> = row.connections.iter().filter_map(|connection| connection.respond.clone()).collect();
    let handler = Scripted { script: Arc::new(Mutex::new(responses)), asked: Arc::default() };
    let (name, asked) = (&row.name, handler.asked.clone());
    let router = || Router::with_path("feed").goal(handler.clone());
    let app = Harness::new(router());
    assert_eq!(row.client_default_retry_ms, 3000, "{name}");

    let mut before = Instant::now();
    if row.connections[0].network_error {
        app.server().stop().await;
    }
    let posts = name == "post-body-resent";
    let client = app.client("page");
    let client = if posts { client.post_body("what is new?") } else { client };
    let client = client.sse("/feed").await;
    if row.connections[0].network_error {
        app.server().start(router()).await;
    }
    if name == "close-during-delay-stops" {
        app.advance(Duration::from_secs(2)).await;
        client.close().await;
    }
    let (mut last, mut seen_events) = (String::new(), Vec::new());
    for _ in &row.expect_events {
        seen_events.push(seen(&client, &mut last).await);
    }
    app.advance(Duration::from_secs(3600)).await;
    client.quiet().await;

    assert_eq!(seen_events, row.expect_events, "{name}");
    assert_eq!(client.last_event_id().unwrap_or_default(), last, "{name}");
    let asked = std::mem::take(&mut *asked.lock().unwrap());
    let answered = row.connections.iter().filter(|connection| !connection.network_error);
    assert_eq!(asked.len(), answered.clone().count(), "{name}");
    for (asked, expected) in asked.iter().zip(answered) {
        let id = asked.headers.get("last-event-id").map(|id| String::from_utf8(id.as_bytes().to_vec()).unwrap());
        assert_eq!(id.as_deref().unwrap_or("absent"), expected.expect_last_event_id, "{name}");
        if let Some(delay) = expected.expect_delay_ms {
            assert_eq!(asked.at - before, Duration::from_millis(delay), "{name}");
        }
        before = asked.at;
        let expected = if posts { ("POST", &b"what is new?"[..]) } else { ("GET", &b""[..]) };
        assert_eq!((asked.method.as_str(), asked.body.as_slice()), expected, "{name}");
        assert_eq!(asked.headers["accept"], "text/event-stream", "{name}");
    }
    if row.end_state == "closed" {
        client.closed().await;
    } else {
        assert_eq!((row.end_state.as_str(), client.status()), ("open", 200), "{name}");
    }
}

#[test]
fn every_row_of_the_cases_holds() {
    let rows = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/sse_reconnect.json");
    let rows: Vec<Row> = serde_json::from_str(&std::fs::read_to_string(rows).unwrap()).unwrap();
    assert!(rows.len() > 20, "the table is there");
    for row in rows {
        run(check(row));
    }
}

#[tornadose_test::test]
async fn a_stream_that_ends_is_asked_for_again_with_its_last_id() {
    let (feed, handler) = feed("retry: 2000\n\n");
    let app = Harness::new(Router::with_path("rooms/1").get(handler));
    let ada = app.client("ada").sse("/rooms/1").await;
    app.client("curl").once().sse("/rooms/1").await;
    feed.push("id: k3v9x0aq-1\ndata: 1\n\nid: k3v9x0aq-2\n\n");
    app.settle().await;
    feed.end();
    assert_eq!(ada.closed().await, Ending::End);
    ada.reconnected().await;
    feed.push("data: 2\n\n");
    app.settle().await;
    feed.abort();
    ada.reconnected().await;
    assert_transcript!(app, @"
    ada > GET /rooms/1
    ada ~ open 200 text/event-stream, retry 2s
    curl > GET /rooms/1
    curl ~ open 200 text/event-stream, retry 2s
    ada < message #1 1
    curl < message #1 1
    ada ~ end
    curl ~ end
    after 2s
    ada > GET /rooms/1 last-event-id #2
    ada ~ open 200 text/event-stream, retry 2s
    ada < message 2
    ada ~ abort
    after 2s
    ada > GET /rooms/1 last-event-id #2
    ada ~ open 200 text/event-stream, retry 2s
    ");
}

#[tornadose_test::test]
async fn who_finds_nobody_tries_again_until_somebody_listens() {
    let (_feed, handler) = feed("data: hello\n\n");
    let app = Harness::new(Router::new());
    app.server().stop().await;
    let ada = app.client("ada").last_event_id("7").sse("/rooms/1").await;
    app.advance(Duration::from_secs(7)).await;
    app.server().start(Router::with_path("rooms/1").get(handler)).await;
    assert_eq!(ada.next::<String>().await, "hello");
    assert_transcript!(app, @r#"
    server ! stop
    ada > GET /rooms/1 last-event-id "7"
    ada ~ refused
    after 3s
    ada > GET /rooms/1 last-event-id "7"
    ada ~ refused
    after 3s
    ada > GET /rooms/1 last-event-id "7"
    ada ~ refused
    after 1s
    server ! start
    after 2s
    ada > GET /rooms/1 last-event-id "7"
    ada ~ open 200 text/event-stream
    ada < message hello
    "#);
}

#[tornadose_test::test]
async fn a_websocket_comes_back_only_if_it_is_told_to() {
    let (line, handler) = line(&[]);
    let app = Harness::new(Router::with_path("rooms/1").get(handler));
    let bob = app.client("bob").reconnects().ws("/rooms/1?user=bob").await;
    line.text(r#"{"id":"k3v9x0aq-1","data":1}"#);
    app.settle().await;
    line.hang_up();
    bob.reconnected().await;
    line.push(b"\x88\x02\x03\xe9");
    app.settle().await;
    line.hang_up();
    bob.reconnected().await;
    bob.send_text("back").await;
    assert_eq!(line.received().last().unwrap(), b"\x81back");
    bob.close_with(4000, "").await;
    line.push(b"\x88\x02\x0f\xa0");
    app.settle().await;
    line.hang_up();
    let eve = app.client("eve").ws("/rooms/1?user=eve").await;
    line.hang_up();
    assert_eq!(eve.closed().await, Ending::Abort);
    app.advance(Duration::from_secs(60)).await;
    assert_transcript!(app, @r#"
    bob > GET /rooms/1?user=bob upgrade websocket
    bob ~ open 101
    bob < message #1 1
    bob ~ abort
    after 3s
    bob > GET /rooms/1?user=bob&last_event_id=#1 upgrade websocket
    bob ~ open 101
    bob ~ close 1001 (server)
    after 3s
    bob > GET /rooms/1?user=bob&last_event_id=#1 upgrade websocket
    bob ~ open 101
    bob > "back"
    bob ~ close 4000 (client)
    eve > GET /rooms/1?user=eve upgrade websocket
    eve ~ open 101
    eve ~ abort
    "#);
}

#[handler]
async fn elsewhere(res: &mut Response) {
    res.render(salvo::writing::Redirect::temporary("/rooms/1?moved=true"));
}

#[handler]
async fn in_circles(res: &mut Response) {
    res.render(salvo::writing::Redirect::found("/circle"));
}

#[tornadose_test::test]
async fn who_is_sent_elsewhere_asks_there_and_begins_anew_when_it_comes_back() {
    let (feed, handler) = feed("id: 1\ndata: 1\n\n");
    let router = Router::new().push(Router::with_path("old").get(elsewhere));
    let router = router.push(Router::with_path("circle").get(in_circles));
    let app = Harness::new(router.push(Router::with_path("rooms/1").get(handler)));
    let old = app.sse("/old").await;
    feed.end();
    old.reconnected().await;
    assert_transcript!(app, @"
    old > GET /old
    old ~ answer 307 to /rooms/1?moved=true
    old > GET /rooms/1?moved=true
    old ~ open 200 text/event-stream
    old < message #1 1
    old ~ end
    after 3s
    old > GET /old last-event-id #1
    old ~ answer 307 to /rooms/1?moved=true
    old > GET /rooms/1?moved=true last-event-id #1
    old ~ open 200 text/event-stream
    old < message #1 1
    ");
    let circle = app.client("circle").lenient().sse("/circle").await;
    assert_eq!(circle.closed().await, Ending::Abort);
    assert_eq!(circle.recording().to_string().matches("circle > GET /circle").count(), 21);
}

#[test]
fn who_will_never_come_back_is_not_waited_for() {
    let panic = catch_unwind(|| {
        run(async {
            let app = Harness::new(Router::new());
            app.sse("/elsewhere").await.reconnected().await;
        });
    });
    let said = panic.unwrap_err().downcast::<String>().unwrap();
    assert!(said.starts_with("`elsewhere`: expected it to come back, and it never will\n"), "{said}");
}
