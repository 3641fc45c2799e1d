//! What hostile or unlucky clients, keys and messages once got away with: each test states what is promised instead.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use salvo::conn::Acceptor;
use tornadose::prelude::*;
use tornadose::subscriber::{KeyOf, Options, Transports};
use tornadose::{EncodeError, Event, Received, Retention, SubmitError};
use tornadose_test::{Ending, Harness, assert_transcript};

use super::harness::harness;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

// --- A forgotten key's messages go to the reader of another key

#[store(latest)]
#[derive(Serialize, Debug)]
#[serde(rename_all = "snake_case")]
enum Profile {
    Name {
        #[key]
        user: String,
        name: String,
    },
    Mail {
        #[key]
        user: String,
        mail: String,
    },
}

#[subscriber(sse, ws, store = Profile, authorize = public)]
struct Profiles {
    #[key]
    user: String,
}

fn fill(store: &Store<Profile>, user: &str) {
    store.try_submit(Profile::Name { user: user.into(), name: format!("{user}'s name") }).unwrap();
    store.try_submit(Profile::Mail { user: user.into(), mail: format!("{user}'s secret") }).unwrap();
}

#[tornadose_test::test]
async fn a_readers_key_is_its_own_after_another_was_forgotten() {
    let store = Store::new();
    let app = harness(Router::with_path("{user}").get(Profiles::handler(&store)));
    fill(&store, "ada");
    let ada = app.client("ada").sse("/ada").await;
    ada.skip(2).await;
    ada.close().await;
    store.forget(&ProfileKey { user: "ada".into() });
    fill(&store, "eve");
    let eve = app.client("eve").sse("/eve").await;
    let text = eve.next_event().await.data + &eve.next_event().await.data;
    assert!(!text.contains("ada"), "eve reads {text}");
}

// --- A message's Drop that calls the store

static DROPPING: OnceLock<Store<Loud>> = OnceLock::new();

struct Loud(u64);

impl Message for Loud {
    type Key = u8;
    const CHANNEL: &'static str = "loud";
    const CAPACITY: usize = 4;
    fn key(&self) -> u8 {
        0
    }
    fn retention(&self) -> Retention {
        Retention::Queue
    }
    fn event(&self) -> Result<Event, EncodeError> {
        Event::json(&self.0)
    }
}

impl Drop for Loud {
    fn drop(&mut self) {
        DROPPING.get().map(Store::subscribers);
    }
}

#[test]
fn a_messages_drop_may_call_the_store() {
    let (done, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let store = DROPPING.get_or_init(Store::new);
        let mut reader = store.subscribe();
        for number in 0..100 {
            store.try_submit(Loud(number)).unwrap();
            store.try_submit(Loud(number)).unwrap();
            while reader.next().now_or_never().flatten().is_some() {}
        }
        done.send(()).unwrap();
    });
    told.recv_timeout(secs(10)).expect("a deadlock");
}

// --- Memory: what is shared between readers outlives what is kept

static ALIVE: AtomicUsize = AtomicUsize::new(0);

struct Big(Vec<u8>);

impl Big {
    fn of(bytes: usize) -> Self {
        ALIVE.fetch_add(bytes, SeqCst);
        Self(vec![b'x'; bytes])
    }
}

impl Message for Big {
    type Key = u8;
    const CHANNEL: &'static str = "big";
    const MEMORY: usize = 4 << 20;
    fn key(&self) -> u8 {
        0
    }
    fn retention(&self) -> Retention {
        Retention::Queue
    }
    fn event(&self) -> Result<Event, EncodeError> {
        Ok(Event::text(String::from_utf8_lossy(&self.0)))
    }
}

impl Drop for Big {
    fn drop(&mut self) {
        ALIVE.fetch_sub(self.0.len(), SeqCst);
    }
}

#[test]
fn memory_bounds_what_is_alive() {
    let store = Store::new();
    let mut reader = store.subscribe();
    for _ in 0..100 {
        store.try_submit(Big::of(10)).unwrap();
        store.try_submit(Big::of(3 << 20)).unwrap();
        while reader.next().now_or_never().flatten().is_some() {}
    }
    let alive = ALIVE.load(SeqCst);
    assert!(alive <= 5 << 20, "{} MiB of messages are alive, and their bytes as often; memory is 4 MiB", alive >> 20);
}

// --- Closing

