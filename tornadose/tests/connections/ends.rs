//! How a connection ends, whoever ends it, and that it ends alone.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use salvo::conn::Acceptor;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, timeout};
use tornadose::prelude::*;
use tornadose::subscriber::{KeyOf, Options, Transports};
use tornadose_test::{Ending, Harness, assert_transcript};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Metadata};

use super::harness::{harness, is_detached};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[store(queue)]
#[derive(Serialize)]
struct Line {
    #[key]
    room: String,
    text: String,
}

fn line(room: &str, text: &str) -> Line {
    Line { room: room.into(), text: text.into() }
}

fn key(room: &str) -> LineKey {
    LineKey { room: room.into() }
}

/// Whose structs were dropped, in this order.
#[derive(Clone, Default)]
struct Drops(Arc<Mutex<Vec<String>>>);

impl Drops {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[handler]
impl Drops {
    fn handle(&self, depot: &mut Depot) {
        depot.insert_typed(self.clone());
    }
}

#[subscriber(
    sse, ws, store = Line, authorize = Self::allowed, filter = Self::passes, receive = Self::received, retry = "2s"
)]
struct Reader {
    #[key]
    room: String,
    #[query]
    who: String,
    #[depot]
    drops: Drops,
}

impl Reader {
    async fn allowed(&self) -> Result<(), StatusError> {
        assert!(self.who != "crash", "authorize");
        Ok(())
    }

    fn passes(&self, line: &Line) -> bool {
        assert!(line.text != format!("not for {}", self.who), "filter");
        true
    }

    #[allow(clippy::unused_self, reason = "the shape of the hook")]
    async fn received(&mut self, text: String, _: &Store<Line>) {
        assert!(text != "crash", "receive");
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.drops.0.lock().unwrap().push(self.who.clone());
        assert!(self.who != "loud", "drop");
    }
}

struct Everything;

impl Subscriber for Everything {
    type Message = Line;
    const OPTIONS: Options = Options::new().transports(Transports::Both);
    fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> {
        Ok(Self)
    }
    fn keys(&self) -> Keys<KeyOf<Self>> {
        Keys::All
    }
}

fn router(store: &Store<Line>, drops: &Drops) -> Router {
    Router::new()
        .hoop(drops.clone())
        .push(Router::with_path("rooms/{room}").get(Reader::handler(store)))
        .push(Router::with_path("goal/{room}").goal(Reader::handler(store)))
        .push(Router::with_path("young/{room}").get(Reader::handler(store).max_age(secs(60)).keep_alive(None)))
        .push(Router::with_path("all").get(StreamHandler::<Everything>::new(store)))
}

fn rooms() -> (Store<Line>, Harness, Drops) {
    let (store, drops) = (Store::new(), Drops::default());
    let app = harness(router(&store, &drops));
    (store, app, drops)
}

const UPGRADE: &str = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";

/// What to add to a GET for either transport.
const TRANSPORTS: [&str; 2] = ["", UPGRADE];

fn get(who: &str, headers: &str) -> String {
    format!("GET /rooms/1?who={who} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n")
}

/// What has come by now, and whether that was all there will ever be.
async fn come(pipe: &mut DuplexStream) -> (String, bool) {
    tornadose_test::settle().await;
    let mut read = Vec::new();
    // Nothing waits for a timer: what is there is read without the clock.
    let over = timeout(Duration::ZERO, pipe.read_to_end(&mut read)).await.is_ok();
    (String::from_utf8_lossy(&read).into_owned(), over)
}

async fn ask(app: &Harness, request: &str) -> DuplexStream {
    let mut pipe = app.connect();
    pipe.write_all(request.as_bytes()).await.unwrap();
    app.settle().await;
    pipe
}

// --- The client's end

