//! Log events and metrics of connections: one event where a connection opens, loses messages or closes, none per delivery, and nothing
//! that a user wrote.

#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "common/harness.rs"]
mod common;

use std::fmt::{Debug, Write as _};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use salvo::conn::tcp::TcpCoupler;
use salvo::conn::{Accepted, Acceptor, Holding};
use salvo::fuse::ArcFusePolicy;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tornadose::Handover;
use tornadose::prelude::*;
use tornadose::subscriber::Lag;
use tornadose_test::Harness;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata};

use self::common::harness;

#[store(queue, capacity = 4)]
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Room {
    Said {
        #[key]
        room: String,
        text: String,
    },
    #[latest]
    Topic {
        #[key]
        room: String,
        topic: String,
    },
}

#[derive(Deserialize)]
struct Order(String);

#[subscriber(sse, ws, store = Room, authorize = public, replay = 2, filter = Self::wants, receive = Self::ordered)]
struct Member {
    #[key]
    room: String,
}

impl Member {
    #[expect(clippy::unused_self, reason = "a filter has it")]
    fn wants(&self, message: &Room) -> bool {
        match message {
            Room::Said { text, .. } if text == "panic" => panic!("as asked"),
            Room::Said { text, .. } => text != "secret",
            Room::Topic { .. } => true,
        }
    }

    async fn ordered(&mut self, Order(reason): Order, _: &Store<Room>) -> Result<(), Close> {
        Err(Close::new(CloseCode::literal::<4000>(), reason))
    }
}

fn said(text: &str) -> Room {
    Room::Said { room: "cellar".into(), text: text.into() }
}

fn topic(topic: &str) -> Room {
    Room::Topic { room: "cellar".into(), topic: topic.into() }
}

fn rooms() -> (Store<Room>, Harness) {
    let store = Store::new();
    let app = harness(Router::with_path("rooms/{room}").get(Member::handler(&store)));
    (store, app)
}

/// A log in memory, one line an event: its level, message and fields.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        tracing::subscriber::set_default(self.clone())
    }

    /// The lines since the last call, without the field `detached`: it differs with `TORNADOSE_DIRECT`.
    fn take(&self) -> String {
        self.take_whole().replace(" detached=true", "").replace(" detached=false", "")
    }

    fn take_whole(&self) -> String {
        std::mem::take(&mut *self.0.lock().unwrap()).join("\n")
    }
}

struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            write!(self.fields, " {}={value:?}", field.name()).unwrap();
        }
    }
}

