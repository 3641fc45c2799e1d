//! What the log says about streams that are detached and streams that are not. Why a stream is not
//! detached is logged once per process, so these tests have a process of their own.

#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "common/log.rs"]
mod log;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use salvo::conn::tcp::TcpCoupler;
use salvo::conn::{Accepted, Acceptor, ConnCtrl, Holding};
use salvo::fuse::ArcFusePolicy;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tornadose::Handover;
use tornadose::prelude::*;
use tornadose_test::Harness;

use self::log::CapturedLog;

#[store(queue)]
#[derive(Serialize)]
struct Line(String);

#[subscriber(sse, ws, store = Line)]
struct Lines;

fn router(store: &Store<Line>) -> Router {
    Router::with_path("lines").get(Lines::handler(store))
}

/// A harness whose streams are detached.
fn detached_harness(router: Router) -> Harness {
    let handover = Handover::new();
    let service = handover.wrap_service(router);
    Harness::with_server(service, move |pipes| Server::new(handover.wrap_acceptor(pipes)))
}

const GET: &str = "GET /lines HTTP/1.1\r\nhost: localhost\r\n\r\n";

const UPGRADE: &str = "GET /lines HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Reads until this text has arrived.
async fn read_until(socket: &mut (impl AsyncRead + Unpin), text: &str) {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(text) {
        let bytes = timeout(Duration::from_secs(20), socket.read_buf(&mut read)).await.expect("the text arrives");
        assert!(bytes.unwrap() > 0, "{}", String::from_utf8_lossy(&read));
    }
}

/// Fails if Salvo or hyper no longer work as the handover expects although their public interfaces are
/// the same.
#[tokio::test]
async fn every_connection_of_a_plain_server_is_detached() {
    let (log, _guard) = CapturedLog::start();
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
    store.submit(Line("hi".into())).await.unwrap();
    for socket in &mut sockets {
        read_until(socket, "\"hi\"").await;
    }
    drop(sockets);
    stop.send(()).unwrap();
    timeout(Duration::from_secs(20), serving).await.expect("the server stops").unwrap().unwrap();
    let logged = log.take();
    let closed = logged.iter().filter(|line| line.contains("connection closed"));
    let detached = closed.map(|line| line.contains(" detached=true ")).collect::<Vec<_>>();
    assert_eq!(detached, [true, true], "{logged:?}");
    assert!(!logged.iter().any(|line| line.contains("not detached")), "{logged:?}");
}

/// A middleware that sets `content-length`.
#[handler]
async fn set_length(req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
    ctrl.call_next(req, depot, res).await;
    res.headers_mut().insert("content-length", "100000".parse().unwrap());
}

/// A middleware that relaxes the timeouts of the connection before the WebSocket does.
#[handler]
async fn relax_timeouts(req: &mut Request) {
    req.extensions().get::<ConnCtrl>().unwrap().relax_timeouts();
}

/// Sends a request, and lets time pass.
async fn request(app: &Harness, request: &str) -> DuplexStream {
    let mut pipe = app.connect();
    pipe.write_all(request.as_bytes()).await.unwrap();
    app.settle().await;
    app.advance(Duration::from_secs(20)).await;
    pipe
}

/// Takes the lines that say why a stream is not detached.
fn take_not_detached(log: &CapturedLog) -> Vec<String> {
    log.take().into_iter().filter(|line| line.contains("not detached")).collect()
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
async fn the_reason_why_a_stream_is_not_detached_is_logged_once() {
    let (log, _guard) = CapturedLog::start();
    let store = Store::new();
    let detached_app = detached_harness(router(&store));
    let fixed_length = detached_harness(router(&store).hoop(set_length));
    // The acceptor is not wrapped, so that no connection matches.
    let not_recognized = Harness::new(Handover::new().wrap_service(router(&store)));
    let handover = Handover::new();
    let service = handover.wrap_service(router(&store));
    let head_not_taken =
        Harness::with_server(service, move |pipes| Server::new(handover.wrap_acceptor(NeverFlushing(pipes))));
    let with_body = GET.replace("\r\n\r\n", "\r\ncontent-length: 2\r\n\r\nab");
    for (app, text, logged) in [
        (&detached_app, GET, None),
        (
            &detached_app,
            "GET /lines HTTP/1.0\r\n\r\n",
            Some(r#"DEBUG stream not detached: transport="sse" reason="http version""#),
        ),
        (&detached_app, &with_body, Some(r#"DEBUG stream not detached: transport="sse" reason="request body""#)),
        (
            &fixed_length,
            GET,
            Some(r#"DEBUG stream not detached: transport="sse" reason="response replaced or of fixed length""#),
        ),
        (&not_recognized, GET, Some(r#"WARN stream not detached: transport="sse" reason="connection not recognized""#)),
        (&head_not_taken, GET, Some(r#"DEBUG stream not detached: transport="sse" reason="head not taken""#)),
    ] {
        let _first = request(app, text).await;
        assert_eq!(take_not_detached(&log), logged.into_iter().collect::<Vec<_>>());
        let _second = request(app, text).await;
        assert_eq!(take_not_detached(&log), Vec::<String>::new());
    }
}

#[tornadose_test::test]
async fn the_reason_why_a_websocket_is_not_detached_is_logged_where_a_handover_serves_it() {
    let (log, _guard) = CapturedLog::start();
    let store = Store::new();
    let service = || router(&store).hoop(relax_timeouts);
    let logged = r#"DEBUG stream not detached: transport="ws" reason="timeouts relaxed before""#;
    for (app, logged) in [(Harness::new(service()), None), (detached_harness(service()), Some(logged))] {
        let page = app.client("page").lenient().ws("/lines").await;
        assert_eq!(take_not_detached(&log), logged.into_iter().collect::<Vec<_>>());
        page.close().await;
    }
}
