//! When a stream is detached, and when it stays attached to its server. What clients see of a detached stream, the suites in
//! `detached.rs` show.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::future::{pending, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http_body::{Body, Frame};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use salvo::conn::rustls::{Keycert, RustlsConfig};
use salvo::conn::tcp::TcpCoupler;
use salvo::conn::{Accepted, Acceptor, ConnCtrl, Holding, Listener};
use salvo::fuse::ArcFusePolicy;
use salvo::http::uri::Scheme;
use salvo::http::{ReqBody, ResBody};
use salvo::{BoxedError, Handler, Service, async_trait};
use salvo_compression::{Compression, CompressionLevel};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufWriter, DuplexStream, ReadBuf, duplex};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tornadose::Handover;
use tornadose::prelude::*;
use tornadose_test::{Ending, Harness, InMemoryAcceptor, assert_transcript};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 80);

#[store(queue)]
#[derive(Serialize)]
struct Line {
    #[key]
    room: u32,
    text: String,
}

#[subscriber(sse, store = Line, authorize = public)]
struct Room {
    #[key]
    room: u32,
}

fn line(room: u32, text: &str) -> Line {
    Line { room, text: text.into() }
}

fn rooms(store: &Store<Line>) -> Router {
    Router::with_path("{room}").get(Room::handler(store))
}

/// A harness on a server that carries one connection at a time, so that a second request is served only when the first stream has detached.
fn one_at_a_time(service: impl Into<Service>) -> Harness {
    let handover = Handover::new();
    let service = handover.service(service);
    Harness::with_server(service, move |pipes| Server::new(handover.acceptor(pipes)).max_connections(1))
}

/// Passes on what another body brings, and counts it.
struct Wrapped(ResBody, Arc<AtomicUsize>);

impl Body for Wrapped {
    type Data = Bytes;
    type Error = BoxedError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxedError>>> {
        let frame = Pin::new(&mut self.0).poll_frame(cx);
        if frame.is_ready() {
            self.1.fetch_add(1, SeqCst);
        }
        frame.map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }
}

/// A middleware that puts every body into another.
#[derive(Clone, Default)]
struct Wraps(Arc<AtomicUsize>);

#[handler]
impl Wraps {
    async fn handle(&self, req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
        ctrl.call_next(req, depot, res).await;
        let body = Wrapped(res.take_body(), Arc::clone(&self.0));
        res.body(ResBody::Boxed(Box::pin(body)));
    }
}

/// A middleware that says how long every body is.
#[handler]
async fn says_a_length(req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
    ctrl.call_next(req, depot, res).await;
    res.headers_mut().insert("content-length", "100000".parse().unwrap());
}

/// A middleware that has its own answer to everything.
#[handler]
async fn answers_itself(req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
    ctrl.call_next(req, depot, res).await;
    res.body("mine");
}

/// A harness on a server without limits, whose acceptor is made of the harness's.
fn detaching<A>(
    service: impl Into<Service>,
    acceptor: impl Fn(InMemoryAcceptor) -> A + Send + Sync + 'static,
) -> Harness
where
    A: Acceptor + Send + 'static,
    A::Stream: AsyncRead + AsyncWrite,
{
    let handover = Handover::new();
    let service = handover.service(service);
    Harness::with_server(service, move |pipes| Server::new(handover.acceptor(acceptor(pipes))))
}

async fn ask(app: &Harness, request: &str) -> DuplexStream {
    let mut pipe = app.connect();
    pipe.write_all(request.as_bytes()).await.unwrap();
    pipe
}

/// Reads until this has come; what was read.
async fn read_until(pipe: &mut DuplexStream, text: &str) -> String {
    let mut read = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&read).contains(text) {
            assert!(pipe.read_buf(&mut read).await.unwrap() > 0, "it ended");
        }
    };
    let came = timeout(secs(60), reading).await.is_ok();
    let read = String::from_utf8(read).unwrap();
    assert!(came, "{text} does not come: {read}");
    read
}