#[tornadose_test::test]
async fn a_client_that_leaves_is_gone_at_once() {
    let (store, app, drops) = rooms();
    for headers in TRANSPORTS {
        let pipe = ask(&app, &get("fin", headers)).await;
        assert_eq!((store.subscribers(), drops.take()), (1, vec![]));
        drop(pipe);
        app.settle().await;
        assert_eq!((store.subscribers(), drops.take()), (0, vec!["fin".into()]));
    }
}

#[tornadose_test::test]
async fn a_client_that_shuts_its_half_is_gone_at_once() {
    let (store, app, drops) = rooms();
    for headers in TRANSPORTS {
        let mut pipe = ask(&app, &get("half", headers)).await;
        pipe.shutdown().await.unwrap();
        app.settle().await;
        assert_eq!((store.subscribers(), drops.take()), (0, vec!["half".into()]));
        let (_, over) = come(&mut pipe).await;
        assert!(over, "the line is closed from our side too");
    }
}

#[tokio::test]
async fn a_line_that_is_reset_is_gone_at_once() {
    let (store, drops) = (Store::new(), Drops::default());
    let acceptor = tornadose::listen("127.0.0.1:0").await.unwrap();
    let addr = acceptor.holdings()[0].local_addr.clone().into_std().unwrap();
    let server = tokio::spawn(Server::new(acceptor).serve(router(&store, &drops)));
    for headers in TRANSPORTS {
        let mut page = tokio::net::TcpStream::connect(addr).await.unwrap();
        page.write_all(get("rst", headers).as_bytes()).await.unwrap();
        assert!(page.read(&mut [0; 1024]).await.unwrap() > 0);
        socket2::SockRef::from(&page).set_linger(Some(Duration::ZERO)).unwrap();
        drop(page);
        // No instants on a real socket: at once is long before any timer of ours, of which the first is at 15 s.
        let gone = async {
            while store.subscribers() > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(secs(10), gone).await.expect("it is gone");
        assert_eq!(drops.take(), ["rst"]);
    }
    server.abort();
}

#[tornadose_test::test]
async fn one_that_vanished_is_gone_after_the_stated_time() {
    let (store, app, drops) = rooms();
    let page = app.client("page").buffer_size(512).lenient().sse("/rooms/1?who=page").await;
    let socket = app.client("socket").lenient().ws("/rooms/2?who=socket").await;
    page.vanish().await;
    socket.vanish().await;
    // More than the pipe and hyper's buffer take, so that it is owed something.
    for _ in 0..10 {
        store.submit(line("1", &"x".repeat(100_000))).await.unwrap();
    }
    app.advance(Duration::from_millis(29_999)).await;
    assert_eq!((store.subscribers(), drops.take()), (2, vec![]));
    app.advance(Duration::from_millis(1)).await;
    assert_eq!(store.subscribers(), 0);
    let mut gone = drops.take();
    gone.sort();
    assert_eq!(gone, ["page", "socket"]);
}

#[tornadose_test::test]
async fn a_stream_whose_request_has_more_behind_it_flows_and_is_gone_at_the_next_write() {
    let (store, app, drops) = rooms();
    let stray = get("stray", "") + "\r\n";
    let pipelined = get("stray", "") + &get("behind", "");
    let unread = get("stray", "content-length: 10\r\n") + "half";
    for request in [stray, pipelined, unread] {
        let mut pipe = ask(&app, &request).await;
        store.submit(line("1", "hi")).await.unwrap();
        let (text, over) = come(&mut pipe).await;
        assert!(text.contains("data: {\"room\":\"1\",\"text\":\"hi\"}\n\n") && !over, "{text}");
        drop(pipe);
        app.settle().await;
        store.submit(line("1", "to nobody")).await.unwrap();
        app.settle().await;
        assert_eq!((store.subscribers(), drops.take()), (0, vec!["stray".into()]), "{request}");
    }
}

#[tornadose_test::test]
async fn a_request_behind_a_stream_is_answered_after_its_end() {
    let (store, app, drops) = rooms();
    let mut pipe = ask(&app, &(get("first", "") + "GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
    store.disconnect(&key("1"));
    let (text, over) = come(&mut pipe).await;
    let (before, behind) = text.split_once("retry: 4472\n\n\r\n0\r\n\r\n").expect(&text);
    assert_eq!(drops.take(), ["first"]);
    if is_detached() {
        // Its head has said that there would be no answer to another.
        assert!(before.contains("\r\nconnection: close\r\n") && behind.is_empty() && over, "{text}");
    } else {
        assert!(behind.starts_with("HTTP/1.1 404 ") && !over, "{text}");
    }
}

#[tornadose_test::test]
async fn what_follows_a_handshake_at_once_is_the_sockets() {
    let (store, app, drops) = rooms();
    for stray in ["\r\n", "GET /nowhere HTTP/1.1\r\n\r\n"] {
        let mut pipe = ask(&app, &(get("stray", UPGRADE) + stray)).await;
        let mut bytes = vec![0; 1024];
        let read = pipe.read(&mut bytes).await.unwrap();
        assert!(bytes.starts_with(b"HTTP/1.1 101 "));
        // A close frame with 1002.
        assert!(bytes[..read].windows(4).any(|part| part[0] == 0x88 && part[2..] == [0x03, 0xEA]));
        assert_eq!((store.subscribers(), drops.take()), (0, vec!["stray".into()]));
    }
    // A masked ping `hi`, the mask all zero, in one write with the request.
    let mut pipe = app.connect();
    let mut bytes = get("eager", UPGRADE).into_bytes();
    bytes.extend([0x89, 0x82, 0, 0, 0, 0, b'h', b'i']);
    pipe.write_all(&bytes).await.unwrap();
    let (text, over) = come(&mut pipe).await;
    assert!(text.contains("\u{2}hi") && !over, "{text:?}");
    assert_eq!((store.subscribers(), drops.take()), (1, vec![]));
}

// --- Other protocols, other methods

#[tornadose_test::test]
async fn http_1_0_reads_a_stream_to_the_end_of_the_line() {
    let (store, app, drops) = rooms();
    // It cannot upgrade: on a route of both transports it gets the stream.
    for headers in TRANSPORTS {
        let mut pipe = ask(&app, &get("old", headers).replace("HTTP/1.1", "HTTP/1.0")).await;
        store.submit(line("1", "hi")).await.unwrap();
        let (text, over) = come(&mut pipe).await;
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.0 200 OK") && !head.contains("chunked") && !over, "{text}");
        assert!(
            body.starts_with("retry: 2000\n") && body.ends_with("data: {\"room\":\"1\",\"text\":\"hi\"}\n\n"),
            "{text}"
        );
        store.disconnect(&key("1"));
        let (text, over) = come(&mut pipe).await;
        assert!(text.starts_with("retry: ") && over, "{text}");
        let mut pipe = ask(&app, &get("old", headers).replace("HTTP/1.1", "HTTP/1.0")).await;
        pipe.shutdown().await.unwrap();
        app.settle().await;
        assert_eq!((store.subscribers(), drops.take()), (0, vec!["old".into(); 2]));
    }
}

/// A client that speaks HTTP/2 from the first byte.
async fn http2(app: &Harness) -> http2::SendRequest<String> {
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(app.connect())).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn open(sender: &mut http2::SendRequest<String>, method: &str, path: &str) -> hyper::Response<Incoming> {
    let request = hyper::Request::builder().method(method).uri(format!("http://localhost{path}"));
    sender.send_request(request.body(String::new()).unwrap()).await.unwrap()
}

/// What the body has brought by now, and whether it has ended.
async fn body(response: &mut hyper::Response<Incoming>) -> (String, bool) {
    tornadose_test::settle().await;
    let mut text = String::new();
    loop {
        let frame = poll_fn(|cx| Pin::new(response.body_mut()).poll_frame(cx));
        match timeout(Duration::ZERO, frame).await {
            Err(_) => return (text, false),
            Ok(None) => return (text, true),
            Ok(Some(frame)) => text += str::from_utf8(frame.unwrap().data_ref().unwrap()).unwrap(),
        }
    }
}

#[tornadose_test::test]
async fn streams_on_one_http_2_connection_end_alone() {
    let (store, app, drops) = rooms();
    let mut sender = http2(&app).await;
    let mut ada = open(&mut sender, "GET", "/rooms/1?who=ada").await;
    let mut bob = open(&mut sender, "GET", "/rooms/1?who=bob").await;
    let eve = open(&mut sender, "GET", "/rooms/2?who=eve").await;
    let loud = open(&mut sender, "GET", "/rooms/2?who=loud").await;
    assert_eq!((ada.version(), ada.status()), (hyper::Version::HTTP_2, hyper::StatusCode::OK));
    assert!(body(&mut ada).await.0.starts_with("retry: 2000\n"));
    body(&mut bob).await;

    // One leaves: its stream is reset.
    drop(eve);
    app.settle().await;
    assert_eq!((store.subscribers(), drops.take()), (3, vec!["eve".into()]));
    // One leaves with a disconnect hook that panics.
    drop(loud);
    app.expect_panic("drop").await;
    assert_eq!((store.subscribers(), drops.take()), (2, vec!["loud".into()]));
    // One's filter panics.
    store.submit(line("1", "not for ada")).await.unwrap();
    app.expect_panic("filter").await;
    let (text, over) = body(&mut ada).await;
    assert!(text.starts_with("retry: ") && over, "{text}");
    assert_eq!((store.subscribers(), drops.take()), (1, vec!["ada".into()]));
    let (text, over) = body(&mut bob).await;
    assert!(text.ends_with("data: {\"room\":\"1\",\"text\":\"not for ada\"}\n\n") && !over, "{text}");
    // The rest end with their store, and the server can stop.
    let before = Instant::now();
    store.close();
    store.closed().await;
    let (text, over) = body(&mut bob).await;
    assert!(text.starts_with("retry: ") && over, "{text}");
    app.server().stop_gracefully(secs(3600)).await;
    assert_eq!((before.elapsed(), drops.take()), (Duration::ZERO, vec!["bob".into()]));
}

#[tornadose_test::test]
async fn an_http_2_connection_that_breaks_takes_its_streams_with_it() {
    let (store, app, drops) = rooms();
    let mut sender = http2(&app).await;
    let first = open(&mut sender, "GET", "/rooms/1?who=one").await;
    let second = open(&mut sender, "GET", "/rooms/1?who=two").await;
    assert_eq!(store.subscribers(), 2);
    drop((first, second, sender));
    app.settle().await;
    let mut gone = drops.take();
    gone.sort();
    assert_eq!((store.subscribers(), gone), (0, vec!["one".into(), "two".into()]));
}

#[tornadose_test::test]
async fn other_methods_get_405() {
    let (store, app, drops) = rooms();
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"] {
        for path in ["/rooms/1?who=x", "/goal/1?who=x"] {
            assert_eq!(app.client(method).request(method, path, "").await.status(), 405, "{method} {path}");
        }
        let answer = app.client(method).request(method, "/goal/1?who=x", "half").await;
        assert_eq!(answer.headers()["allow"], "GET, HEAD");
    }
    // Not even while its body is still coming.
    let mut pipe = ask(&app, "POST /goal/1?who=x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nhalf").await;
    assert!(come(&mut pipe).await.0.starts_with("HTTP/1.1 405 "));
    let mut sender = http2(&app).await;
    assert_eq!(open(&mut sender, "POST", "/goal/1?who=x").await.status(), 405);
    assert_eq!((store.subscribers(), drops.take()), (0, vec![]));
}

#[tornadose_test::test]
async fn head_holds_nothing_open() {
    let (store, app, drops) = rooms();
    assert_eq!(app.client("head").request("HEAD", "/goal/1?who=head", "").await.status(), 200);
    let mut sender = http2(&app).await;
    let mut head = open(&mut sender, "HEAD", "/goal/1?who=head").await;
    assert_eq!((head.status().as_u16(), body(&mut head).await), (200, (String::new(), true)));
    assert_eq!((store.subscribers(), drops.take()), (0, vec!["head".into(); 2]));
}

// --- The server's end

#[tornadose_test::test]
async fn disconnect_ends_those_who_hold_the_key_and_nobody_else() {
    let (store, app, drops) = rooms();
    let pages = [
        app.client("ada").sse("/rooms/1?who=ada").await,
        app.client("other").sse("/rooms/2?who=other").await,
        app.client("all").sse("/all").await,
    ];
    let sockets = [
        app.client("bob").ws("/rooms/1?who=bob").await,
        app.client("others").ws("/rooms/2?who=others").await,
        app.client("alls").ws("/all").await,
    ];
    store.disconnect(&key("1"));
    store.disconnect(&key("nobody's"));
    app.settle().await;
    let mut gone = drops.take();
    gone.sort();
    assert_eq!((store.subscribers(), gone), (4, vec!["ada".into(), "bob".into()]));
    store.submit(line("2", "hi")).await.unwrap();
    app.settle().await;
    for reader in pages[1..].iter().chain(sockets[1..].iter().map(|socket| &**socket)) {
        reader.skip(1).await;
    }
    assert_transcript!(app, @r#"
    ada > GET /rooms/1?who=ada
    ada ~ open 200 text/event-stream, retry 2s
    other > GET /rooms/2?who=other
    other ~ open 200 text/event-stream, retry 2s
    all > GET /all
    all ~ open 200 text/event-stream
    bob > GET /rooms/1?who=bob upgrade websocket
    bob ~ open 101
    others > GET /rooms/2?who=others upgrade websocket
    others ~ open 101
    alls > GET /all upgrade websocket
    alls ~ open 101
    ada < retry 4.472s
    ada ~ end
    bob ~ close 1008 (server) disconnected
    other < message #1 {"room":"2","text":"hi"}
    all < message #1 {"room":"2","text":"hi"}
    others < message #1 {"room":"2","text":"hi"}
    alls < message #1 {"room":"2","text":"hi"}
    "#);
}

#[tornadose_test::test]
async fn who_was_disconnected_may_come_again() {
    let (store, app, drops) = rooms();
    store.disconnect(&key("1"));
    let page = app.client("page").sse("/rooms/1?who=page").await;
    store.submit(line("1", "before")).await.unwrap();
    page.skip(1).await;
    store.disconnect(&key("1"));
    app.settle().await;
    assert_eq!(page.closed().await, Ending::End);
    store.submit(line("1", "between")).await.unwrap();
    let again = app.client("again").last_event_id(page.last_event_id().unwrap()).sse("/rooms/1?who=again").await;
    assert_eq!(again.next_now::<serde_json::Value>().await["text"], "between");
    again.quiet().await;
    assert_eq!(drops.take(), ["page"]);
}

#[tornadose_test::test]
async fn a_thousand_streams_close_in_one_instant() {
    let (store, app, drops) = rooms();
    let (mut pages, mut sockets) = (Vec::new(), Vec::new());
    for number in 0..500 {
        let room = number % 7;
        pages.push(app.client(format!("p{number}")).sse(format!("/rooms/{room}?who=p{number}")).await);
        sockets.push(app.client(format!("s{number}")).ws(format!("/rooms/{room}?who=s{number}")).await);
    }
    assert_eq!((store.subscribers(), drops.take()), (1000, vec![]));
    let before = Instant::now();
    store.close();
    store.closed().await;
    assert_eq!(store.subscribers(), 0);
    app.server().stop_gracefully(secs(3600)).await;
    assert_eq!(before.elapsed(), Duration::ZERO);
    for page in pages {
        assert_eq!(page.closed().await, Ending::End);
    }
    for socket in sockets {
        assert_eq!(socket.closed().await, Ending::Close { code: 1001, reason: String::new() });
    }
    let mut times = BTreeMap::new();
    for who in drops.take() {
        *times.entry(who).or_insert(0) += 1;
    }
    assert_eq!((times.len(), times.values().max()), (1000, Some(&1)), "each was dropped once");
}

#[tornadose_test::test]
async fn those_who_read_need_not_wait_for_one_who_does_not() {
    let (store, app, drops) = rooms();
    let page = app.client("page").once().sse("/rooms/1?who=page").await;
    let socket = app.client("socket").ws("/rooms/1?who=socket").await;
    let mute = app.client("mute").buffer_size(64).lenient().sse("/rooms/2?who=mute").await;
    let muted = app.client("muted").buffer_size(64).lenient().ws("/rooms/2?who=muted").await;
    mute.stall().await;
    muted.stall().await;
    for _ in 0..5 {
        store.submit(line("2", &"x".repeat(1000))).await.unwrap();
    }
    app.settle().await;
    let before = Instant::now();
    store.close();
    assert_eq!(page.closed().await, Ending::End);
    assert_eq!(socket.closed().await, Ending::Close { code: 1001, reason: String::new() });
    assert_eq!(before.elapsed(), Duration::ZERO);
    store.closed().await;
    app.server().stop_gracefully(secs(3600)).await;
    assert_eq!(before.elapsed(), secs(5));
    let mut gone = drops.take();
    gone.sort();
    assert_eq!(gone, ["mute", "muted", "page", "socket"]);
}

#[tornadose_test::test]
async fn who_reads_on_after_the_end_gets_the_rest_and_the_goodbye() {
    for stalled in [true, false] {
        let (store, app, _) = rooms();
        let page = app.client("page").buffer_size(64).once().lenient().sse("/rooms/1?who=page").await;
        let socket = app.client("socket").buffer_size(64).lenient().ws("/rooms/1?who=socket").await;
        if stalled {
            page.stall().await;
            socket.stall().await;
        }
        let before = Instant::now();
        for number in 0..5 {
            store.submit(line("1", &number.to_string().repeat(1000))).await.unwrap();
            if stalled {
                app.settle().await;
            }
        }
        store.close();
        if stalled {
            app.settle().await;
            page.resume().await;
            socket.resume().await;
        }
        assert_eq!(page.closed().await, Ending::End);
        assert_eq!(socket.closed().await, Ending::Close { code: 1001, reason: String::new() });
        assert_eq!(before.elapsed(), Duration::ZERO);
        let transcript = app.recording().to_string();
        for number in 0..5 {
            assert_eq!(transcript.matches(&number.to_string().repeat(1000)).count(), 2);
        }
    }
}

#[tornadose_test::test]
async fn who_has_reached_its_age_comes_again_and_misses_nothing() {
    let (store, app, drops) = rooms();
    let page = app.client("page").once().sse("/young/1?who=page").await;
    let socket = app.client("socket").ws("/young/1?who=socket").await;
    store.submit(line("1", "before")).await.unwrap();
    app.advance(secs(66)).await;
    page.skip(1).await;
    socket.skip(1).await;
    assert_eq!(page.closed().await, Ending::End);
    assert_eq!(socket.closed().await, Ending::Close { code: 1001, reason: "max age".into() });
    let mut gone = drops.take();
    gone.sort();
    assert_eq!(gone, ["page", "socket"]);
    store.submit(line("1", "between")).await.unwrap();
    let page = app.client("page").last_event_id(page.last_event_id().unwrap()).sse("/young/1?who=page").await;
    let id = socket.last_event_id().unwrap();
    let socket = app.client("socket").ws(format!("/young/1?who=socket&last_event_id={id}")).await;
    store.submit(line("1", "after")).await.unwrap();
    for reader in [&page, &*socket] {
        for text in ["between", "after"] {
            assert_eq!(reader.next_now::<serde_json::Value>().await["text"], text);
        }
        reader.quiet().await;
    }
    // It is asked again whether it may.
    let crash = app.client("crash").last_event_id(id).sse("/young/1?who=crash").await;
    app.expect_panic("authorize").await;
    assert_eq!((crash.status(), drops.take()), (500, vec!["crash".into()]));
}

// --- Hooks that panic

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<String>>>);

impl Logged {
    fn here() -> (Self, DefaultGuard) {
        let logged = Self::default();
        let guard = tracing::subscriber::set_default(logged.clone());
        (logged, guard)
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl tracing::Subscriber for Logged {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "tornadose" && *metadata.level() <= Level::DEBUG
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = event.metadata().level().to_string();
        event.record(&mut Fields(&mut text));
        self.0.lock().unwrap().push(text);
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        }
        .expect("a string takes all");
    }
}

#[tornadose_test::test]
async fn a_panic_before_the_head_is_answered_500_and_logged() {
    let (store, app, drops) = rooms();
    let page = app.client("page").sse("/rooms/1?who=page").await;
    let (logged, _guard) = Logged::here();
    assert_eq!(app.client("sse").lenient().sse("/rooms/1?who=crash").await.status(), 500);
    assert_eq!(app.client("ws").lenient().ws("/rooms/1?who=crash").await.status(), 500);
    let mut sender = http2(&app).await;
    let mut beside = open(&mut sender, "GET", "/rooms/1?who=beside").await;
    assert_eq!(open(&mut sender, "GET", "/rooms/1?who=crash").await.status(), 500);
    for _ in 0..3 {
        app.expect_panic("authorize").await;
    }
    let panic = "ERROR hook panicked before the response head";
    assert_eq!(logged.take().iter().filter(|text| *text == panic).count(), 3);
    assert_eq!((store.subscribers(), drops.take()), (2, vec!["crash".into(); 3]));
    store.submit(line("1", "on")).await.unwrap();
    page.skip(1).await;
    assert!(body(&mut beside).await.0.contains("\"on\""));
}

#[tornadose_test::test]
async fn a_panic_after_the_head_ends_its_connection_alone_and_is_logged() {
    let (store, app, drops) = rooms();
    let _page = app.client("page").sse("/rooms/1?who=page").await;
    let socket = app.client("socket").ws("/rooms/1?who=socket").await;
    let talker = app.client("talker").ws("/rooms/1?who=talker").await;
    let (logged, _guard) = Logged::here();
    for who in ["page", "socket"] {
        store.submit(line("1", &format!("not for {who}"))).await.unwrap();
        app.expect_panic("filter").await;
        assert_eq!(drops.take(), [who]);
    }
    socket.skip(1).await;
    talker.skip(2).await;
    talker.send("crash").await;
    app.expect_panic("receive").await;
    assert_eq!((store.subscribers(), drops.take()), (0, vec!["talker".into()]));
    let (error, closes) = ("ERROR hook panicked", "DEBUG connection closed");
    let expected = [
        [
            format!("{error} transport=\"sse\" number=1"),
            format!("{closes} transport=\"sse\" number=1 reason=\"panicked\""),
        ],
        [
            format!("{error} transport=\"ws\" number=2"),
            format!("{closes} transport=\"ws\" number=2 reason=\"panicked\" code=1011"),
        ],
        [
            format!("{error} transport=\"ws\" number=3"),
            format!("{closes} transport=\"ws\" number=3 reason=\"panicked\" code=1011"),
        ],
    ]
    .concat();
    // Behind the reason stands the ledger.
    let lines = logged.take();
    assert_eq!(lines.iter().map(|line| line.split(" detached=").next().unwrap()).collect::<Vec<_>>(), expected);
    assert_transcript!(app, @r#"
    page > GET /rooms/1?who=page
    page ~ open 200 text/event-stream, retry 2s
    socket > GET /rooms/1?who=socket upgrade websocket
    socket ~ open 101
    talker > GET /rooms/1?who=talker upgrade websocket
    talker ~ open 101
    page < retry 4.472s
    page ~ end
    socket < message #1 {"room":"1","text":"not for page"}
    talker < message #1 {"room":"1","text":"not for page"}
    server ! panicked: filter
    socket ~ close 1011 (server) internal error
    talker < message #2 {"room":"1","text":"not for socket"}
    server ! panicked: filter
    talker > "\"crash\""
    talker ~ close 1011 (server) internal error
    server ! panicked: receive
    "#);
}

#[tornadose_test::test]
async fn a_panic_of_the_disconnect_hook_is_logged_however_its_client_went() {
    let (store, app, drops) = rooms();
    let (logged, _guard) = Logged::here();
    for headers in TRANSPORTS {
        // The client leaves.
        drop(ask(&app, &get("loud", headers)).await);
        app.expect_panic("drop").await;
        assert!(logged.take().contains(&"ERROR disconnect hook panicked".into()));
        // The store sends it away.
        let _pipe = ask(&app, &get("loud", headers)).await;
        store.disconnect(&key("1"));
        app.expect_panic("drop").await;
        assert!(logged.take().contains(&"ERROR disconnect hook panicked".into()));
    }
    // They take nothing, and are aborted in the end.
    let _stuck = (ask(&app, &get("loud", "")).await, ask(&app, &get("loud", UPGRADE)).await);
    store.submit(line("1", &"x".repeat(1 << 20))).await.unwrap();
    app.settle().await;
    store.close();
    app.advance(secs(6)).await;
    let panics = logged.take().into_iter().filter(|line| line == "ERROR disconnect hook panicked").count();
    assert_eq!(panics, 2);
    for _ in 0..2 {
        app.expect_panic("drop").await;
    }
    assert_eq!((store.subscribers(), drops.take()), (0, vec!["loud".into(); 6]));
}

#[tornadose_test::test]
async fn a_panic_of_the_disconnect_hook_leaves_a_refusal_as_it_is() {
    let (store, app, drops) = rooms();
    assert_eq!(app.client("head").request("HEAD", "/goal/1?who=loud", "").await.status(), 200);
    app.expect_panic("drop").await;
    store.close();
    let mut page = ask(&app, &get("loud", "")).await;
    app.expect_panic("drop").await;
    let (text, over) = come(&mut page).await;
    assert!(text.starts_with("HTTP/1.1 200 ") && text.ends_with("\r\n\r\nretry: 4472\n\n") && !over, "{text}");
    let mut socket = ask(&app, &get("loud", UPGRADE)).await;
    app.expect_panic("drop").await;
    let (text, over) = come(&mut socket).await;
    assert!(text.starts_with("HTTP/1.1 503 ") && !over, "{text}");
    assert_eq!(drops.take(), ["loud"; 3]);
}

#[tornadose_test::test]
async fn every_end_is_logged_with_its_reason() {
    let (store, app, _) = rooms();
    let (logged, _guard) = Logged::here();
    let ends = |logged: &Logged| -> Vec<String> {
        let closes =
            |text: &String| Some(text.split_once("connection closed ")?.1.split(" detached=").next()?.to_owned());
        logged.take().iter().filter_map(closes).collect()
    };
    for headers in TRANSPORTS {
        drop(ask(&app, &get("fin", headers)).await);
    }
    app.settle().await;
    assert_eq!(
        ends(&logged),
        [r#"transport="sse" number=1 reason="left""#, r#"transport="ws" number=2 reason="left""#]
    );
    let pipes = [ask(&app, &get("x", "")).await, ask(&app, &get("x", UPGRADE)).await];
    store.disconnect(&key("1"));
    app.settle().await;
    drop(pipes);
    app.settle().await;
    let disconnected = ends(&logged);
    let expected = [
        r#"transport="sse" number=3 reason="disconnected""#,
        r#"transport="ws" number=4 reason="disconnected" code=1008"#,
    ];
    assert_eq!(disconnected, expected);
}
