//! Hooks that panic: each panic ends its connection alone, and is logged.

use salvo::{Depot, Request, Router};
use tornadose::prelude::*;
use tornadose::subscriber::KeyOf;
use tornadose_test::assert_transcript;

use super::harness::{harness, secs};
use super::log::CapturedLog;
use super::rooms::{
    TRANSPORTS, UPGRADE, connect_http2, get, key, line, read_body_now, read_now, request_http2, rooms, send_request,
};

#[tornadose_test::test]
async fn a_panic_before_the_head_is_answered_500_and_logged() {
    let (store, app, drops) = rooms();
    let page = app.client("page").sse("/rooms/1?user=page").await;
    let (log, _guard) = CapturedLog::start();
    assert_eq!(app.client("sse").lenient().sse("/rooms/1?user=crash").await.status(), 500);
    assert_eq!(app.client("ws").lenient().ws("/rooms/1?user=crash").await.status(), 500);
    let mut sender = connect_http2(&app).await;
    let mut other = request_http2(&mut sender, "GET", "/rooms/1?user=other").await;
    assert_eq!(request_http2(&mut sender, "GET", "/rooms/1?user=crash").await.status(), 500);
    for _ in 0..3 {
        app.expect_panic("authorize").await;
    }
    let panic = "ERROR hook panicked before the response head:";
    assert_eq!(log.take().iter().filter(|text| *text == panic).count(), 3);
    assert_eq!((store.subscribers(), drops.take()), (2, vec!["crash".into(); 3]));
    store.submit(line("1", "on")).await.unwrap();
    page.skip(1).await;
    assert!(read_body_now(&mut other).await.0.contains("\"on\""));
}