#[store(queue, capacity = 64)]
#[derive(Serialize)]
struct Line(String);

#[subscriber(sse, ws, store = Line, receive = Self::received)]
struct Lines;

impl Lines {
    async fn received(&mut self, seconds: u64, _: &Store<Line>) {
        tokio::time::sleep(secs(seconds)).await;
    }
}

fn lines() -> (Store<Line>, Harness) {
    let store = Store::new();
    let app = harness(Router::with_path("lines").get(Lines::handler(&store)));
    (store, app)
}

#[tornadose_test::test]
async fn a_stalled_stream_that_was_told_its_end_is_aborted_too() {
    let (store, app) = lines();
    let page = app.client("page").buffer_size(512).lenient().sse("/lines").await;
    page.stall().await;
    // More than the pipe takes, less than makes hyper stop reading the body.
    for _ in 0..5 {
        store.submit(Line("x".repeat(1000))).await.unwrap();
    }
    app.settle().await;
    let before = tokio::time::Instant::now();
    store.close();
    store.closed().await;
    app.server().stop_gracefully(secs(3600)).await;
    assert!(before.elapsed() <= secs(5), "the graceful stop took {:?}", before.elapsed());
}

#[tornadose_test::test]
async fn closed_waits_for_the_last_words_of_a_stream() {
    let (store, app) = lines();
    let page = app.client("page").buffer_size(512).lenient().sse("/lines").await;
    page.stall().await;
    for _ in 0..5 {
        store.submit(Line("x".repeat(1000))).await.unwrap();
    }
    app.settle().await;
    store.close();
    let early = tokio::time::timeout(secs(1), store.closed()).await;
    assert!(early.is_err(), "closed() says that the last connection is gone, but it has not read its messages");
}

#[tornadose_test::test]
async fn closed_waits_for_the_last_words_of_a_socket() {
    let (store, app) = lines();
    let page = app.client("page").buffer_size(64).lenient().ws("/lines").await;
    page.stall().await;
    for _ in 0..5 {
        store.submit(Line("x".repeat(1000))).await.unwrap();
    }
    // A hook runs, so it ends at once; its close frame stands behind what the socket has not taken.
    page.send_text("100").await;
    store.close();
    let early = tokio::time::timeout(secs(1), store.closed()).await;
    assert!(early.is_err(), "closed() says that the last connection is gone, but its close is under way");
}

#[tornadose_test::test]
async fn a_stalled_socket_is_aborted_when_its_server_is_gone_too() {
    let (store, app) = lines();
    let page = app.client("page").buffer_size(64).lenient().ws("/lines").await;
    page.stall().await;
    for _ in 0..5 {
        store.submit(Line("x".repeat(1000))).await.unwrap();
    }
    app.settle().await;
    // As `select! { server.serve(router), ctrl_c }` does: the server and its router are gone, the socket is not.
    app.server().stop().await;
    app.server().start(Router::new()).await;
    assert_eq!(store.subscribers(), 1);
    let before = tokio::time::Instant::now();
    store.close();
    store.closed().await;
    assert!(before.elapsed() <= secs(5), "closed() took {:?}", before.elapsed());
}

// --- Hooks

#[tornadose_test::test]
async fn a_client_is_pinged_while_its_hook_runs() {
    let (_store, app) = lines();
    let page = app.client("page").ws("/lines").await;
    page.send_text("100").await;
    app.advance(secs(90)).await;
    let text = page.recording().to_string();
    assert!(text.contains("ping"), "no ping in 90 s:\n{text}");
}

#[tornadose_test::test]
async fn a_client_that_vanished_is_ended_while_its_hook_runs() {
    let (store, app) = lines();
    let page = app.client("page").lenient().ws("/lines").await;
    page.send_text("100000").await;
    page.vanish().await;
    app.advance(secs(600)).await;
    assert_eq!(store.subscribers(), 0, "10 minutes later");
}

struct Panics;

impl Subscriber for Panics {
    type Message = Line;
    fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> {
        Ok(Self)
    }
    fn keys(&self) -> Keys<KeyOf<Self>> {
        panic!("keys")
    }
}

#[tornadose_test::test]
async fn a_panic_of_keys_is_answered() {
    let store = Store::new();
    let app = harness(Router::with_path("lines").get(StreamHandler::<Panics>::new(&store)));
    let page = app.client("page").lenient().sse("/lines").await;
    app.expect_panic("keys").await;
    assert_eq!(page.status(), 500);
}