const GET: &str = "GET /1 HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Opens a stream, sees that it flows, and whether its server lets it go.
async fn check(app: &Harness, store: &Store<Line>, request: &str, goes: bool) {
    let mut page = ask(app, request).await;
    app.settle().await;
    let mut behind = ask(app, "GET /nowhere/at/all HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let answered = timeout(secs(1), behind.read_u8()).await.is_ok();
    drop(behind);
    assert_eq!(store.subscribers(), 1);
    store.submit(line(1, "hi")).await.unwrap();
    let head = read_until(&mut page, "\"hi\"").await;
    assert_eq!(answered, goes, "{head}");
    assert_eq!(head.contains("\r\nconnection: close\r\n"), goes, "{head}");
    // From now on it is quiet, and alive.
    for _ in 0..3 {
        read_until(&mut page, ": keep-alive\n").await;
    }
    store.submit(line(1, "there")).await.unwrap();
    read_until(&mut page, "\"there\"").await;
    drop(page);
    app.settle().await;
    // Who has sent more than its request is missed at the next write.
    store.submit(line(1, "to nobody")).await.unwrap();
    app.settle().await;
    assert_eq!(store.subscribers(), 0);
}

async fn check_service(service: impl Fn(Router) -> Service, request: &str, goes: bool) {
    let store = Store::new();
    let app = one_at_a_time(service(rooms(&store)));
    check(&app, &store, request, goes).await;
}

#[tornadose_test::test]
async fn a_stream_is_let_go_once_its_head_is_out() {
    check_service(Service::new, GET, true).await;
}

#[tornadose_test::test]
async fn it_is_let_go_when_its_line_has_carried_another_request_before() {
    let first = "GET /nowhere/at/all HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let store = Store::new();
    let app = one_at_a_time(rooms(&store));
    let mut page = ask(&app, first).await;
    read_until(&mut page, "404").await;
    page.write_all(GET.as_bytes()).await.unwrap();
    app.settle().await;
    assert_eq!(app.get("/nowhere/at/all").await.status(), 404);
    store.submit(line(1, "hi")).await.unwrap();
    read_until(&mut page, "\"hi\"").await;
}

#[tornadose_test::test]
async fn middleware_that_leaves_the_body_alone_keeps_nothing() {
    let compression = || Compression::new().enable_gzip(CompressionLevel::Minsize).min_length(0).force_priority(true);
    let hoops = |router: Router| Service::new(router.hoop(compression())).hoop(compression());
    check_service(hoops, "GET /1 HTTP/1.1\r\nhost: localhost\r\naccept-encoding: gzip\r\n\r\n", true).await;
}

#[tornadose_test::test]
async fn a_stream_whose_body_was_wrapped_stays_with_its_server() {
    for of_service in [true, false] {
        let wraps = Wraps::default();
        let service = |router: Router| {
            if of_service { Service::new(router).hoop(wraps.clone()) } else { Service::new(router.hoop(wraps.clone())) }
        };
        check_service(service, GET, false).await;
        assert!(wraps.0.load(SeqCst) >= 5, "the wrapper saw {} pieces", wraps.0.load(SeqCst));
    }
}

#[tornadose_test::test]
async fn what_cannot_go_on_by_itself_stays_with_its_server() {
    for request in [
        // No chunks.
        "GET /1 HTTP/1.0\r\nhost: localhost\r\n\r\n",
        // Something is to be read yet.
        "GET /1 HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\nhalf",
        "GET /1 HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n",
    ] {
        check_service(Service::new, request, false).await;
    }
}

#[tornadose_test::test]
async fn a_stream_stays_with_its_server_unless_acceptor_and_service_are_wrapped() {
    for (wrap_acceptor, wrap_service) in [(false, false), (true, false), (false, true)] {
        let store = Store::new();
        let handover = Handover::new();
        let service = if wrap_service { handover.service(rooms(&store)) } else { Service::new(rooms(&store)) };
        let app = if wrap_acceptor {
            Harness::with_server(service, move |pipes| Server::new(handover.acceptor(pipes)).max_connections(1))
        } else {
            Harness::with_server(service, |pipes| Server::new(pipes).max_connections(1))
        };
        check(&app, &store, GET, false).await;
    }
}

#[tornadose_test::test]
async fn a_stream_of_a_length_that_somebody_else_has_said_stays_with_its_server() {
    let store = Store::new();
    let app = one_at_a_time(rooms(&store).hoop(says_a_length));
    let mut page = ask(&app, GET).await;
    app.settle().await;
    store.submit(line(1, "hi")).await.unwrap();
    let read = read_until(&mut page, "\"hi\"").await;
    assert!(read.contains("content-length: 100000\r\n") && !read.contains("chunked"), "{read}");
    read_until(&mut page, ": keep-alive\n").await;
}

#[tornadose_test::test]
async fn an_answer_that_replaces_the_stream_ends_it() {
    let store = Store::new();
    let app = one_at_a_time(rooms(&store).hoop(answers_itself));
    let answer = app.get("/1").await;
    assert_eq!(answer.text(), "mine");
    assert_eq!(store.subscribers(), 0);
}

#[tornadose_test::test]
async fn a_stream_detaches_once_its_client_has_taken_the_head_in_pieces() {
    let store = Store::new();
    let app = one_at_a_time(rooms(&store));
    // So wide, for the answer's head and first chunk.
    for width in [1, 16, 100, 199, 1 << 10] {
        let page = app.client(format!("page{width}")).once().buffer_size(width).sse("/1").await;
        for number in 0..20 {
            store.submit(line(1, &format!("{number}"))).await.unwrap();
        }
        for number in 0..20 {
            let text = page.next_event().await.data;
            assert_eq!(text, format!(r#"{{"room":1,"text":"{number}"}}"#), "{width}");
        }
        assert_eq!(app.get("/nowhere/at/all").await.status(), 404, "the stream is detached");
        page.close().await;
        assert_eq!(store.subscribers(), 0);
    }
}

/// Some go on by themselves and some do not, all opened at one time: each is written to its own client.
#[tornadose_test::test]
async fn no_stream_comes_by_the_socket_of_another() {
    let store = Store::new();
    let service = Service::new(
        Router::new()
            .push(Router::with_path("wrapped").hoop(Wraps::default()).push(rooms(&store)))
            .push(Router::with_path("plain").push(rooms(&store))),
    );
    let app = detaching(service, |pipes| pipes);
    let mut pages = Vec::new();
    for room in 0..200 {
        let path = if room % 3 == 0 { "wrapped" } else { "plain" };
        let version = if room % 7 == 0 { "1.0" } else { "1.1" };
        let request = format!("GET /{path}/{room} HTTP/{version}\r\nhost: localhost\r\n\r\n");
        let mut pipe = app.connect();
        // Its request comes in two parts, and the second parts all at once.
        pipe.write_all(&request.as_bytes()[..20]).await.unwrap();
        pages.push((pipe, request));
    }
    app.settle().await;
    for (pipe, request) in &mut pages {
        pipe.write_all(&request.as_bytes()[20..]).await.unwrap();
    }
    app.settle().await;
    assert_eq!(store.subscribers(), 200);
    for room in 0..200 {
        store.submit(line(room, "yours")).await.unwrap();
    }
    store.close();
    for (room, (mut pipe, _)) in (0..).zip(pages) {
        let mut all = String::new();
        timeout(secs(60), pipe.read_to_string(&mut all)).await.unwrap().unwrap();
        assert_eq!(all.matches("HTTP/1.").count(), 1, "{all}");
        assert_eq!(all.matches("\"yours\"").count(), 1, "{all}");
        assert!(all.contains(&format!("data: {{\"room\":{room},\"text\":\"yours\"}}\n\n")), "{room}: {all}");
        assert_eq!(all.matches("retry: ").count(), 2, "{all}");
    }
    assert_eq!(store.subscribers(), 0);
}

#[tornadose_test::test]
async fn a_client_sees_one_response_to_its_end() {
    let store = Store::new();
    let app = one_at_a_time(rooms(&store));
    let page = app.client("page").once().sse("/1").await;
    store.submit(line(1, "hi")).await.unwrap();
    app.advance(secs(15)).await;
    store.close();
    app.settle().await;
    assert_transcript!(page, wire, @r#"
    page > GET /1
    page ~ open 200 text/event-stream
    page ~ content-type: text/event-stream; charset=utf-8
    page ~ cache-control: no-cache, no-transform
    page ~ x-accel-buffering: no
    page ~ connection: close
    page ~ transfer-encoding: chunked
    page < retry: 3000\n: tornadose\n\n
    page < id: #1\n\n
    page < id: #2\ndata: {"room":1,"text":"hi"}\n\n
    after 15s
    page < : keep-alive\n\n
    page < retry: 6708\n\n
    page ~ end
    "#);
}

#[tornadose_test::test]
async fn a_server_that_stops_does_not_wait_for_it_and_a_closed_store_does() {
    let store = Store::new();
    let app = one_at_a_time(rooms(&store));
    let page = app.client("page").once().sse("/1").await;
    app.server().stop_gracefully(secs(5)).await;
    store.submit(line(1, "hi")).await.unwrap();
    page.skip(1).await;
    assert_eq!(store.subscribers(), 1);
    store.close();
    timeout(secs(1), store.closed()).await.unwrap();
    assert_eq!(page.closed().await, Ending::End);
}

#[tornadose_test::test]
async fn a_client_that_talks_on_is_not_heard_for_long() {
    let store = Store::new();
    let app = one_at_a_time(rooms(&store));
    let mut loud = ask(&app, GET).await;
    let page = app.client("page").once().sse("/1").await;
    let mut talked = 0;
    while let Ok(more) = timeout(secs(1), loud.write(&[b'x'; 1000])).await {
        talked += more.unwrap();
    }
    // What the pipe holds, and what was read of it.
    assert!((64 << 10..100 << 10).contains(&talked), "{talked} bytes");
    for number in 0..50 {
        store.submit(line(1, &format!("<{number}>"))).await.unwrap();
        read_until(&mut loud, &format!("<{number}>")).await;
    }
    page.skip(50).await;
    drop(loud);
    app.settle().await;
    assert_eq!(store.subscribers(), 2);
    // That it has left shows in the writing.
    store.submit(line(1, "to one")).await.unwrap();
    page.skip(1).await;
    assert_eq!(store.subscribers(), 1);
}

/// Takes connections into a buffer, which is written on only when it is told to.
struct Buffered<A>(A);

impl<A> Acceptor for Buffered<A>
where
    A: Acceptor,
    A::Stream: AsyncRead + AsyncWrite,
{
    type Coupler = TcpCoupler<Self::Stream>;
    type Stream = BufWriter<A::Stream>;

    fn holdings(&self) -> &[Holding] {
        self.0.holdings()
    }

    async fn accept(&mut self, fuse: Option<ArcFusePolicy>) -> io::Result<Accepted<Self::Coupler, Self::Stream>> {
        Ok(self.0.accept(fuse).await?.map_into(|_| TcpCoupler::new(), BufWriter::new))
    }
}

#[tornadose_test::test]
async fn what_a_socket_has_in_a_buffer_of_its_own_is_not_forgotten() {
    let store = Store::new();
    let silent = Router::with_path("{room}").get(Room::handler(&store).keep_alive(None));
    let app = detaching(silent, Buffered);
    let mut page = ask(&app, GET).await;
    let opening = read_until(&mut page, "-0\n\n").await;
    let id = opening.rsplit("id: ").next().unwrap().lines().next().unwrap();
    // There is nothing to write to it but the head.
    let request = format!("GET /1 HTTP/1.1\r\nhost: localhost\r\nlast-event-id: {id}\r\n\r\n");
    let mut back = ask(&app, &request).await;
    read_until(&mut back, ": tornadose\n\n").await;
    store.submit(line(1, "hi")).await.unwrap();
    store.close();
    for pipe in [&mut page, &mut back] {
        assert!(read_until(pipe, "0\r\n\r\n").await.contains("\"hi\""));
    }
}

/// Answers with the body of a service within, and not with its head.
struct PassesOn(Service);

#[async_trait]
impl Handler for PassesOn {
    async fn handle(&self, _: &mut Request, _: &mut Depot, res: &mut Response, _: &mut FlowCtrl) {
        let within = self.0.hyper_handler(HERE.into(), HERE.into(), Scheme::HTTP, None, ConnCtrl::new(), None);
        let request = hyper::Request::get("/1").body(ReqBody::None).unwrap();
        let mut answer = within.handle(Request::from_hyper(request, Scheme::HTTP)).await;
        res.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
        res.body(answer.take_body());
    }
}

#[tornadose_test::test]
async fn a_stream_whose_head_does_not_say_that_its_line_closes_stays_with_its_server() {
    let store = Store::new();
    let handover = Handover::new();
    let passes_on = Router::new().get(PassesOn(handover.service(rooms(&store))));
    let server = move |pipes| Server::new(handover.acceptor(pipes)).max_connections(1);
    let app = Harness::with_server(passes_on, server);
    let mut page = ask(&app, "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let mut behind = ask(&app, "GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(timeout(secs(1), behind.read_u8()).await.is_err());
    store.submit(line(1, "hi")).await.unwrap();
    read_until(&mut page, "\"hi\"").await;
}

type Happens = Box<dyn FnOnce() + Send>;

/// A pipe on which something happens while it is written to for the first time.
struct Eventful(DuplexStream, Arc<Mutex<Option<Happens>>>);

impl AsyncRead for Eventful {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Eventful {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.0).poll_write(cx, buf);
        if let Some(happens) = self.1.lock().unwrap().take() {
            happens();
        }
        written
    }
    fn is_write_vectored(&self) -> bool {
        true
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Takes one pipe.
struct One(Option<Eventful>);

impl Acceptor for One {
    type Coupler = TcpCoupler<Self::Stream>;
    type Stream = Eventful;

    fn holdings(&self) -> &[Holding] {
        &[]
    }

    async fn accept(&mut self, _: Option<ArcFusePolicy>) -> io::Result<Accepted<Self::Coupler, Self::Stream>> {
        let Some(stream) = self.0.take() else { return pending().await };
        Ok(Accepted {
            coupler: TcpCoupler::new(),
            stream,
            fuse_config: None,
            conn_ctrl: ConnCtrl::new(),
            local_addr: HERE.into(),
            remote_addr: HERE.into(),
            http_scheme: Scheme::HTTP,
        })
    }
}

/// As by another thread.
#[tornadose_test::test]
async fn a_stream_that_comes_by_its_socket_while_its_server_is_dropped_goes_with_it() {
    type Serving = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;
    let store = Store::new();
    store.submit(line(1, &"x".repeat(100_000))).await.unwrap();
    let router = Router::with_path("{room}").get(Room::handler(&store).replay(1));
    let (mut page, pipe) = duplex(4096);
    page.write_all(GET.as_bytes()).await.unwrap();
    let serving: Arc<Mutex<Option<Serving>>> = Arc::default();
    let server = Arc::clone(&serving);
    let drops: Happens = Box::new(move || drop(server.lock().unwrap().take()));
    let acceptor = One(Some(Eventful(pipe, Arc::new(Mutex::new(Some(drops))))));
    *serving.lock().unwrap() = Some(Box::pin(tornadose::serve_on(acceptor, router)));
    poll_fn(|cx| match &mut *serving.lock().unwrap() {
        Some(serving) => serving.as_mut().poll(cx).map(drop),
        None => Poll::Ready(()),
    })
    .now_or_never();
    let mut read = Vec::new();
    let ended = timeout(secs(1), page.read_to_end(&mut read)).await;
    let read = String::from_utf8(read).unwrap();
    assert!(ended.is_ok() && serving.lock().unwrap().is_none(), "{read}");
    assert!(read.contains(": tornadose\n\n") && !read.ends_with("0\r\n\r\n"), "without a goodbye: {read}");
    assert_eq!(store.subscribers(), 0);
}

/// Comes so many times, each time from where it was, and reads one message.
async fn page(addr: SocketAddr, store: Store<Line>, room: u32, times: u32) {
    let mut id = String::new();
    for time in 0..times {
        let mut pipe = TcpStream::connect(addr).await.unwrap();
        let request = format!("GET /{room} HTTP/1.1\r\nhost: {addr}\r\nlast-event-id: {id}\r\n\r\n");
        pipe.write_all(request.as_bytes()).await.unwrap();
        let mut read = Vec::new();
        while !String::from_utf8_lossy(&read).contains(": tornadose\n\n") {
            assert!(pipe.read_buf(&mut read).await.unwrap() > 0, "it ended");
        }
        store.submit(line(room, &format!("<{room} {time}>"))).await.unwrap();
        let (own, end) = (format!("<{room} {time}>"), "\"}\n\n\r\n");
        while !String::from_utf8_lossy(&read).split(&own).nth(1).is_some_and(|rest| rest.contains(end)) {
            assert!(pipe.read_buf(&mut read).await.unwrap() > 0, "it ended");
        }
        let read = String::from_utf8(read).unwrap();
        assert_eq!(read.matches("HTTP/1.1 200 OK").count(), 1, "{read}");
        assert_eq!(read.matches(&format!("\"<{room} ")).count(), 1, "{read}");
        assert_eq!(read.matches("\"<").count(), 1, "{read}");
        read.rsplit("id: ").next().unwrap().lines().next().unwrap().clone_into(&mut id);
    }
}

/// Real sockets and several threads: pages come and go while each room has its own messages.
#[test]
fn many_come_and_go_over_many_threads_and_each_reads_its_own() {
    const PAGES: u32 = 40;
    const TIMES: u32 = 25;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let store = Store::new();
    runtime.block_on(async {
        let acceptor = tornadose::listen("127.0.0.1:0").await.unwrap();
        let addr = acceptor.local_addr().unwrap();
        let serving = tokio::spawn(tornadose::serve_on(acceptor, rooms(&store)));
        let pages: Vec<_> = (0..PAGES).map(|room| tokio::spawn(page(addr, store.clone(), room, TIMES))).collect();
        for page in pages {
            timeout(secs(60), page).await.unwrap().unwrap();
        }
        serving.abort();
    });
}

/// Opens a stream on this connection, whose server carries one connection at a time; a second connection is served once the stream has
/// detached.
async fn check_detached<C>(store: &Store<Line>, mut connect: impl AsyncFnMut() -> C)
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let mut page = connect().await;
    page.write_all(GET.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(": tornadose\n\n") {
        assert!(page.read_buf(&mut read).await.unwrap() > 0, "the stream ended");
    }
    let mut second = connect().await;
    second.write_all(b"GET /nowhere/at/all HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut response = String::new();
    // A TLS session that ends without its close_notify is an error; what was read before counts.
    let _read = timeout(secs(20), second.read_to_string(&mut response)).await.expect("the stream is not detached");
    assert!(response.starts_with("HTTP/1.1 404"), "{response}");
    store.submit(line(1, "hi")).await.unwrap();
    store.close();
    let ended = timeout(secs(20), page.read_to_end(&mut read)).await.expect("the stream ends");
    let read = String::from_utf8(read).unwrap();
    assert!(ended.is_ok() && read.contains("\"hi\"") && read.ends_with("0\r\n\r\n"), "{read}");
}

#[tokio::test]
async fn a_stream_detaches_over_tls() {
    let file = |name| std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/").to_owned() + name).unwrap();
    let (certificate, key) = (file("localhost.cert.pem"), file("localhost.key.pem"));
    let config = RustlsConfig::new(Keycert::new().cert(certificate.clone()).key(key));
    let acceptor = salvo::conn::TcpListener::new("127.0.0.1:0").rustls(config).bind().await;
    let addr = acceptor.holdings()[0].local_addr.clone().into_std().unwrap();
    let (store, handover) = (Store::new(), Handover::new());
    let server = Server::new(handover.acceptor(acceptor)).max_connections(1);
    let serving = tokio::spawn(server.try_serve(handover.service(rooms(&store))));

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&certificate).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    check_detached(&store, async || {
        let socket = TcpStream::connect(addr).await.unwrap();
        connector.connect("localhost".try_into().unwrap(), socket).await.unwrap()
    })
    .await;
    serving.abort();
}

/// The connections of a Unix socket have no addresses of their own.
#[cfg(unix)]
#[tokio::test]
async fn a_stream_detaches_over_a_unix_socket() {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("handover-{}", std::process::id()));
    let acceptor = salvo::conn::UnixListener::new(path.clone()).bind().await;
    let (store, handover) = (Store::new(), Handover::new());
    let server = Server::new(handover.acceptor(acceptor)).max_connections(3);
    let serving = tokio::spawn(server.try_serve(handover.service(rooms(&store))));
    let connect = async || tokio::net::UnixStream::connect(&path).await.unwrap();
    let _idle = [connect().await, connect().await];
    check_detached(&store, connect).await;
    serving.abort();
    std::fs::remove_file(&path).unwrap();
}

/// A middleware that puts the address of a proxy's client into the request.
#[handler]
async fn forwarded(req: &mut Request) {
    *req.remote_addr_mut() = SocketAddr::from(([203, 0, 113, 9], 1234)).into();
}

/// A middleware that relaxes the connection's timeouts before the stream does.
#[handler]
async fn relaxes(req: &mut Request) {
    req.extensions().get::<ConnCtrl>().unwrap().relax_timeouts();
}

#[tornadose_test::test]
async fn a_middleware_may_change_the_address_of_the_client() {
    check_service(|router| Service::new(router).hoop(forwarded), GET, true).await;
}

#[tornadose_test::test]
async fn a_stream_whose_connection_cannot_be_recognised_stays_with_its_server() {
    check_service(|router| Service::new(router).hoop(relaxes), GET, false).await;
}