#[tornadose_test::test]
async fn a_panic_after_the_head_ends_only_its_connection_and_is_logged() {
    let (store, app, drops) = rooms();
    let _page = app.client("page").sse("/rooms/1?user=page").await;
    let socket = app.client("socket").ws("/rooms/1?user=socket").await;
    let talker = app.client("talker").ws("/rooms/1?user=talker").await;
    let (log, _guard) = CapturedLog::start();
    for user in ["page", "socket"] {
        store.submit(line("1", &format!("not for {user}"))).await.unwrap();
        app.expect_panic("filter").await;
        assert_eq!(drops.take(), [user]);
    }
    socket.skip(1).await;
    talker.skip(2).await;
    talker.send("crash").await;
    app.expect_panic("receive").await;
    assert_eq!((store.subscribers(), drops.take()), (0, vec!["talker".into()]));
    let (error, close) = ("ERROR hook panicked:", "DEBUG connection closed:");
    let expected = [
        [
            format!("{error} transport=\"sse\" number=1"),
            format!("{close} transport=\"sse\" number=1 reason=\"panicked\""),
        ],
        [
            format!("{error} transport=\"ws\" number=2"),
            format!("{close} transport=\"ws\" number=2 reason=\"panicked\" code=1011"),
        ],
        [
            format!("{error} transport=\"ws\" number=3"),
            format!("{close} transport=\"ws\" number=3 reason=\"panicked\" code=1011"),
        ],
    ]
    .concat();
    // The ledger follows the reason.
    let lines = log.take();
    assert_eq!(lines.iter().map(|line| line.split(" detached=").next().unwrap()).collect::<Vec<_>>(), expected);
    assert_transcript!(app, @r#"
    page > GET /rooms/1?user=page
    page ~ open 200 text/event-stream, retry 2s
    socket > GET /rooms/1?user=socket upgrade websocket
    socket ~ open 101
    talker > GET /rooms/1?user=talker upgrade websocket
    talker ~ open 101
    page < retry 4.472s
    page ~ end
    socket < message #1 {"room":"1","text":"not for page"}
    talker < message #1 {"room":"1","text":"not for page"}
    server ! panicked: filter
    socket ~ close 1011 (server) internal error
    talker < message #2 {"room":"1","text":"not for socket"}
    server ! panicked: filter
    talker > "crash"
    talker ~ close 1011 (server) internal error
    server ! panicked: receive
    "#);
}

#[tornadose_test::test]
async fn a_panic_in_drop_is_logged_whatever_ended_the_connection() {
    let (store, app, drops) = rooms();
    let (log, _guard) = CapturedLog::start();
    for headers in TRANSPORTS {
        // The client leaves.
        drop(send_request(&app, &get("loud", headers)).await);
        app.expect_panic("drop").await;
        assert!(log.take().contains(&"ERROR drop panicked:".into()));
        // The store disconnects the client.
        let _pipe = send_request(&app, &get("loud", headers)).await;
        store.disconnect(&key("1"));
        app.expect_panic("drop").await;
        assert!(log.take().contains(&"ERROR drop panicked:".into()));
    }
    // The clients take nothing, and are aborted.
    let _stalled = (send_request(&app, &get("loud", "")).await, send_request(&app, &get("loud", UPGRADE)).await);
    store.submit(line("1", &"x".repeat(1 << 20))).await.unwrap();
    app.settle().await;
    store.close();
    app.advance(secs(6)).await;
    let panics = log.take().into_iter().filter(|line| line == "ERROR drop panicked:").count();
    assert_eq!(panics, 2);
    for _ in 0..2 {
        app.expect_panic("drop").await;
    }
    assert_eq!((store.subscribers(), drops.take()), (0, vec!["loud".into(); 6]));
}

#[tornadose_test::test]
async fn a_panic_in_drop_does_not_change_the_response_to_a_rejected_client() {
    let (store, app, drops) = rooms();
    assert_eq!(app.client("head").request("HEAD", "/goal/1?user=loud", "").await.status(), 200);
    app.expect_panic("drop").await;
    store.close();
    let mut page = send_request(&app, &get("loud", "")).await;
    app.expect_panic("drop").await;
    let (text, has_ended) = read_now(&mut page).await;
    assert!(text.starts_with("HTTP/1.1 200 ") && text.ends_with("\r\n\r\nretry: 4472\n") && !has_ended, "{text}");
    let mut socket = send_request(&app, &get("loud", UPGRADE)).await;
    app.expect_panic("drop").await;
    let (text, has_ended) = read_now(&mut socket).await;
    assert!(text.starts_with("HTTP/1.1 503 ") && !has_ended, "{text}");
    assert_eq!(drops.take(), ["loud"; 3]);
}

#[store(queue)]
#[derive(Serialize)]
struct Line(String);

struct PanicsInKeys;

impl Subscriber for PanicsInKeys {
    type Message = Line;
    fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> {
        Ok(Self)
    }
    fn keys(&self) -> Keys<KeyOf<Self>> {
        panic!("keys")
    }
}

#[tornadose_test::test]
async fn a_panic_in_keys_is_answered_500() {
    let store = Store::new();
    let app = harness(Router::with_path("lines").get(StreamHandler::<PanicsInKeys>::new(&store)));
    let page = app.client("page").lenient().sse("/lines").await;
    app.expect_panic("keys").await;
    assert_eq!(page.status(), 500);
}

struct PanicsInDrop;

impl Subscriber for PanicsInDrop {
    type Message = Line;
    fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> {
        Ok(Self)
    }
    fn keys(&self) -> Keys<KeyOf<Self>> {
        Keys::All
    }
}

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "drop");
    }
}

#[tornadose_test::test]
async fn a_panic_in_drop_does_not_suppress_the_regular_end() {
    let store = Store::new();
    let app = harness(Router::with_path("lines").get(StreamHandler::<PanicsInDrop>::new(&store)));
    let sse = app.client("sse").lenient().sse("/lines").await;
    let ws = app.client("ws").lenient().ws("/lines").await;
    store.close();
    app.settle().await;
    app.expect_panic("drop").await;
    app.expect_panic("drop").await;
    assert_transcript!(app, @"
    sse > GET /lines
    sse ~ open 200 text/event-stream
    ws > GET /lines upgrade websocket
    ws ~ open 101
    sse < retry 6.708s
    sse ~ end
    ws ~ close 1001 (server)
    server ! panicked: drop
    server ! panicked: drop
    ");
    drop((sse, ws));
}