struct LoudDrop;

impl Subscriber for LoudDrop {
    type Message = Line;
    fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> {
        Ok(Self)
    }
    fn keys(&self) -> Keys<KeyOf<Self>> {
        Keys::All
    }
}

impl Drop for LoudDrop {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "drop");
    }
}

#[tornadose_test::test]
async fn a_panic_of_drop_keeps_the_goodbye() {
    let store = Store::new();
    let app = harness(Router::with_path("lines").get(StreamHandler::<LoudDrop>::new(&store)));
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

// --- Options

struct ZeroAlive;

impl Subscriber for ZeroAlive {
    type Message = Line;
    const OPTIONS: Options = Options::new().keep_alive(Duration::ZERO);
    fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> {
        Ok(Self)
    }
    fn keys(&self) -> Keys<KeyOf<Self>> {
        Keys::All
    }
}

#[tornadose_test::test]
async fn a_keep_alive_of_zero_counts_as_a_millisecond() {
    let store = Store::new();
    let app = harness(Router::with_path("lines").get(StreamHandler::<ZeroAlive>::new(&store)));
    let _page = app.client("page").lenient().ws("/lines").await;
    assert_eq!(store.subscribers(), 1);
}

#[tornadose_test::test]
async fn a_keep_alive_without_end_is_never() {
    let store = Store::new();
    let handler = Lines::handler(&store).keep_alive(Duration::MAX).max_age(Duration::MAX).retry(Duration::MAX);
    let app = harness(Router::with_path("lines").get(handler));
    app.client("page").lenient().sse("/lines").await;
    app.client("socket").lenient().ws("/lines").await;
    assert_eq!(store.subscribers(), 2);
}

#[store(queue, memory = "1KiB")]
#[derive(Serialize)]
struct Small(String);

#[test]
fn a_message_that_can_never_fit_is_too_large_not_full() {
    let store = Store::new();
    for length in 0..1024 {
        let answer = store.try_submit(Small("x".repeat(length)));
        assert!(!matches!(answer, Err(SubmitError::Full { .. })), "{length} bytes, an empty store: full");
    }
}

// --- A socket that was full takes more

#[tornadose_test::test]
async fn a_message_comes_at_once_to_a_client_that_reads_again() {
    let store = Store::new();
    let app = harness(Router::with_path("lines").get(Steady::handler(&store)));
    let stream = app.client("stream").buffer_size(64).sse("/lines").await;
    let socket = app.client("socket").buffer_size(64).ws("/lines").await;
    for turn in 0..3 {
        stream.stall().await;
        socket.stall().await;
        store.submit(Line("x".repeat(1000))).await.unwrap();
        app.settle().await;
        if turn == 2 {
            store.submit(Line("while it was full".into())).await.unwrap();
            app.settle().await;
        }
        stream.resume().await;
        socket.resume().await;
        for client in [&stream, &*socket] {
            client.skip(if turn == 2 { 2 } else { 1 }).await;
        }
        store.submit(Line("at once".into())).await.unwrap();
        for client in [&stream, &*socket] {
            assert_eq!(client.next_now::<String>().await, "at once");
        }
    }
}

// --- Stress

#[store(queue, capacity = 32)]
#[derive(Serialize)]
struct Beat {
    #[key]
    key: u32,
    number: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_reader_sees_each_message_or_is_told() {
    let store: Store<Beat> = Store::new();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut readers = Vec::new();
    let mut all = Vec::new();
    // Two read all, from the first message to the last: what they saw and what they missed is all there was.
    for pause in [0, 300] {
        let mut lines = store.subscribe();
        all.push(tokio::spawn(async move {
            let (mut seen, mut missed_all, mut last) = (0, 0, 0);
            while let Some(received) = lines.next().await {
                match received {
                    Received::Message { id, .. } => {
                        let place: u64 = id.to_string().split_once('-').unwrap().1.parse().unwrap();
                        assert!(place > last, "backwards");
                        last = place;
                        seen += 1;
                    }
                    Received::Gap { missed, .. } => missed_all += missed.unwrap(),
                    other => panic!("{other:?}"),
                }
                if pause > 0 && seen % 50 == 0 {
                    tokio::time::sleep(Duration::from_micros(pause)).await;
                }
            }
            (seen, missed_all)
        }));
    }
    for reader in 0..6u32 {
        let (store, stop) = (store.clone(), stop.clone());
        readers.push(tokio::spawn(async move {
            let (mut seen, mut missed_all, mut rounds) = (0u64, 0u64, 0);
            while !stop.load(SeqCst) {
                let key = Some(reader % 4);
                let mut lines = match key {
                    Some(key) => store.subscribe_to(BeatKey { key }),
                    None => store.subscribe(),
                };
                rounds += 1;
                // All: by offset. One: by number.
                let (mut due, mut gap) = (None::<u64>, 0);
                for turn in 0..5000 {
                    let Ok(Some(received)) = tokio::time::timeout(secs(5), lines.next()).await else {
                        assert!(stop.load(SeqCst), "a reader waits for ever");
                        break;
                    };
                    match received {
                        Received::Message { id, message } => {
                            seen += 1;
                            let place = match key {
                                Some(key) => {
                                    assert_eq!(key, message.key);
                                    message.number
                                }
                                None => id.to_string().split_once('-').unwrap().1.parse().unwrap(),
                            };
                            if let Some(due) = due {
                                assert_eq!(place, due + gap, "a hole or a double");
                            }
                            (due, gap) = (Some(place + 1), 0);
                        }
                        Received::Gap { missed, .. } => {
                            missed_all += missed.unwrap();
                            gap += missed.unwrap();
                        }
                        other => panic!("{other:?}"),
                    }
                    if turn % 700 == 699 {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
            }
            (rounds, seen, missed_all)
        }));
    }
    let mut writers = Vec::new();
    for key in 0..4u32 {
        let (store, stop) = (store.clone(), stop.clone());
        writers.push(tokio::task::spawn_blocking(move || {
            let mut number = 0;
            while !stop.load(SeqCst) {
                number += 1;
                store.try_submit(Beat { key, number }).unwrap();
                if number % 64 == 0 {
                    std::thread::sleep(Duration::from_micros(50));
                }
            }
            number
        }));
    }
    tokio::time::sleep(secs(2)).await;
    stop.store(true, SeqCst);
    let mut wrote = 0;
    for writer in writers {
        wrote += writer.await.unwrap();
    }
    store.close();
    for reader in all {
        let (seen, missed) = reader.await.unwrap();
        assert_eq!(seen + missed, wrote);
    }
    for reader in readers {
        reader.await.unwrap();
    }
    assert_eq!(store.subscribers(), 0);
}

// --- Closing right at the open

#[subscriber(sse, ws, store = Line, authorize = Self::allowed, replay = 100, max_connections = 3)]
struct Slow;

impl Slow {
    async fn allowed(&self) -> Result<(), StatusError> {
        tokio::time::sleep(secs(3)).await;
        Ok(())
    }
}

#[tornadose_test::test]
async fn a_store_that_closes_while_a_hook_runs_lets_nobody_in() {
    let store = Store::new();
    let app = harness(Router::with_path("lines").get(Slow::handler(&store)));
    let closing = store.clone();
    tokio::spawn(async move {
        tokio::time::sleep(secs(1)).await;
        closing.close();
    });
    app.client("sse").lenient().sse("/lines").await;
    app.client("ws").lenient().ws("/lines").await;
    store.closed().await;
    app.advance(secs(10)).await;
    assert_eq!(store.subscribers(), 0);
    app.server().stop_gracefully(secs(10)).await;
}

#[tornadose_test::test]
async fn clients_that_leave_during_a_hook_leave_nothing() {
    let store = Store::new();
    let app = harness(Router::with_path("lines").get(Slow::handler(&store)));
    for turn in 0..20 {
        let page = tokio::time::timeout(secs(1), app.client(format!("a{turn}")).lenient().sse("/lines")).await;
        drop(page);
        let page = tokio::time::timeout(secs(1), app.client(format!("b{turn}")).lenient().ws("/lines")).await;
        drop(page);
    }
    app.advance(secs(100)).await;
}

// --- Lines are counted for what they take

struct Lf(usize);

impl Message for Lf {
    type Key = u8;
    const CHANNEL: &'static str = "lf";
    const MEMORY: usize = 1 << 20;
    fn key(&self) -> u8 {
        0
    }
    fn retention(&self) -> Retention {
        Retention::Queue
    }
    fn event(&self) -> Result<Event, EncodeError> {
        Ok(Event::text("\n".repeat(self.0)))
    }
}

struct Lfs;

impl Subscriber for Lfs {
    type Message = Lf;
    const OPTIONS: Options = Options::new().transports(Transports::Sse).replay(usize::MAX);
    fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> {
        Ok(Self)
    }
    fn keys(&self) -> Keys<KeyOf<Self>> {
        Keys::All
    }
}

#[tornadose_test::test]
async fn memory_counts_encoded_bytes() {
    let store = Store::new();
    let app = harness(Router::with_path("lines").get(StreamHandler::<Lfs>::new(&store)));
    for _ in 0..200 {
        store.submit(Lf(10_000)).await.unwrap();
    }
    let page = app.client("page").buffer_size(1 << 20).lenient().sse("/lines").await;
    let events = page.recording().to_string().lines().filter(|line| line.contains("message")).count();
    let bytes = events * 10_000 * 7;
    assert!(bytes <= 1 << 20, "{events} events, {bytes} encoded bytes are kept; memory is {}", 1 << 20);
}

// --- The last messages of a store, while a hook runs

#[tornadose_test::test]
async fn the_last_messages_are_not_lost_to_a_hook() {
    let (store, app) = lines();
    let page = app.client("page").ws("/lines").await;
    page.send_text("100").await;
    store.submit(Line("last".into())).await.unwrap();
    store.close();
    app.settle().await;
    assert_eq!(page.next_event().await.data, "\"last\"");
    assert_eq!(page.closed().await, Ending::Close { code: 1001, reason: String::new() });
}

// --- Two runtimes

struct Shared(std::sync::Arc<StreamHandler<Lines>>);

#[salvo::async_trait]
impl salvo::Handler for Shared {
    async fn handle(&self, req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
        self.0.handle(req, depot, res, ctrl).await;
    }
}

#[test]
fn a_handler_outlives_its_first_runtime() {
    let store = Store::new();
    let service = Shared(std::sync::Arc::new(Lines::handler(&store)));
    let first = Router::with_path("lines").get(Shared(service.0.clone()));
    let service = Router::with_path("lines").get(service);
    tornadose_test::run(async move {
        let app = harness(first);
        app.client("page").lenient().sse("/lines").await.close().await;
    });
    tornadose_test::run(async move {
        let app = harness(service);
        let page = app.client("page").buffer_size(64).lenient().ws("/lines").await;
        page.stall().await;
        for _ in 0..5 {
            store.submit(Line("x".repeat(1000))).await.unwrap();
        }
        app.settle().await;
        let before = tokio::time::Instant::now();
        store.close();
        store.closed().await;
        assert!(before.elapsed() <= secs(5), "closed() took {:?}", before.elapsed());
    });
}

// --- A big message to a client that reads steadily, at 1 MB/s: real sockets

#[subscriber(sse, ws, store = Line, keep_alive = "1s", replay = 100)]
struct Steady;

const BIG: usize = 4 << 20;

async fn read_steadily(upgrade: &str) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let store = Store::new();
    store.try_submit(Line("x".repeat(BIG))).unwrap();
    let acceptor = tornadose::listen("127.0.0.1:0").await.unwrap();
    let addr = acceptor.holdings()[0].local_addr.clone().into_std().unwrap();
    let router = Router::with_path("lines").get(Steady::handler(&store));
    let server = tokio::spawn(Server::new(acceptor).serve(router));
    let ticks = tokio::spawn(async move {
        // What makes a reader of SSE owed something.
        while store.submit(Line("tick".into())).await.is_ok() {
            tokio::time::sleep(secs(1)).await;
        }
    });
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(65_536).unwrap();
    let mut page = socket.connect(addr).await.unwrap();
    page.write_all(format!("GET /lines HTTP/1.1\r\nhost: x\r\n{upgrade}\r\n").as_bytes()).await.unwrap();
    let (mut taken, mut chunk) = (0, vec![0; 100_000]);
    while taken < BIG {
        let read = page.read(&mut chunk).await.unwrap_or(0);
        assert_ne!(read, 0, "cut after {taken} bytes, though it took some all the time; a resume ends there again");
        taken += read;
        tokio::time::sleep(Duration::from_micros(read as u64)).await;
    }
    ticks.abort();
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_steady_reader_of_a_big_event_is_not_cut() {
    read_steadily("").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_steady_socket_with_a_big_event_is_not_cut() {
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
        sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    read_steadily(upgrade).await;
}
