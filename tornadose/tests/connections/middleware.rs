//! Streams with Salvo's own middleware around them: events arrive at once and unchanged, as long as a
//! client reads.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use http_body::Body;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use salvo::catch_panic::CatchPanic;
use salvo::concurrency_limiter::max_concurrency;
use salvo::cors::{AllowOrigin, Cors};
use salvo::fuse::FuseConfig;
use salvo::http::HeaderMap;
use salvo::request_id::RequestId;
use salvo::timeout::Timeout;
use salvo_compression::{Compression, CompressionLevel};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use tornadose::prelude::*;
use tornadose_test::{Client, Ending, Harness};

use super::harness::{harness, harness_with_fuse, secs};

const HOURS: Duration = secs(3 * 60 * 60);

#[store(queue)]
#[derive(Serialize)]
struct Line(String);

#[subscriber(sse, ws, store = Line, origins = ["https://app.example"])]
struct Lines;

#[handler]
async fn serve_page() -> String {
    "words ".repeat(1000)
}

#[handler]
async fn serve_broken() {
    panic!("broken");
}

#[handler]
async fn serve_slow() {
    tokio::time::sleep(secs(60)).await;
}

/// A stream that is written without this library. It is silent, and has no keep-alive.
#[handler]
async fn serve_by_hand(res: &mut Response) {
    res.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
    let mut stream = res.channel();
    tokio::spawn(async move {
        let mut number = 0;
        while stream.send_data(format!("data: {number}\n\n")).await.is_ok() {
            number += 1;
            tokio::time::sleep(secs(60)).await;
        }
    });
}

/// Puts all of Salvo's middleware that touches a stream around it.
fn router(store: &Store<Line>) -> Router {
    let cors = Cors::new().allow_origin(AllowOrigin::exact("https://app.example".parse().unwrap()));
    Router::new()
        .hoop(RequestId::new())
        .hoop(CatchPanic::new())
        .hoop(Compression::new().enable_gzip(CompressionLevel::Minsize).min_length(0).force_priority(true))
        .hoop(cors.allow_credentials(true).into_handler())
        .hoop(Timeout::new(secs(5)))
        .push(Router::with_path("lines").hoop(max_concurrency(1)).get(Lines::handler(store)))
        .push(Router::with_path("silent").hoop(max_concurrency(1)).get(Lines::handler(store).keep_alive(None)))
        .push(Router::with_path("page").get(serve_page))
        .push(Router::with_path("broken").get(serve_broken))
        .push(Router::with_path("slow").hoop(max_concurrency(1)).get(serve_slow))
        .push(Router::with_path("by_hand").get(serve_by_hand))
}

fn is(headers: &HeaderMap, name: &str, value: &str) -> bool {
    let mut values = headers.get_all(name).iter();
    values.next().is_some_and(|first| first == value) && values.next().is_none()
}

