//! What clients may not exceed, and from where they may come, over real requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use salvo::Service;
use salvo::conn::ConnCtrl;
use salvo::http::ReqBody;
use salvo::http::uri::Scheme;
use tornadose::prelude::*;
use tornadose_test::{Client, Ending, Harness, WsClient, assert_transcript};

use super::harness::harness;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[store(queue)]
#[derive(Serialize)]
struct Line(String);

/// Frames as a client writes them, with a mask of zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u16::try_from(payload.len()).unwrap() {
        length @ 0..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
        length => {
            frame.push(0xFE);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

const PING: u8 = 0x89;
const TEXT: u8 = 0x81;
const BEGIN: u8 = 0x01;
const MORE: u8 = 0x00;
const LAST: u8 = 0x80;

// --- max_connections

/// Asks for a second whether it may open, so that many ask at once.
#[subscriber(sse, ws, store = Line, authorize = Self::asked, max_connections = 5)]
struct Limited;

impl Limited {
    async fn asked(&self) -> Result<(), StatusError> {
        tokio::time::sleep(secs(1)).await;
        Ok(())
    }
}

/// Those that were let in, of so many that open at the same time, half of them over each transport.
async fn rush(app: &Harness, turn: &str, many: usize) -> (Vec<Client>, Vec<WsClient>) {
    let (mut pages, mut sockets) = (Vec::new(), Vec::new());
    for number in 0..many {
        if number % 2 == 0 {
            pages.push(app.client(format!("{turn}-page-{number}")).sse("/lines").await);
        } else {
            sockets.push(app.client(format!("{turn}-socket-{number}")).ws("/lines").await);
        }
    }
    app.advance(secs(1)).await;
    for page in &pages {
        assert_eq!(page.status(), 200, "any other would stop an `EventSource` for good");
    }
    assert!(sockets.iter().all(|socket| matches!(socket.status(), 101 | 503)));
    pages.retain(|page| !page.recording().to_string().contains("~ end"));
    sockets.retain(|socket| socket.status() == 101);
    (pages, sockets)
}

#[tornadose_test::test]
async fn a_rush_does_not_break_the_limit_and_who_leaves_makes_room() {
    let store = Store::new();
    let app = harness(Router::with_path("lines").get(Limited::handler(&store)));
    let (mut pages, mut sockets) = rush(&app, "first", 40).await;
    assert_eq!((pages.len() + sockets.len(), store.subscribers()), (5, 5));
    for turn in 0..3 {
        let (page, socket) = (pages.pop().unwrap(), sockets.pop().unwrap());
        page.close().await;
        // Without a close frame, as a killed browser.
        Client::close(&socket).await;
        assert_eq!(store.subscribers(), 3);
        let (more_pages, more_sockets) = rush(&app, &format!("turn-{turn}"), 10).await;
        assert_eq!((more_pages.len() + more_sockets.len(), store.subscribers()), (2, 5));
        pages.extend(more_pages);
        sockets.extend(more_sockets);
    }
}

#[tornadose_test::test]
async fn who_leaves_while_asked_takes_no_place() {
    let store = Store::new();
    let app = harness(Router::with_path("lines").get(Limited::handler(&store)));
    for number in 0..20 {
        let page = app.client(format!("gone-{number}")).lenient().sse("/lines").await;
        page.close().await;
    }
    let (pages, sockets) = rush(&app, "later", 10).await;
    assert_eq!((pages.len() + sockets.len(), store.subscribers()), (5, 5));
}

#[subscriber(sse, store = Line, max_connections = 5)]
struct Few;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_rush_over_many_threads_does_not_break_the_limit() {
    let store: Store<Line> = Store::new();
    let service = Service::new(Router::with_path("lines").get(Few::handler(&store)));
    for _ in 0..20 {
        let opens: Vec<_> = (0..100)
            .map(|_| {
                let address = SocketAddr::from(([127, 0, 0, 1], 80));
                let ctrl = ConnCtrl::new();
                let handler = service.hyper_handler(address.into(), address.into(), Scheme::HTTP, None, ctrl, None);
                let request = hyper::Request::get("/lines").body(ReqBody::None).unwrap();
                tokio::spawn(handler.handle(Request::from_hyper(request, Scheme::HTTP)))
            })
            .collect();
        let mut open = Vec::new();
        for answer in opens {
            open.push(answer.await.unwrap());
        }
        assert_eq!(store.subscribers(), 5);
        drop(open);
        assert_eq!(store.subscribers(), 0);
    }
}

// --- max_message

#[subscriber(ws, store = Line, receive = Self::received, max_message = "1KiB", keep_alive = "15s")]
struct Talker {
    #[depot]
    taken: Arc<AtomicUsize>,
}

impl Talker {
    async fn received(&mut self, text: String, _: &Store<Line>) -> Result<(), String> {
        if let Some(seconds) = text.strip_prefix("wait ") {
            tokio::time::sleep(secs(seconds.parse().unwrap())).await;
        }
        let number = self.taken.fetch_add(1, SeqCst);
        Err(format!("{number}: {} bytes", text.len()))
    }
}

#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

#[handler]
impl Count {
    async fn handle(&self, depot: &mut Depot) {
        depot.insert_typed(Arc::clone(&self.0));
    }
}

impl Count {
    fn get(&self) -> usize {
        self.0.load(SeqCst)
    }
}

fn talk() -> (Store<Line>, Count, Harness) {
    let (store, count) = (Store::new(), Count::default());
    let router = Router::with_path("talk").hoop(count.clone()).get(Talker::handler(&store));
    (store, count, harness(router))
}

/// A text in JSON that takes so many bytes.
fn json_of(bytes: usize) -> Vec<u8> {
    format!("\"{}\"", "ü".repeat((bytes - 2) / 2) + &"x".repeat(bytes % 2)).into_bytes()
}

#[tornadose_test::test]
async fn a_message_may_be_as_big_as_said_and_no_bigger() {
    let (store, count, app) = talk();
    let cut = |bytes: usize, at: usize| {
        let text = json_of(bytes);
        [frame(BEGIN, &text[..at]), frame(PING, b"between"), frame(LAST, &text[at..])].concat()
    };
    let crumbs = |bytes: usize| {
        let crumbs = json_of(bytes).into_iter().flat_map(|byte| frame(MORE, &[byte]));
        [frame(BEGIN, b""), crumbs.collect(), frame(LAST, b"")].concat()
    };
    for (name, bytes, fits) in [
        ("whole", frame(TEXT, &json_of(1024)), true),
        ("whole-and-one", frame(TEXT, &json_of(1025)), false),
        ("cut", cut(1024, 601), true),
        ("cut-and-one", cut(1025, 601), false),
        ("cut-at-the-end", cut(1024, 1024), true),
        ("cut-behind-the-end", cut(1025, 1024), false),
        ("crumbs", crumbs(1024), true),
        ("crumbs-and-one", crumbs(1025), false),
        // The limit is of each message, not of all.
        ("twice", [frame(TEXT, &json_of(1024)), cut(1024, 3)].concat(), true),
    ] {
        let before = count.get();
        let socket = app.client(name).lenient().ws("/talk").await;
        socket.send_raw(bytes).await;
        let told = socket.recording().to_string();
        if fits {
            assert!(count.get() > before && !told.contains("close"), "{told}");
            socket.close().await;
        } else {
            let too_big = Ending::Close { code: 1009, reason: "the message is too big".into() };
            assert_eq!((socket.closed().await, count.get()), (too_big, before), "{told}");
        }
        assert_eq!(store.subscribers(), 0, "{told}");
    }
}

#[tornadose_test::test]
async fn a_message_too_big_is_refused_by_its_header() {
    let (_, _, app) = talk();
    for (name, header) in [
        ("bigger", &[0x81, 0xFE, 0x04, 0x01][..]),
        ("huge", &[0x81, 0xFF, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
        ("largest", &[0x81, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
    ] {
        let socket = app.client(name).ws("/talk").await;
        socket.send_raw([header, &[0; 4]].concat()).await;
        assert!(matches!(socket.closed().await, Ending::Close { code: 1009, .. }), "{name}");
    }
}

// --- Pings that are not answered

#[tornadose_test::test]
async fn a_client_that_speaks_owes_no_pong() {
    let (store, count, app) = talk();
    let socket = app.client("mute").mute().lenient().ws("/talk").await;
    for _ in 0..10 {
        app.advance(secs(29)).await;
        socket.send_raw(frame(TEXT, br#""hi""#)).await;
    }
    assert_eq!((count.get(), store.subscribers()), (10, 1));
    app.advance(secs(30)).await;
    assert_eq!(store.subscribers(), 0);
}

#[tornadose_test::test]
async fn a_trickle_of_bytes_is_no_sign_of_life() {
    let (store, count, app) = talk();
    let socket = app.client("trickle").mute().lenient().ws("/talk").await;
    let text = frame(TEXT, &json_of(100));
    for byte in &text[..29] {
        app.advance(secs(1)).await;
        socket.send_raw([*byte]).await;
    }
    assert_eq!(store.subscribers(), 1);
    app.advance(secs(1)).await;
    assert_eq!((store.subscribers(), count.get()), (0, 0));
    assert_eq!(socket.closed().await, Ending::Abort);
}

// --- Floods

/// What waits in the server at most: a batch of replies that is being written, one behind it, and what was read ahead.
const WAITING: usize = 16 << 10;
const PIPE: usize = 2048;
const MANY: usize = 3000;

fn errors(socket: &Client) -> Vec<String> {
    let told = socket.recording().to_string();
    told.lines().filter_map(|line| Some(line.split_once("tornadose:error ")?.1.to_owned())).collect()
}

#[tornadose_test::test]
async fn a_flood_of_texts_waits_until_its_answers_are_read() {
    let (store, count, app) = talk();
    let socket = app.client("flood").buffer_size(PIPE).lenient().ws("/talk").await;
    socket.stall().await;
    socket.send_raw(frame(TEXT, br#""hi""#).repeat(MANY)).await;
    // Each was answered by some 60 bytes, which wait: then nothing more is taken.
    let taken = count.get();
    assert!(taken > 0 && taken * 60 <= PIPE + 2 * WAITING, "{taken} texts were taken");
    app.advance(secs(25)).await;
    assert_eq!((count.get(), store.subscribers()), (taken, 1));
    socket.resume().await;
    assert_eq!(count.get(), MANY);
    let expected: Vec<String> = (0..MANY).map(|number| format!(r#"{{"reason":"{number}: 2 bytes"}}"#)).collect();
    assert!(errors(&socket) == expected, "every text is answered once and in order");
    store.submit(Line("still here".into())).await.unwrap();
    app.settle().await;
    assert!(socket.recording().to_string().ends_with("\"still here\"\n"));
}

#[tornadose_test::test]
async fn a_flood_of_pings_waits_until_its_pongs_are_read() {
    let (store, count, app) = talk();
    let socket = app.client("flood").buffer_size(PIPE).lenient().ws("/talk").await;
    socket.stall().await;
    // A text behind every ten shows how many were taken.
    let ten = |turn: usize| (turn * 10..turn * 10 + 10).flat_map(|n| frame(PING, format!("ping {n:0100}").as_bytes()));
    let pings: Vec<u8> = (0..MANY / 10).flat_map(|turn| ten(turn).chain(frame(TEXT, br#""hi""#))).collect();
    socket.send_raw(pings).await;
    let taken = count.get();
    assert!(taken > 0 && taken * 10 * 107 <= PIPE + 2 * WAITING, "{taken} times ten pings were taken");
    app.advance(secs(25)).await;
    assert_eq!(store.subscribers(), 1);
    socket.resume().await;
    let wire = socket.recording().wire();
    let pongs: Vec<&str> = wire.lines().filter_map(|line| line.strip_prefix("flood < pong ")).collect();
    let expected: Vec<String> = (0..MANY).map(|number| format!("ping {number:0100}")).collect();
    assert_eq!(count.get(), MANY / 10);
    assert!(pongs == expected, "every ping is answered once and in order: {} of {MANY}", pongs.len());
}

#[tornadose_test::test]
async fn a_flood_that_is_never_read_ends_its_connection() {
    for (keep_alive, patience) in [(Some(secs(15)), 30), (Some(secs(5)), 10), (None, 30)] {
        for flood in [frame(TEXT, br#""hi""#), frame(PING, &[b'x'; 125])] {
            let (store, count) = (Store::new(), Count::default());
            let talker = Talker::handler(&store).keep_alive(keep_alive);
            let app = harness(Router::with_path("talk").hoop(count.clone()).get(talker));
            let socket = app.client("flood").buffer_size(PIPE).lenient().ws("/talk").await;
            socket.stall().await;
            socket.send_raw(flood.repeat(MANY)).await;
            let taken = count.get();
            app.advance(secs(patience - 1)).await;
            assert_eq!(store.subscribers(), 1, "{keep_alive:?}");
            app.advance(secs(1)).await;
            assert_eq!((store.subscribers(), count.get()), (0, taken), "{keep_alive:?}");
        }
    }
}

#[tornadose_test::test]
async fn a_flood_behind_a_slow_hook_is_answered_in_order() {
    let (store, count, app) = talk();
    let socket = app.client("flood").buffer_size(PIPE).lenient().ws("/talk").await;
    let flood =
        [frame(TEXT, br#""wait 5""#), frame(TEXT, br#""hi""#).repeat(MANY), frame(TEXT, br#""wait 5""#)].concat();
    socket.send_raw(flood).await;
    assert_eq!(count.get(), 0);
    app.advance(secs(5)).await;
    assert_eq!(count.get(), MANY + 1);
    // The line is watched while a hook runs, also when much is waiting.
    app.advance(secs(5)).await;
    assert_eq!((count.get(), store.subscribers()), (MANY + 2, 1));
    let numbers =
        errors(&socket).iter().filter_map(|error| error.split([':', '"']).nth(4)?.parse().ok()).collect::<Vec<usize>>();
    assert!(numbers == (0..MANY + 2).collect::<Vec<_>>(), "{numbers:?}");
}

#[tornadose_test::test]
async fn who_leaves_behind_a_flood_and_a_slow_hook_is_missed() {
    let (store, count, app) = talk();
    let socket = app.client("flood").buffer_size(PIPE).lenient().ws("/talk").await;
    // More than is read ahead, so that the end of the line stands behind what nobody reads.
    socket.send_raw([frame(TEXT, br#""wait 100000""#), frame(TEXT, br#""hi""#).repeat(MANY)].concat()).await;
    // It is there, and its pongs stand in the same place.
    app.advance(secs(300)).await;
    assert_eq!((store.subscribers(), count.get()), (1, 0));
    Client::close(&socket).await;
    app.advance(secs(15)).await;
    assert_eq!((store.subscribers(), count.get()), (0, 0));
}

#[tornadose_test::test]
async fn a_flood_holds_up_nobody_else() {
    let (store, _, app) = talk();
    let flood = app.client("flood").buffer_size(PIPE).lenient().ws("/talk").await;
    let other = app.client("other").ws("/talk").await;
    flood.stall().await;
    flood.send_raw(frame(PING, &[b'x'; 125]).repeat(MANY)).await;
    for number in 0..100 {
        store.submit(Line(number.to_string())).await.unwrap();
        assert_eq!(other.next_now::<String>().await, number.to_string());
    }
}

// --- The sizes of a request

#[subscriber(sse, ws, store = Line, authorize = Self::show)]
struct Wide {
    #[query("tag")]
    tags: Option<Vec<String>>,
    #[query]
    text: Option<String>,
    #[header]
    x_long: Option<String>,
}

impl Wide {
    async fn show(&self) -> Result<(), StatusError> {
        let tags = self.tags.as_ref().map_or(0, Vec::len);
        let long = self.text.iter().chain(&self.x_long).map(String::len).sum::<usize>();
        Err(StatusError::conflict().brief(format!("{tags} tags, {long} bytes")))
    }
}

#[tornadose_test::test]
async fn a_request_may_be_long() {
    let store = Store::new();
    let app = harness(Router::with_path("wide").get(Wide::handler(&store)));
    let tags = (0..1000).map(|tag| format!("tag={tag}")).collect::<Vec<_>>().join("&");
    let strangers = (0..1000).map(|name| format!("name{name}={name}")).collect::<Vec<_>>().join("&");
    let long = "x".repeat(60 << 10);
    for (name, query, header, told) in [
        ("tags", tags.as_str(), "", "1000 tags, 0 bytes"),
        ("strangers", &strangers, "", "0 tags, 0 bytes"),
        ("query", &format!("text={long}"), "", "0 tags, 61440 bytes"),
        ("header", "", long.as_str(), "0 tags, 61440 bytes"),
    ] {
        for ws in [false, true] {
            let client = app.client(name).header("x-long", header);
            let path = format!("/wide?{query}");
            let (status, text) = if ws {
                let socket = client.ws(path).await;
                (socket.status(), socket.text())
            } else {
                let page = client.sse(path).await;
                (page.status(), page.text())
            };
            assert_eq!(status, 409, "{name}: {text}");
            assert!(text.contains(told), "{name}: {text}");
        }
    }
}

#[tornadose_test::test]
async fn a_request_without_measure_is_refused_before_it_is_read() {
    let store = Store::new();
    let app = harness(Router::with_path("wide").get(Wide::handler(&store)));
    let mut many = app.client("many");
    for number in 0..200 {
        many = many.header(format!("x-{number}"), "x");
    }
    assert_eq!(many.get("/wide").await.status(), 431);
    let huge = app.client("huge").header("x-long", "x".repeat(1 << 20)).get("/wide").await;
    assert_eq!(huge.status(), 431);
    // The server is as well as before.
    assert_eq!(app.client("small").get("/wide").await.status(), 409);
}

#[subscriber(sse, ws, store = Line, replay = 10)]
struct Lines;

#[tornadose_test::test]
async fn a_keep_alive_comes_so_long_after_the_last_event() {
    let store = Store::new();
    let app = harness(Router::with_path("lines").get(Lines::handler(&store)));
    let page = app.client("page").sse("/lines").await;
    app.advance(secs(10)).await;
    store.submit(Line("hi".into())).await.unwrap();
    page.skip(1).await;
    app.advance(secs(20)).await;
    assert_transcript!(page, @r#"
    page > GET /lines
    page ~ open 200 text/event-stream
    after 10s
    page < message #1 "hi"
    after 15s
    page < : keep-alive
    "#);
}

#[tornadose_test::test]
async fn who_reads_on_after_a_silence_gets_its_keep_alive_with_what_it_left() {
    let store = Store::new();
    let app = harness(Router::with_path("lines").get(Lines::handler(&store)));
    let page = app.client("page").once().buffer_size(512).sse("/lines").await;
    let keep_alives = || page.recording().to_string().matches("page < : keep-alive").count();
    page.stall().await;
    store.submit(Line("x".repeat(20 << 10))).await.unwrap();
    app.advance(secs(20)).await;
    assert_eq!(keep_alives(), 0);
    page.resume().await;
    assert_eq!(page.next_now::<String>().await.len(), 20 << 10);
    app.settle().await;
    assert_eq!(keep_alives(), 1);
    // And one each 15 s from then on.
    app.advance(secs(45)).await;
    assert_eq!(keep_alives(), 4);
}

#[tornadose_test::test]
async fn a_position_that_is_none_is_a_gap_whatever_its_size() {
    let store = Store::new();
    let app = harness(Router::with_path("lines").get(Lines::handler(&store)));
    store.submit(Line("kept".into())).await.unwrap();
    let long = "9".repeat(10 << 10);
    let positions =
        [long.as_str(), &format!("abcdefgh-{long}"), "ü\u{1F600}", "-", "abcdefgh-", "-1", "%00%FF", "a b", "null"];
    for id in positions {
        let page = app.client("page").last_event_id(id).sse("/lines").await;
        let socket = app.client("socket").last_event_id(id).ws("/lines").await;
        for client in [&page, &*socket] {
            let gap = client.next_event().await;
            assert_eq!(
                (gap.name.as_str(), gap.data.as_str()),
                ("tornadose:gap", r#"{"reason":"restarted","missed":null}"#)
            );
            assert_eq!(client.next_now::<String>().await, "kept", "{id}");
        }
    }
    let id = store.head();
    let doubled = app.client("doubled").header("last-event-id", id.to_string()).header("last-event-id", id.to_string());
    let queries = [
        app.client("query").sse(format!("/lines?last_event_id=%FF%00{long}")).await,
        app.client("queries").sse(format!("/lines?last_event_id={id}&last_event_id={id}")).await,
        doubled.sse("/lines").await,
    ];
    for page in queries {
        assert_eq!(page.next_event().await.name, "tornadose:gap");
        assert_eq!(page.next_now::<String>().await, "kept");
    }
    // One that is empty is none.
    let empty =
        app.client("empty").header("last-event-id", "").sse(format!("/lines?last_event_id=&last_event_id={id}"));
    empty.await.quiet().await;
}

// --- Origins

struct Origin {
    host: &'static str,
    origins: &'static [&'static str],
    admitted: bool,
}

const fn row(host: &'static str, origins: &'static [&'static str], admitted: bool) -> Origin {
    Origin { host, origins, admitted }
}

const ORIGINS: [Origin; 34] = [
    row("app.example", &[], true),
    row("app.example", &["https://app.example"], true),
    row("app.example", &["https://app.example:443"], true),
    row("app.example:443", &["https://app.example"], true),
    row("app.example:8080", &["http://app.example:8080"], true),
    row("127.0.0.1:9000", &["http://127.0.0.1:9000"], true),
    row("[::1]:9000", &["http://[::1]:9000"], true),
    // The scheme is not compared: proxies end TLS.
    row("app.example", &["http://app.example"], true),
    row("app.example:8080", &["https://app.example:8080"], true),
    row("app.example", &["HTTPS://APP.EXAMPLE"], true),
    row("APP.EXAMPLE", &["https://app.example"], true),
    row("app.example", &["https://app.example:8443"], false),
    row("app.example:8443", &["https://app.example"], false),
    row("app.example:80", &["https://app.example"], false),
    row("localhost:9000", &["http://127.0.0.1:9000"], false),
    row("app.example", &["null"], false),
    row("app.example", &["NULL"], false),
    row("null", &["null"], false),
    row("app.example", &[""], false),
    row("app.example", &["https://evilapp.example"], false),
    row("app.example", &["https://app.example.evil.io"], false),
    row("app.example", &["https://sub.app.example"], false),
    row("app.example", &["https://example"], false),
    row("app.example", &["https://app.example."], false),
    row("app.example", &["https://app.example@evil.io"], false),
    row("app.example", &["https://evil.io@app.example"], false),
    row("app.example", &["https://evil.io/app.example"], false),
    row("app.example", &["https://evil.io?app.example"], false),
    row("app.example", &["https://app.example/"], false),
    row("app.example", &["https://аpp.example"], false), // a Cyrillic letter
    row("app.example", &["app.example"], false),
    row("app.example", &["https://app.example", "https://app.example"], false),
    row("app.example", &["https://evil.io", "https://app.example"], false),
    row("app.example", &["https://app.example, https://app.example"], false),
];

#[tornadose_test::test]
async fn an_origin_is_the_host_or_opens_no_websocket() {
    let store: Store<Line> = Store::new();
    let app = harness(Router::with_path("lines").get(Lines::handler(&store)));
    for Origin { host, origins, admitted } in ORIGINS {
        let client = || {
            let named = app.client("page").header("host", host);
            origins.iter().fold(named, |client, origin| client.header("origin", origin))
        };
        let socket = client().ws("/lines").await;
        assert_eq!(socket.status(), if admitted { 101 } else { 403 }, "{origins:?} at {host}: {}", socket.text());
        if let ([origin], false) = (origins, admitted) {
            assert!(socket.text().contains(&format!("`{origin}`")), "{}", socket.text());
        }
        let page = client().sse("/lines").await;
        assert_eq!(page.status(), 200, "a stream is never refused for its origin");
        assert!(!page.headers().contains_key("access-control-allow-origin"), "{origins:?} at {host}");
    }
}

#[tornadose_test::test]
async fn behind_a_proxy_the_host_is_kept_or_the_origin_is_named() {
    let store: Store<Line> = Store::new();
    let lines = Lines::handler(&store);
    let named = Lines::handler(&store).origins(["https://app.example"]);
    let router = Router::new().push(Router::with_path("lines").get(lines)).push(Router::with_path("named").get(named));
    let app = harness(router);
    for (host, path, status) in [
        ("app.example", "/lines", 101),
        ("backend:9000", "/lines", 403),
        ("backend:9000", "/named", 101),
        ("app.example", "/named", 101),
    ] {
        let client = app.client("page").header("host", host).origin("https://app.example");
        // Any client can write these headers: they open nothing.
        let client = client.header("x-forwarded-host", "app.example").header("forwarded", "host=app.example");
        let socket = client.ws(path).await;
        assert_eq!(socket.status(), status, "{path} at {host}");
        if status == 403 {
            let remedies = "the origin `https://app.example` is not the host `backend:9000`: open the page at that host, or \
                            name its origin, `origins = [\"https://app.example\"]`";
            assert!(socket.text().contains(remedies), "{}", socket.text());
        }
    }
    // A list stands in place of the host, for pages; programs send no origin.
    let own = app.client("own").header("host", "backend:9000").origin("http://backend:9000").ws("/named").await;
    assert_eq!(own.status(), 403);
    assert!(own.text().contains("is not among those this handler admits"), "{}", own.text());
    assert_eq!(app.client("program").ws("/named").await.status(), 101);
}

#[handler]
async fn cors_of_its_own(res: &mut Response) {
    res.headers_mut().insert("access-control-allow-origin", "https://partner.example".parse().unwrap());
    res.headers_mut().insert("vary", "accept-encoding".parse().unwrap());
}

#[tornadose_test::test]
async fn pages_that_are_named_read_with_credentials() {
    let store: Store<Line> = Store::new();
    let named = || Lines::handler(&store).origins(["https://app.example", "http://localhost:3000"]);
    let router = Router::new()
        .push(Router::with_path("named").get(named()))
        .push(Router::with_path("any").get(Lines::handler(&store).any_origin()))
        .push(Router::with_path("own").hoop(cors_of_its_own).get(named()));
    let app = harness(router);
    let exact = |origin| Some((origin, Some("true")));
    for (path, origin, allowed) in [
        ("/named", "https://app.example", exact("https://app.example")),
        ("/named", "http://localhost:3000", exact("http://localhost:3000")),
        ("/named", "http://app.example", None),
        ("/named", "https://app.example:8443", None),
        ("/named", "https://app.example.evil.io", None),
        ("/named", "https://evil.io", None),
        ("/named", "null", None),
        ("/named", "*", None),
        ("/any", "https://evil.io", Some(("*", None))),
        ("/any", "null", Some(("*", None))),
        ("/own", "https://app.example", Some(("https://partner.example", None))),
    ] {
        let page = app.client("page").origin(origin).cookie("session", 7).sse(path).await;
        assert_eq!(page.status(), 200);
        let headers = page.headers();
        let said = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
        let found =
            said("access-control-allow-origin").map(|allowed| (allowed, said("access-control-allow-credentials")));
        assert_eq!(found, allowed, "{origin} at {path}");
        if path == "/named" {
            // A cache must not give one page the answer to another.
            assert_eq!(said("vary"), Some("origin"));
        }
    }
    let nobody = app.client("nobody").sse("/named").await;
    assert_eq!(nobody.headers()["vary"], "origin");
    let twice = app
        .client("twice")
        .header("origin", "https://app.example")
        .header("origin", "https://app.example")
        .sse("/named");
    assert!(!twice.await.headers().contains_key("access-control-allow-origin"));
    // A refusal can be read by the page, too.
    let refused = app.client("refused").origin("https://app.example").without("accept").header("accept", "text/html");
    let refused = refused.sse("/named").await;
    assert_eq!(
        (refused.status(), refused.headers()["access-control-allow-origin"].as_bytes()),
        (406, &b"https://app.example"[..])
    );
}
