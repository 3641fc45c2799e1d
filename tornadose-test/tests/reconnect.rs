//! Clients reconnect as a browser's `EventSource` does: the shared cases, and cases of the harness's own.
#![cfg(feature = "salvo")]
#![allow(clippy::unwrap_used)]

mod common {
    pub(crate) mod feed;
    pub(crate) mod ws_endpoint;
}

use std::panic::catch_unwind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::feed::feed;
use common::ws_endpoint::ws_endpoint;
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

/// Responds as the row specifies, and keeps the requests.
#[derive(Clone)]
struct Scripted {
    script: Arc<Mutex<Vec<Respond>>>,
    requests: Arc<Mutex<Vec<Received>>>,
}

struct Received {
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
        self.requests.lock().unwrap().push(Received { at: Instant::now(), method, headers, body });
        let respond = {
            let mut script = self.script.lock().unwrap();
            assert!(!script.is_empty(), "a request beyond the row");
            script.remove(0)
        };
        res.status_code(StatusCode::from_u16(respond.status).unwrap());
        res.headers_mut().insert("content-type", respond.content_type.parse().unwrap());
        let body = once(async move { Ok::<_, std::io::Error>(unescape(&respond.body)) });
        if respond.then == "hold" { res.stream(body.chain(pending())) } else { res.stream(body) }
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend(before.bytes());
        let mut length = 1;
        bytes.push(match &after[..1] {
            "n" => b'\n',
            "r" => b'\r',
            "t" => b'\t',
            "0" => 0,
            "x" => {
                length = 3;
                u8::from_str_radix(&after[1..3], 16).unwrap()
            }
            other => other.as_bytes()[0],
        });
        rest = &after[length..];
    }
    bytes.extend(rest.bytes());
    bytes
}

/// Returns the next event, with the id that a page would see.
async fn next_event(client: &Client, last: &mut String) -> Expected {
    let event = client.next_event().await;
    if let Some(id) = event.id {
        *last = id;
    }
    Expected { event: event.name, data: event.data, id: last.clone() }
}

async fn check(row: Row) {
    let responses: Vec<Respond> = row.connections.iter().filter_map(|connection| connection.respond.clone()).collect();
    let handler = Scripted { script: Arc::new(Mutex::new(responses)), requests: Arc::default() };
    let (name, requests) = (&row.name, handler.requests.clone());
    let router = || Router::with_path("feed").goal(handler.clone());
    let app = Harness::new(router());
    assert_eq!(row.client_default_retry_ms, 3000, "{name}");

    let mut before = Instant::now();
    if row.connections[0].network_error {
        app.server().stop().await;
    }
    let posts = name == "post-body-resent";
    // Some rows end in a stream that has ended, some in an open one.
    let client = app.client("page").lenient();
    let client = if posts { client.post_body("what is new?") } else { client };
    let client = client.sse("/feed").await;
    if row.connections[0].network_error {
        app.server().start(router()).await;
    }
    if name == "close-during-delay-stops" {
        app.advance(Duration::from_secs(2)).await;
        client.close().await;
    }
    let (mut last, mut events) = (String::new(), Vec::new());
    for _ in &row.expect_events {
        events.push(next_event(&client, &mut last).await);
    }
    app.advance(Duration::from_secs(3600)).await;
    assert!(client.drain::<String>().await.is_empty(), "{name}");

    assert_eq!(events, row.expect_events, "{name}");
    assert_eq!(client.last_event_id().unwrap_or_default(), last, "{name}");
    let requests = std::mem::take(&mut *requests.lock().unwrap());
    let connected = row.connections.iter().filter(|connection| !connection.network_error);
    assert_eq!(requests.len(), connected.clone().count(), "{name}");
    for (request, expected) in requests.iter().zip(connected) {
        let id = request.headers.get("last-event-id").map(|id| String::from_utf8(id.as_bytes().to_vec()).unwrap());
        assert_eq!(id.as_deref().unwrap_or("absent"), expected.expect_last_event_id, "{name}");
        if let Some(delay) = expected.expect_delay_ms {
            assert_eq!(request.at - before, Duration::from_millis(delay), "{name}");
        }
        before = request.at;
        let expected = if posts { ("POST", &b"what is new?"[..]) } else { ("GET", &b""[..]) };
        assert_eq!((request.method.as_str(), request.body.as_slice()), expected, "{name}");
        assert_eq!(request.headers["accept"], "text/event-stream", "{name}");
    }
    if row.end_state == "closed" {
        client.closed().await;
    } else {
        assert_eq!((row.end_state.as_str(), client.status()), ("open", 200), "{name}");
    }
}

#[test]
fn every_case_holds() {
    let rows = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/sse_reconnect.json");
    let rows: Vec<Row> = serde_json::from_str(&std::fs::read_to_string(rows).unwrap()).unwrap();
    assert!(rows.len() > 20, "the table is complete");
    for row in rows {
        run(check(row));
    }
}

#[tornadose_test::test]
async fn an_ended_stream_is_requested_again_with_its_last_id() {
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
async fn a_refused_client_retries_until_a_server_listens() {
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
async fn a_websocket_reconnects_only_if_configured() {
    let (endpoint, handler) = ws_endpoint(&[]);
    let app = Harness::new(Router::with_path("rooms/1").get(handler));
    let bob = app.client("bob").reconnects().ws("/rooms/1?user=bob").await;
    endpoint.push_text(r#"{"id":"k3v9x0aq-1","data":1}"#);
    app.settle().await;
    endpoint.hang_up();
    bob.reconnected().await;
    endpoint.push(b"\x88\x02\x03\xe9");
    app.settle().await;
    endpoint.hang_up();
    bob.reconnected().await;
    bob.send_text("back").await;
    assert_eq!(endpoint.take_frames().last().unwrap(), b"\x81back");
    bob.close_with(4000, "").await;
    endpoint.push(b"\x88\x02\x0f\xa0");
    app.settle().await;
    endpoint.hang_up();
    let eve = app.client("eve").ws("/rooms/1?user=eve").await;
    endpoint.hang_up();
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
async fn redirect(res: &mut Response) {
    res.render(salvo::writing::Redirect::temporary("/rooms/1?moved=true"));
}

#[handler]
async fn redirect_to_itself(res: &mut Response) {
    res.render(salvo::writing::Redirect::found("/circle"));
}

#[tornadose_test::test]
async fn redirects_are_followed_and_a_reconnect_begins_at_the_first_target() {
    let (feed, handler) = feed("id: 1\ndata: 1\n\n");
    let router = Router::new().push(Router::with_path("old").get(redirect));
    let router = router.push(Router::with_path("circle").get(redirect_to_itself));
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
fn reconnected_fails_at_once_when_the_client_has_stopped() {
    let panic = catch_unwind(|| {
        run(async {
            let app = Harness::new(Router::new());
            app.sse("/elsewhere").await.reconnected().await;
        });
    });
    let message = panic.unwrap_err().downcast::<String>().unwrap();
    assert!(message.starts_with("`elsewhere`: expected it to reconnect, and it will not\n"), "{message}");
}