#[tornadose_test::test]
async fn the_middleware_is_there() {
    let app = harness(router(&Store::new()));
    let page = app.client("page").header("accept-encoding", "gzip").get("/page").await;
    assert!(is(&page.headers(), "content-encoding", "gzip"), "{:?}", page.headers());
    assert!(page.headers().contains_key("x-request-id"));
    let by_hand = app.client("by_hand").header("accept-encoding", "gzip").lenient().sse("/by_hand").await;
    assert!(is(&by_hand.headers(), "content-encoding", "gzip"), "a stream that says nothing is compressed");
    assert_eq!(app.get("/broken").await.status(), 500);
    app.expect_panic("broken").await;
    let mut slow = app.connect();
    slow.write_all(b"GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    app.settle().await;
    assert_eq!(app.client("second").get("/slow").await.status(), 429, "one at a time");
    let (mut answer, before) = ([0; 12], Instant::now());
    slow.read_exact(&mut answer).await.unwrap();
    assert_eq!((&answer, before.elapsed()), (b"HTTP/1.1 503", secs(5)));
}

async fn open(app: &Harness, path: &str) -> Vec<Client> {
    let mut readers = Vec::new();
    for name in ["one", "two"] {
        let client = app.client(name).header("accept-encoding", "gzip, br, zstd, deflate");
        readers.push(client.origin("https://app.example").sse(path).await);
    }
    readers
}

#[tornadose_test::test]
async fn events_arrive_at_once_and_unchanged() {
    let store = Store::new();
    let app = harness(router(&store));
    let pages = open(&app, "/lines").await;
    let client = app.client("socket").header("accept-encoding", "gzip").origin("https://app.example");
    let socket = client.ws("/lines").await;
    let again = app.client("again").origin("https://app.example").ws("/lines").await;
    for page in &pages {
        let headers = page.headers();
        assert_eq!(page.status(), 200);
        assert!(is(&headers, "content-type", "text/event-stream; charset=utf-8"), "{headers:?}");
        assert!(is(&headers, "cache-control", "no-cache, no-transform"), "{headers:?}");
        assert!(is(&headers, "access-control-allow-origin", "https://app.example"), "{headers:?}");
        assert!(is(&headers, "access-control-allow-credentials", "true"), "{headers:?}");
        assert!(headers.contains_key("x-request-id"), "{headers:?}");
        assert!(!headers.contains_key("content-encoding"), "{headers:?}");
    }
    assert_eq!((socket.status(), again.status(), store.subscribers()), (101, 101, 4), "more than one at a time");
    let before = Instant::now();
    for number in 0..100 {
        let line = format!("{number}");
        store.submit(Line(line.clone())).await.unwrap();
        for reader in pages.iter().chain([&*socket, &*again]) {
            assert_eq!(reader.next_now::<String>().await, line);
        }
    }
    assert_eq!(before.elapsed(), Duration::ZERO);
    let wire = pages[0].recording().wire();
    assert!(wire.contains("data: \"99\"\\n\\n"), "{wire}");
}

/// Returns how often the client saw this line.
fn count(reader: &Client, line: &str) -> usize {
    reader.recording().to_string().lines().filter(|seen| seen.ends_with(line)).count()
}

async fn live_for_hours(app: &Harness, store: &Store<Line>) {
    let pages = open(app, "/lines").await;
    let socket = app.client("socket").origin("https://app.example").ws("/lines").await;
    app.advance(HOURS).await;
    // One every 15 s, on the second.
    assert_eq!(count(&pages[0], ": keep-alive"), 720);
    assert_eq!(count(&pages[1], ": keep-alive"), 720);
    assert_eq!(count(&socket, "ping"), 720);
    store.submit(Line("still".into())).await.unwrap();
    for reader in pages.iter().chain([&*socket]) {
        assert_eq!(reader.next_now::<String>().await, "still");
    }
    assert_eq!(store.subscribers(), 3);
}

#[tornadose_test::test]
async fn silent_streams_live_for_hours_under_a_strict_fuse() {
    let store = Store::new();
    let app = harness_with_fuse(router(&store), FuseConfig::strict());
    let pages = open(&app, "/silent").await;
    let socket = app.client("socket").origin("https://app.example").ws("/silent").await;
    app.advance(HOURS).await;
    assert_eq!(count(&pages[0], ": keep-alive") + count(&socket, "ping"), 0);
    store.submit(Line("still".into())).await.unwrap();
    for reader in pages.iter().chain([&*socket]) {
        assert_eq!(reader.next_now::<String>().await, "still");
    }
    store.close();
    for page in &pages {
        assert_eq!(page.closed().await, Ending::End);
    }
    assert_eq!(socket.closed().await, Ending::Close { code: 1001, reason: String::new() });
}

#[tornadose_test::test]
async fn streams_live_for_hours() {
    let store = Store::new();
    let app = harness(router(&store));
    live_for_hours(&app, &store).await;
}

#[tornadose_test::test]
async fn streams_live_for_hours_under_a_strict_fuse() {
    let store = Store::new();
    let app = harness_with_fuse(router(&store), FuseConfig::strict());
    // The fuse is strict: it closes a silent stream without keep-alive, and a connection without a request.
    let by_hand = app.client("by_hand").lenient().sse("/by_hand").await;
    let mut idle = app.connect();
    let before = Instant::now();
    assert_eq!(by_hand.closed().await, Ending::Abort);
    assert_eq!(timeout(secs(60), idle.read(&mut [0])).await.unwrap().unwrap_or(0), 0);
    assert!(before.elapsed() <= secs(31), "{:?}", before.elapsed());

    live_for_hours(&app, &store).await;
}

#[tornadose_test::test]
async fn a_silent_stream_over_http_2_lives_for_hours_under_a_strict_fuse() {
    let store = Store::new();
    let app = harness_with_fuse(router(&store), FuseConfig::strict());
    let (mut sender, connection) =
        http2::handshake::<_, _, String>(TokioExecutor::new(), TokioIo::new(app.connect())).await.unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::get("http://localhost/silent").header("accept-encoding", "gzip");
    let response = sender.send_request(request.body(String::new()).unwrap()).await.unwrap();
    assert!(!response.headers().contains_key("content-encoding"));
    let mut body = response.into_body();
    let mut read = async |limit| {
        let frame = timeout(limit, poll_fn(|cx| Pin::new(&mut body).poll_frame(cx))).await.ok()?;
        Some(String::from_utf8(frame.unwrap().unwrap().into_data().unwrap().to_vec()).unwrap())
    };
    assert!(read(Duration::ZERO).await.unwrap().starts_with("retry: 3000\n"));
    app.advance(HOURS).await;
    assert_eq!(read(Duration::ZERO).await, None);
    store.submit(Line("still".into())).await.unwrap();
    app.settle().await;
    assert!(read(Duration::ZERO).await.unwrap().ends_with("data: \"still\"\n\n"));
}
