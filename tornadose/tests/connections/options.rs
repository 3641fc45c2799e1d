//! Options of a subscriber and their effect on its connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tornadose::prelude::*;
use tornadose_test::{Ending, Harness, assert_transcript};

use super::harness::{harness, secs};

#[store(queue, capacity = 4)]
#[derive(Serialize)]
struct Line(String);

async fn say(store: &Store<Line>, text: &str) {
    store.submit(Line(text.into())).await.unwrap();
}

#[subscriber(
    sse, ws, store = Line, authorize = Self::allowed, max_connections = 2, max_age = "10m", keep_alive = "5m", retry = "2s",
    origins = ["https://app.example"]
)]
struct Guarded {
    #[query]
    user: String,
}

impl Guarded {
    async fn allowed(&self) -> Result<(), StatusError> {
        assert_ne!(self.user, "crash");
        if self.user == "eve" { Err(StatusError::forbidden().brief("not eve")) } else { Ok(()) }
    }
}

fn guarded() -> (Store<Line>, Harness) {
    let store = Store::new();
    let app = harness(Router::with_path("lines").get(Guarded::handler(&store)));
    (store, app)
}

#[tornadose_test::test]
async fn authorize_decides_before_the_first_byte() {
    let (store, app) = guarded();
    app.client("ada").sse("/lines?user=ada").await;
    app.client("eve").sse("/lines?user=eve").await;
    app.client("eves").ws("/lines?user=eve").await;
    app.client("nobody").sse("/lines").await;
    app.client("crash").sse("/lines?user=crash").await;
    app.expect_panic("crash").await;
    assert_eq!(store.subscribers(), 1);
    assert_transcript!(app, @r#"
    ada > GET /lines?user=ada
    ada ~ open 200 text/event-stream, retry 2s
    eve > GET /lines?user=eve
    eve ~ answer 403 code: 403\n\nname: Forbidden\n\nbrief: not eve
    eves > GET /lines?user=eve upgrade websocket
    eves ~ answer 403 code: 403\n\nname: Forbidden\n\nbrief: not eve
    nobody > GET /lines
    nobody ~ answer 400 code: 400\n\nname: Bad Request\n\nbrief: query parameter `user`: missing, expected text
    crash > GET /lines?user=crash
    crash ~ answer 500 code: 500\n\nname: Internal Server Error\n\nbrief: The server encountered an internal error while processing this request.
    server ! panicked: assertion `left != right` failed\n  left: "crash"\n right: "crash"
    "#);
}

#[tornadose_test::test]
async fn a_client_of_a_full_handler_is_told_to_retry() {
    let (store, app) = guarded();
    let one = app.client("one").sse("/lines?user=1").await;
    let two = app.client("two").ws("/lines?user=2").await;
    app.client("three").sse("/lines?user=3").await;
    app.client("four").ws("/lines?user=4").await;
    one.close().await;
    app.client("five").sse("/lines?user=5").await;
    assert_eq!(store.subscribers(), 2);
    assert_transcript!(app, @r"
    one > GET /lines?user=1
    one ~ open 200 text/event-stream, retry 2s
    two > GET /lines?user=2 upgrade websocket
    two ~ open 101
    three > GET /lines?user=3
    three ~ open 200 text/event-stream, retry 5.416s
    three ~ end
    four > GET /lines?user=4 upgrade websocket
    four ~ answer 503 code: 503\n\nname: Service Unavailable\n\nbrief: the server is closing or full: try again later
    one ~ close (client)
    five > GET /lines?user=5
    five ~ open 200 text/event-stream, retry 2s
    ");
    drop(two);
}

#[tornadose_test::test]
async fn a_connection_closes_at_its_maximum_age() {
    let (_, app) = guarded();
    let one = app.client("one").once().sse("/lines?user=1").await;
    let two = app.client("two").ws("/lines?user=2").await;
    app.advance(secs(700)).await;
    assert_transcript!(app, @"
    one > GET /lines?user=1
    one ~ open 200 text/event-stream, retry 2s
    two > GET /lines?user=2 upgrade websocket
    two ~ open 101
    after 5m
    one < : keep-alive
    two < ping
    after 4m 28.328s
    two ~ close 1001 (server) max age
    after 31.672s
    one < : keep-alive
    after 14.164s
    one < retry 4.472s
    one ~ end
    ");
    drop((one, two));
}

#[tornadose_test::test]
async fn pages_of_listed_origins_may_read() {
    let (_, app) = guarded();
    let listed = app.client("listed").origin("https://app.example").sse("/lines?user=1").await;
    assert_eq!(listed.headers()["access-control-allow-origin"], "https://app.example");
    assert_eq!(listed.headers()["access-control-allow-credentials"], "true");
    assert_eq!(listed.headers()["vary"], "origin");
    let other = app.client("other").origin("https://evil.example").sse("/lines?user=1").await;
    assert_eq!(other.status(), 200);
    assert!(!other.headers().contains_key("access-control-allow-origin"));
    let refused = app.client("refused").origin("https://evil.example").ws("/lines?user=1").await;
    assert_eq!(refused.status(), 403);
}

#[tornadose_test::test]
async fn options_of_the_handler_override_those_of_the_attribute() {
    let store = Store::new();
    let handler = Guarded::handler(&store)
        .any_origin()
        .replay(2)
        .retry(secs(9))
        .keep_alive(secs(7))
        .max_age(None)
        .max_connections(None)
        .protocols(["v9"])
        .max_message(2)
        .lag(tornadose::subscriber::Lag::Close);
    let app = harness(Router::with_path("lines").get(handler));
    for number in 0..5 {
        say(&store, &number.to_string()).await;
    }
    let page = app.client("page").origin("null").sse("/lines?user=1").await;
    assert_eq!(page.headers()["access-control-allow-origin"], "*");
    let socket = app.client("socket").origin("null").protocols(["v9"]).ws("/lines?user=2").await;
    app.advance(secs(7)).await;
    socket.send_text("abc").await;
    assert_transcript!(app, @r#"
    page > GET /lines?user=1
    page ~ open 200 text/event-stream, retry 9s
    page < message #1 "3"
    page < message #2 "4"
    socket > GET /lines?user=2 upgrade websocket
    socket ~ open 101, protocol v9
    socket < message #1 "3"
    socket < message #2 "4"
    after 7s
    page < : keep-alive
    socket < ping
    socket > "abc"
    socket ~ close 1009 (server) the message is too big
    "#);
}

#[subscriber(sse, ws, store = Line, lag = close)]
struct Impatient;

#[tornadose_test::test]
async fn a_reader_that_lags_is_closed_with_that_option() {
    let store = Store::new();
    let app = harness(Router::with_path("lines").get(Impatient::handler(&store)));
    let page = app.client("page").buffer_size(64).lenient().sse("/lines").await;
    let socket = app.client("socket").buffer_size(64).lenient().ws("/lines").await;
    page.stall().await;
    socket.stall().await;
    for _ in 0..50 {
        say(&store, &"x".repeat(1000)).await;
        app.settle().await;
    }
    page.resume().await;
    socket.resume().await;
    let (page, socket) = (page.closed().await, socket.closed().await);
    assert_eq!((page, socket), (Ending::End, Ending::Close { code: 1013, reason: "lagged".into() }));
}

/// Counts the subscribers that were dropped.
#[subscriber(sse, ws, store = Line)]
struct Dropped {
    #[depot]
    count: Arc<AtomicUsize>,
}

impl Drop for Dropped {
    fn drop(&mut self) {
        self.count.fetch_add(1, SeqCst);
    }
}

struct Counts(Arc<AtomicUsize>);

#[handler]
impl Counts {
    fn handle(&self, depot: &mut Depot) {
        depot.insert_typed(Arc::clone(&self.0));
    }
}

#[tornadose_test::test]
async fn the_struct_is_dropped_once_when_its_connection_ends() {
    let store: Store<Line> = Store::new();
    let count = Arc::new(AtomicUsize::new(0));
    let router = Router::with_path("lines").hoop(Counts(Arc::clone(&count)));
    let app = harness(router.get(Dropped::handler(&store)));
    let page = app.client("page").sse("/lines").await;
    let socket = app.client("socket").ws("/lines").await;
    let gone = app.client("gone").ws("/lines").await;
    assert_eq!(count.load(SeqCst), 0);
    page.close().await;
    socket.close().await;
    assert_eq!(count.load(SeqCst), 2);
    gone.vanish().await;
    app.advance(secs(29)).await;
    assert_eq!(count.load(SeqCst), 2);
    app.advance(secs(1)).await;
    assert_eq!((count.load(SeqCst), store.subscribers()), (3, 0));
}

#[subscriber(ws, store = Line)]
struct WsOnly;

#[subscriber(sse, store = Line)]
struct SseOnly;

#[tornadose_test::test]
async fn a_handler_of_one_transport_refuses_the_other() {
    let store: Store<Line> = Store::new();
    let router = Router::new()
        .push(Router::with_path("ws").get(WsOnly::handler(&store)))
        .push(Router::with_path("sse").goal(SseOnly::handler(&store)));
    let app = harness(router);
    assert_eq!(app.client("a").sse("/ws").await.status(), 426);
    assert_eq!(app.client("b").ws("/sse").await.status(), 200);
    let post = app.post("/sse", "").await;
    assert_eq!((post.status(), post.headers()["allow"].as_bytes()), (405, b"GET, HEAD".as_slice()));
    let head = app.client("head").request("HEAD", "/sse", "").await;
    assert_eq!(
        (head.status(), head.headers()["content-type"].as_bytes()),
        (200, b"text/event-stream; charset=utf-8".as_slice())
    );
    assert_eq!(head.text(), "");
}