impl tracing::Subscriber for Lines {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "tornadose"
    }
    fn event(&self, event: &Event<'_>) {
        let mut line = Line { message: String::new(), fields: String::new() };
        event.record(&mut line);
        let Line { message, fields } = line;
        self.0.lock().unwrap().push(format!("{} {message}:{fields}", event.metadata().level()));
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tornadose_test::test]
async fn a_connection_is_logged_where_it_opens_loses_and_closes() {
    let lines = Lines::default();
    let _guard = lines.listen();
    let (store, app) = rooms();
    for text in ["1", "2", "3"] {
        store.submit(said(text)).await.unwrap();
    }
    store.submit(topic("cats")).await.unwrap();
    let ada = app.client("ada").lenient().sse("/rooms/cellar").await;
    let bob = app.client("bob").lenient().last_event_id("of no log").ws("/rooms/cellar").await;
    insta::assert_snapshot!(lines.take(), @r#"
    DEBUG connection opened: transport="sse" number=1 channel="room" keys=1
    DEBUG connection opened: transport="ws" number=2 channel="room" keys=1
    DEBUG connection resumed: transport="ws" number=2 outcome="restarted"
    DEBUG gap reported: transport="ws" number=2 reason=restarted
    "#);
    for text in ["secret", "5"] {
        store.submit(said(text)).await.unwrap();
        app.settle().await;
    }
    assert_eq!(lines.take(), "", "something is logged per delivery");
    // More than is kept, before either of them can read.
    for _ in 0..6 {
        store.try_submit(said("fast")).unwrap();
        store.try_submit(topic("dogs")).unwrap();
    }
    app.settle().await;
    insta::assert_snapshot!(lines.take(), @r#"
    DEBUG gap reported: transport="sse" number=1 reason=lagged missed=2
    DEBUG gap reported: transport="ws" number=2 reason=lagged missed=2
    "#);
    bob.send(&"a reason that a user wrote").await;
    ada.close().await;
    insta::assert_snapshot!(lines.take(), @r#"
    DEBUG connection closed: transport="ws" number=2 reason="refused" code=4000 owed=18 delivered=10 filtered=1 conflated=5 missed=2 unread=0
    DEBUG connection closed: transport="sse" number=1 reason="left" owed=17 delivered=9 filtered=1 conflated=5 missed=2 unread=0
    "#);
    store.try_submit(said("unheard")).unwrap();
    assert_eq!(lines.take(), "");
}

#[tornadose_test::test]
async fn every_end_is_logged_with_its_reason() {
    let lines = Lines::default();
    let _guard = lines.listen();
    let (store, app) = rooms();
    let transports = async |name: &str| {
        let sse = app.client(format!("{name}-sse")).lenient().sse("/rooms/cellar").await;
        let ws = app.client(format!("{name}-ws")).lenient().ws("/rooms/cellar").await;
        (sse, ws)
    };
    let _disconnected = transports("disconnected").await;
    store.disconnect(&RoomKey { room: "cellar".into() });
    app.settle().await;
    let (_, broken) = transports("broken").await;
    broken.send_binary([1]).await;
    let _panicked = transports("panicked").await;
    store.try_submit(said("panic")).unwrap();
    app.settle().await;
    for _ in 0..3 {
        app.expect_panic("as asked").await;
    }
    for text in ["7", "8"] {
        // The next ones are not to hear of the panic.
        store.try_submit(said(text)).unwrap();
    }
    let _closed = transports("closed").await;
    store.close();
    app.settle().await;
    insta::assert_snapshot!(lines.take(), @r#"
    DEBUG connection opened: transport="sse" number=1 channel="room" keys=1
    DEBUG connection opened: transport="ws" number=2 channel="room" keys=1
    DEBUG connection closed: transport="sse" number=1 reason="disconnected" owed=0 delivered=0 filtered=0 conflated=0 missed=0 unread=0
    DEBUG connection closed: transport="ws" number=2 reason="disconnected" code=1008 owed=0 delivered=0 filtered=0 conflated=0 missed=0 unread=0
    DEBUG connection opened: transport="sse" number=3 channel="room" keys=1
    DEBUG connection opened: transport="ws" number=4 channel="room" keys=1
    DEBUG connection closed: transport="ws" number=4 reason="violation" code=1003 owed=0 delivered=0 filtered=0 conflated=0 missed=0 unread=0
    DEBUG connection opened: transport="sse" number=5 channel="room" keys=1
    DEBUG connection opened: transport="ws" number=6 channel="room" keys=1
    ERROR hook panicked: transport="sse" number=3
    DEBUG connection closed: transport="sse" number=3 reason="panicked" owed=1 delivered=0 filtered=0 conflated=0 missed=0 unread=1
    ERROR hook panicked: transport="sse" number=5
    DEBUG connection closed: transport="sse" number=5 reason="panicked" owed=1 delivered=0 filtered=0 conflated=0 missed=0 unread=1
    ERROR hook panicked: transport="ws" number=6
    DEBUG connection closed: transport="ws" number=6 reason="panicked" code=1011 owed=1 delivered=0 filtered=0 conflated=0 missed=0 unread=1
    DEBUG connection opened: transport="sse" number=7 channel="room" keys=1
    DEBUG connection opened: transport="ws" number=8 channel="room" keys=1
    DEBUG store closed: channel="room" readers=2
    DEBUG connection closed: transport="sse" number=7 reason="closed" owed=2 delivered=2 filtered=0 conflated=0 missed=0 unread=0
    DEBUG connection closed: transport="ws" number=8 reason="closed" code=1001 owed=2 delivered=2 filtered=0 conflated=0 missed=0 unread=0
    "#);
}

#[tornadose_test::test]
async fn who_takes_nothing_or_says_nothing_is_logged_so() {
    let lines = Lines::default();
    let _guard = lines.listen();
    let (store, app) = rooms();
    let page = app.client("page").buffer_size(512).lenient().sse("/rooms/cellar").await;
    let gone = app.client("gone").lenient().ws("/rooms/attic").await;
    page.stall().await;
    gone.vanish().await;
    for _ in 0..8 {
        // More than the server buffers.
        store.submit(said(&"x".repeat(300_000))).await.unwrap();
        app.settle().await;
    }
    app.advance(Duration::from_secs(120)).await;
    let lines = lines.take();
    for end in [r#"transport="sse" number=1 reason="stalled""#, r#"transport="ws" number=2 reason="silent""#] {
        assert!(lines.contains(&format!("connection closed: {end}")), "{lines}");
    }
}

/// The lines of connections that close or are turned away, up to their sums.
fn ends(lines: &Lines) -> Vec<String> {
    let text = lines.take();
    let ends = text.lines().filter(|line| line.contains("closed: transport") || line.contains("rejected"));
    ends.map(|line| line.split(" owed=").next().unwrap().to_owned()).collect()
}

#[tornadose_test::test]
async fn who_is_turned_away_is_logged() {
    let lines = Lines::default();
    let _guard = lines.listen();
    let store = Store::new();
    let app = harness(Router::with_path("rooms/{room}").get(Member::handler(&store).max_connections(1)));
    let _first = app.client("first").lenient().sse("/rooms/cellar").await;
    app.client("second").lenient().sse("/rooms/cellar").await;
    app.client("third").lenient().ws("/rooms/cellar").await;
    assert_eq!(
        ends(&lines),
        [
            r#"DEBUG connection rejected: number=2 reason="full""#,
            r#"DEBUG connection rejected: number=3 reason="full""#,
        ]
    );
    store.close();
    app.settle().await;
    app.client("late").lenient().sse("/rooms/cellar").await;
    assert_eq!(
        ends(&lines),
        [
            r#"DEBUG connection closed: transport="sse" number=1 reason="closed""#,
            r#"DEBUG connection rejected: number=4 reason="closed""#,
        ]
    );
}

#[tornadose_test::test]
async fn ends_by_age_by_lag_and_by_force_are_logged() {
    let lines = Lines::default();
    let _guard = lines.listen();
    let store = Store::new();
    let handler = || Member::handler(&store);
    let app = harness(
        Router::new()
            .push(Router::with_path("aging/{room}").get(handler().max_age(Duration::from_secs(60))))
            .push(Router::with_path("strict/{room}").get(handler().lag(Lag::Close)))
            .push(Router::with_path("stuck/{room}").get(handler().keep_alive(None))),
    );
    let _aging = (
        app.client("a").once().lenient().sse("/aging/attic").await,
        app.client("b").lenient().ws("/aging/attic").await,
    );
    app.advance(Duration::from_secs(70)).await;
    assert_eq!(
        ends(&lines),
        [
            r#"DEBUG connection closed: transport="ws" number=2 reason="max_age" code=1001"#,
            r#"DEBUG connection closed: transport="sse" number=1 reason="max_age""#,
        ]
    );
    let _strict = (
        app.client("c").once().lenient().sse("/strict/cellar").await,
        app.client("d").lenient().ws("/strict/cellar").await,
    );
    for _ in 0..8 {
        store.try_submit(said("fast")).unwrap();
    }
    app.settle().await;
    assert_eq!(
        ends(&lines),
        [
            r#"DEBUG connection closed: transport="sse" number=1 reason="lagged""#,
            r#"DEBUG connection closed: transport="ws" number=2 reason="lagged" code=1013"#,
        ]
    );
    let stuck = (
        app.client("e").once().buffer_size(512).lenient().sse("/stuck/cellar").await,
        app.client("f").buffer_size(512).lenient().ws("/stuck/cellar").await,
    );
    stuck.0.stall().await;
    stuck.1.stall().await;
    for _ in 0..4 {
        store.submit(said(&"x".repeat(300_000))).await.unwrap();
        app.settle().await;
    }
    store.close();
    app.advance(Duration::from_secs(6)).await;
    assert_eq!(
        ends(&lines),
        [
            r#"DEBUG connection closed: transport="sse" number=1 reason="aborted""#,
            r#"DEBUG connection closed: transport="ws" number=2 reason="aborted""#,
        ]
    );
}

#[tornadose_test::test]
async fn a_subscription_is_logged_at_its_end() {
    let lines = Lines::default();
    let store: Store<Room> = Store::new();
    let mut all = store.subscribe();
    for text in ["1", "2", "3", "4", "5", "6"] {
        store.try_submit(said(text)).unwrap();
        store.try_submit(topic(text)).unwrap();
    }
    let _guard = lines.listen();
    for _ in 0..3 {
        all.next().await.unwrap();
    }
    drop(all);
    insta::assert_snapshot!(lines.take(), @r#"
    DEBUG gap reported: channel="room" reason=lagged missed=2
    DEBUG subscription ended: channel="room" owed=12 delivered=2 filtered=0 conflated=5 missed=2 unread=3
    "#);
}

/// A backend that tells a few entries, is lost, and is back.
struct Telling;

impl tornadose::backend::Backend for Telling {
    async fn run(self, link: tornadose::backend::BackendLink) -> Result<(), tornadose::backend::OpenError> {
        link.reset("aaaaaaaa".parse().unwrap(), tornadose::backend::Offset::START);
        for (seq, payload) in [(1, &b"{"[..]), (2, br#"{"txt":"secret"}"#), (3, b"\"\xff\""), (4, br#""hi""#)] {
            link.ingest(tornadose::backend::Offset::new(7, seq), tornadose::backend::IncomingEntry::new(payload));
        }
        link.skip_unreadable(tornadose::backend::Offset::new(7, 5), "no field `data`");
        link.caught_up();
        link.report_disconnected("a test");
        link.report_disconnected("again");
        link.caught_up();
        link.report_trimmed(Some(3));
        link.report_outage();
        std::future::pending().await
    }
}

#[store(queue)]
#[derive(Serialize, Deserialize)]
struct Note(String);

#[tornadose_test::test]
async fn what_a_backend_tells_that_is_no_message_is_logged_and_not_quoted() {
    let lines = Lines::default();
    let _guard = lines.listen();
    let store = Store::<Note>::open(Telling).await.unwrap();
    assert_eq!(store.head().to_string(), "aaaaaaaa-7.6");
    insta::assert_snapshot!(lines.take(), @r#"
    WARN entry skipped: channel="note" entry=7.1 reason="JSON of another shape, line 1 column 0"
    WARN entry skipped: channel="note" entry=7.2 reason="JSON of another shape, line 1 column 0"
    WARN entry skipped: channel="note" entry=7.3 reason="not JSON, line 1 column 2"
    WARN entry skipped: channel="note" entry=7.5 reason="no field `data`"
    INFO backend connected: channel="note"
    WARN backend disconnected: channel="note" reason="a test"
    INFO backend connected: channel="note"
    WARN unread entries trimmed: channel="note" missed=3
    WARN outage reported: channel="note"
    "#);
}

// --- Whether connections are detached

/// A harness whose streams detach, with or without `TORNADOSE_DIRECT`.
fn detaching(router: Router) -> Harness {
    let handover = Handover::new();
    let service = handover.service(router);
    Harness::with_server(service, move |pipes| Server::new(handover.acceptor(pipes)))
}

fn router(store: &Store<Room>) -> Router {
    Router::with_path("rooms/{room}").get(Member::handler(store))
}

const GET: &str = "GET /rooms/cellar HTTP/1.1\r\nhost: localhost\r\n\r\n";
const UPGRADE: &str = "GET /rooms/cellar HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[tornadose_test::test]
async fn a_close_is_logged_with_whether_the_connection_was_detached() {
    let lines = Lines::default();
    let _guard = lines.listen();
    let store = Store::new();
    for (app, detached) in [(Harness::new(router(&store)), false), (detaching(router(&store)), true)] {
        let sse = app.client("sse").lenient().sse("/rooms/cellar").await;
        let ws = app.client("ws").lenient().ws("/rooms/cellar").await;
        sse.close().await;
        ws.close().await;
        app.settle().await;
        let closed = lines.take_whole();
        let closed: Vec<&str> = closed.lines().filter(|line| line.contains("connection closed")).collect();
        let suffix = format!(" detached={detached} owed=0");
        assert!(closed.len() == 2 && closed.iter().all(|line| line.contains(&suffix)), "{closed:?}");
    }
}

/// Reads until this text has come.
async fn read_until(socket: &mut (impl AsyncRead + Unpin), text: &str) {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(text) {
        let bytes = timeout(Duration::from_secs(20), socket.read_buf(&mut read)).await.expect("the text comes");
        assert!(bytes.unwrap() > 0, "{}", String::from_utf8_lossy(&read));
    }
}

/// Fails when Salvo or hyper work in another way than the handover expects, with their public interfaces unchanged.
#[tokio::test]
async fn every_connection_of_a_plain_server_is_detached() {
    let lines = Lines::default();
    let _guard = lines.listen();
    let store = Store::new();
    let acceptor = tornadose::listen("127.0.0.1:0").await.unwrap();
    let addr = acceptor.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(tornadose::serve_with_shutdown(acceptor, router(&store), async {
        let _stopped_or_dropped = stopped.await;
    }));
    let mut sockets = Vec::new();
    for request in [GET, UPGRADE] {
        let mut socket = TcpStream::connect(addr).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        read_until(&mut socket, "\r\n\r\n").await;
        sockets.push(socket);
    }
    store.submit(said("hi")).await.unwrap();
    for socket in &mut sockets {
        read_until(socket, "\"hi\"").await;
    }
    drop(sockets);
    stop.send(()).unwrap();
    timeout(Duration::from_secs(20), serving).await.expect("the server stops").unwrap().unwrap();
    let logged = lines.take_whole();
    let closed = logged.lines().filter(|line| line.contains("connection closed"));
    let detached = closed.map(|line| line.contains(" detached=true ")).collect::<Vec<_>>();
    assert_eq!(detached, [true, true], "{logged}");
    assert!(!logged.contains("not detached"), "{logged}");
}

/// A middleware that says how long the body is.
#[handler]
async fn set_length(req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
    ctrl.call_next(req, depot, res).await;
    res.headers_mut().insert("content-length", "100000".parse().unwrap());
}

/// Sends a request, and lets time pass.
async fn request(app: &Harness, request: &str) -> DuplexStream {
    let mut pipe = app.connect();
    pipe.write_all(request.as_bytes()).await.unwrap();
    app.settle().await;
    app.advance(Duration::from_secs(20)).await;
    pipe
}

/// The lines that say why a stream is not detached.
fn not_detached(lines: &Lines) -> Vec<String> {
    lines.take().lines().filter(|line| line.contains("not detached")).map(str::to_owned).collect()
}

/// A socket that is never flushed.
struct NeverFlushed<IO>(IO);

impl<IO: AsyncRead + Unpin> AsyncRead for NeverFlushed<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for NeverFlushed<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// An acceptor of sockets that are never flushed.
struct NeverFlushing<A>(A);

impl<A: Acceptor + Send> Acceptor for NeverFlushing<A>
where
    A::Stream: AsyncRead + AsyncWrite,
{
    type Coupler = TcpCoupler<Self::Stream>;
    type Stream = NeverFlushed<A::Stream>;

    fn holdings(&self) -> &[Holding] {
        self.0.holdings()
    }

    async fn accept(&mut self, fuse: Option<ArcFusePolicy>) -> io::Result<Accepted<Self::Coupler, Self::Stream>> {
        Ok(self.0.accept(fuse).await?.map_into(|_| TcpCoupler::new(), NeverFlushed))
    }
}

#[tornadose_test::test]
async fn a_stream_that_is_not_detached_is_logged_once_for_each_cause() {
    let lines = Lines::default();
    let _guard = lines.listen();
    let store = Store::new();
    let detaching_app = detaching(router(&store));
    let fixed_length = detaching(router(&store).hoop(set_length));
    // The acceptor is not wrapped, as if the connection were another's.
    let not_recognised = Harness::new(Handover::new().service(router(&store)));
    let handover = Handover::new();
    let service = handover.service(router(&store));
    let not_flushed = Harness::with_server(service, move |pipes| Server::new(handover.acceptor(NeverFlushing(pipes))));
    let with_body = GET.replace("\r\n\r\n", "\r\ncontent-length: 2\r\n\r\nab");
    for (app, text, logged) in [
        (&detaching_app, GET, None),
        (
            &detaching_app,
            "GET /rooms/cellar HTTP/1.0\r\n\r\n",
            Some(r#"DEBUG stream not detached: transport="sse" reason="http version""#),
        ),
        (&detaching_app, &with_body, Some(r#"DEBUG stream not detached: transport="sse" reason="request body""#)),
        (
            &fixed_length,
            GET,
            Some(r#"DEBUG stream not detached: transport="sse" reason="response replaced or of fixed length""#),
        ),
        (&not_recognised, GET, Some(r#"WARN stream not detached: transport="sse" reason="connection not recognised""#)),
        (&not_flushed, GET, Some(r#"DEBUG stream not detached: transport="sse" reason="head not taken""#)),
    ] {
        let _first = request(app, text).await;
        assert_eq!(not_detached(&lines), logged.into_iter().collect::<Vec<_>>());
        let _second = request(app, text).await;
        assert_eq!(not_detached(&lines), Vec::<String>::new());
    }
}

/// The metrics of the feature of that name.
#[cfg(feature = "metrics")]
mod counters {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::sync::{Arc, Mutex};

    use futures_util::StreamExt;
    use metrics::{
        Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    };

    use super::{Note, RoomKey, Telling, detaching, rooms, router, said, topic};

    /// What was counted, by name and labels.
    #[derive(Default)]
    struct Counts(Mutex<BTreeMap<String, Arc<Count>>>);

    #[derive(Default)]
    struct Count {
        sum: AtomicU64,
        additions: AtomicU64,
    }

    impl CounterFn for Count {
        fn increment(&self, value: u64) {
            self.sum.fetch_add(value, Relaxed);
            self.additions.fetch_add(1, Relaxed);
        }
        fn absolute(&self, _: u64) {
            unreachable!("a counter only grows");
        }
    }

    impl GaugeFn for Count {
        fn increment(&self, _: f64) {
            self.sum.fetch_add(1, Relaxed);
        }
        fn decrement(&self, _: f64) {
            self.sum.fetch_sub(1, Relaxed);
        }
        fn set(&self, _: f64) {
            unreachable!("the gauge goes up and down");
        }
    }

    impl Counts {
        fn of(&self, key: &Key) -> Arc<Count> {
            let labels: Vec<String> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            let name = format!("{} {}", key.name(), labels.join(" "));
            Arc::clone(self.0.lock().unwrap().entry(name.trim_end().to_owned()).or_default())
        }

        /// Every sum by name and labels, without the label `detached`: it differs with `TORNADOSE_DIRECT`.
        fn lines(&self) -> String {
            let mut sums: BTreeMap<String, u64> = BTreeMap::new();
            for (name, count) in &*self.0.lock().unwrap() {
                let name = name.split(" detached=").next().unwrap().to_owned();
                *sums.entry(name).or_default() += count.sum.load(Relaxed);
            }
            sums.iter().map(|(name, sum)| format!("{name}: {sum}")).collect::<Vec<_>>().join("\n")
        }

        fn additions(&self, name: &str) -> u64 {
            self.0.lock().unwrap()[name].additions.load(Relaxed)
        }

        fn sum(&self, name: &str) -> u64 {
            self.0.lock().unwrap()[name].sum.load(Relaxed)
        }
    }

    impl Recorder for Counts {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            Counter::from_arc(self.of(key))
        }
        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::from_arc(self.of(key))
        }
        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            unreachable!("there are no histograms")
        }
    }

    #[tornadose_test::test]
    async fn the_counters_say_what_the_clients_saw() {
        let counts = Counts::default();
        let _guard = metrics::set_default_local_recorder(&counts);
        let (store, app) = rooms();
        for text in ["1", "2", "3"] {
            store.submit(said(text)).await.unwrap();
        }
        let first = store.head();
        store.submit(topic("cats")).await.unwrap();
        let ada = app.client("ada").lenient().sse("/rooms/cellar").await;
        let bob = app.client("bob").lenient().last_event_id("of no log").ws("/rooms/cellar").await;
        let eve = app.client("eve").lenient().last_event_id(first).ws("/rooms/cellar").await;
        for text in ["secret", "5"] {
            store.submit(said(text)).await.unwrap();
            app.settle().await;
        }
        for _ in 0..6 {
            store.try_submit(said("fast")).unwrap();
            store.try_submit(topic("dogs")).unwrap();
        }
        app.settle().await;
        insta::assert_snapshot!(counts.lines(), @"
        tornadose_connections: 3
        tornadose_connections_opened_total transport=sse: 1
        tornadose_connections_opened_total transport=ws: 2
        tornadose_delivered_total: 26
        tornadose_filtered_total: 3
        tornadose_gaps_total reason=lagged: 3
        tornadose_gaps_total reason=restarted: 1
        tornadose_missed_total: 6
        tornadose_resumes_total outcome=known: 1
        tornadose_resumes_total outcome=restarted: 1
        tornadose_submitted_total: 18
        ");
        bob.send(&"a reason that a user wrote").await;
        ada.close().await;
        store.disconnect(&RoomKey { room: "cellar".into() });
        eve.closed().await;
        insta::assert_snapshot!(counts.lines(), @"
        tornadose_conflated_total: 15
        tornadose_connections: 0
        tornadose_connections_closed_total transport=sse reason=left: 1
        tornadose_connections_closed_total transport=ws reason=disconnected: 1
        tornadose_connections_closed_total transport=ws reason=refused: 1
        tornadose_connections_opened_total transport=sse: 1
        tornadose_connections_opened_total transport=ws: 2
        tornadose_delivered_total: 26
        tornadose_filtered_total: 3
        tornadose_gaps_total reason=lagged: 3
        tornadose_gaps_total reason=restarted: 1
        tornadose_missed_total: 6
        tornadose_resumes_total outcome=known: 1
        tornadose_resumes_total outcome=restarted: 1
        tornadose_submitted_total: 18
        ");
    }

    #[tornadose_test::test]
    async fn connections_are_counted_by_whether_they_are_detached() {
        let counts = Counts::default();
        let _guard = metrics::set_default_local_recorder(&counts);
        let store = tornadose::Store::new();
        let app = detaching(router(&store));
        let plain = tornadose_test::Harness::new(router(&store));
        let open = |detached: bool| counts.sum(&format!("tornadose_connections detached={detached}"));
        let _attached = plain.client("attached").lenient().sse("/rooms/cellar").await;
        let sse = app.client("sse").lenient().sse("/rooms/cellar").await;
        let ws = app.client("ws").lenient().ws("/rooms/cellar").await;
        assert_eq!((open(false), open(true)), (1, 2));
        sse.close().await;
        ws.close().await;
        assert_eq!((open(false), open(true)), (1, 0));
        store.disconnect(&RoomKey { room: "cellar".into() });
        app.settle().await;
        assert_eq!((open(false), open(true)), (0, 0));
        let closed = |labels: &str| counts.sum(&format!("tornadose_connections_closed_total {labels}"));
        assert_eq!(closed("transport=sse reason=disconnected detached=false"), 1);
        assert_eq!(closed("transport=sse reason=left detached=true"), 1);
        assert_eq!(closed("transport=ws reason=left detached=true"), 1);
    }

    #[tornadose_test::test]
    async fn a_run_is_one_addition_and_every_owed_message_is_in_one_counter() {
        let counts = Counts::default();
        let _guard = metrics::set_default_local_recorder(&counts);
        let store = tornadose::Store::new();
        let mut all = store.subscribe();
        for number in 0..10 {
            store.try_submit(said(&number.to_string())).unwrap();
            store.try_submit(topic(&number.to_string())).unwrap();
        }
        // A gap, then what is kept: four said and the last topic.
        for _ in 0..6 {
            all.next().await.unwrap();
        }
        drop(all);
        assert_eq!(counts.additions("tornadose_delivered_total"), 1);
        let named = |name: &str| counts.sum(&format!("tornadose_{name}_total"));
        assert_eq!(named("submitted"), named("delivered") + named("conflated") + named("missed"));
        assert_eq!((named("submitted"), named("delivered"), named("filtered")), (20, 5, 0));
    }

    #[tornadose_test::test]
    async fn what_a_backend_tells_that_is_no_message_is_counted() {
        let counts = Counts::default();
        let _guard = metrics::set_default_local_recorder(&counts);
        let _store = tornadose::Store::<Note>::open(Telling).await.unwrap();
        insta::assert_snapshot!(counts.lines(), @"tornadose_unreadable_total channel=note: 4");
    }
}
