//! Rooms whose subscribers record when they are dropped. A user or a text may ask a hook to panic.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::timeout;
use tornadose::prelude::*;
use tornadose::subscriber::{KeyOf, Options, Transports};
use tornadose_test::Harness;

use super::harness::{harness, secs};

#[store(queue)]
#[derive(Serialize)]
pub(crate) struct Line {
    #[key]
    room: String,
    text: String,
}

pub(crate) fn line(room: &str, text: &str) -> Line {
    Line { room: room.into(), text: text.into() }
}

pub(crate) fn key(room: &str) -> LineKey {
    LineKey { room: room.into() }
}

/// A middleware that gives subscribers a list of the users whose subscribers were dropped, in order.
#[derive(Clone, Default)]
pub(crate) struct Drops(Arc<Mutex<Vec<String>>>);

impl Drops {
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[handler]
impl Drops {
    fn handle(&self, depot: &mut Depot) {
        depot.insert_typed(self.clone());
    }
}

/// A subscriber of a room. The user `crash` makes `authorize` panic, and the user `loud` its `Drop`.
#[subscriber(
    sse, ws, store = Line, authorize = Self::check_user, filter = Self::is_wanted, receive = Self::receive_text, retry = "2s"
)]
pub(crate) struct Reader {
    #[key]
    room: String,
    #[query]
    user: String,
    #[depot]
    drops: Drops,
}

impl Reader {
    async fn check_user(&self) -> Result<(), StatusError> {
        assert!(self.user != "crash", "authorize");
        Ok(())
    }

    fn is_wanted(&self, line: &Line) -> bool {
        assert!(line.text != format!("not for {}", self.user), "filter");
        true
    }

    #[allow(clippy::unused_self, reason = "the shape of the hook")]
    async fn receive_text(&mut self, text: String, _: &Store<Line>) {
        assert!(text != "crash", "receive");
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.drops.0.lock().unwrap().push(self.user.clone());
        assert!(self.user != "loud", "drop");
    }
}

pub(crate) struct Everything;

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

pub(crate) fn router(store: &Store<Line>, drops: &Drops) -> Router {
    Router::new()
        .hoop(drops.clone())
        .push(Router::with_path("rooms/{room}").get(Reader::handler(store)))
        .push(Router::with_path("goal/{room}").goal(Reader::handler(store)))
        .push(Router::with_path("short-lived/{room}").get(Reader::handler(store).max_age(secs(60)).keep_alive(None)))
        .push(Router::with_path("all").get(StreamHandler::<Everything>::new(store)))
}

pub(crate) fn rooms() -> (Store<Line>, Harness, Drops) {
    let (store, drops) = (Store::new(), Drops::default());
    let app = harness(router(&store, &drops));
    (store, app, drops)
}

pub(crate) const UPGRADE: &str = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";

/// The headers that a GET request needs, for each transport.
pub(crate) const TRANSPORTS: [&str; 2] = ["", UPGRADE];

pub(crate) fn get(user: &str, headers: &str) -> String {
    format!("GET /rooms/1?user={user} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n")
}

/// Reads what has arrived, and returns it with whether the connection has ended.
pub(crate) async fn read_now(pipe: &mut DuplexStream) -> (String, bool) {
    tornadose_test::settle().await;
    let mut read = Vec::new();
    // A timeout of zero reads what is there, and the virtual clock does not move.
    let has_ended = timeout(Duration::ZERO, pipe.read_to_end(&mut read)).await.is_ok();
    (String::from_utf8_lossy(&read).into_owned(), has_ended)
}

pub(crate) async fn send_request(app: &Harness, request: &str) -> DuplexStream {
    let mut pipe = app.connect();
    pipe.write_all(request.as_bytes()).await.unwrap();
    app.settle().await;
    pipe
}

/// Opens an HTTP/2 connection with prior knowledge.
pub(crate) async fn connect_http2(app: &Harness) -> http2::SendRequest<String> {
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(app.connect())).await.unwrap();
    tokio::spawn(connection);
    sender
}

pub(crate) async fn request_http2(
    sender: &mut http2::SendRequest<String>,
    method: &str,
    path: &str,
) -> hyper::Response<Incoming> {
    let request = hyper::Request::builder().method(method).uri(format!("http://localhost{path}"));
    sender.send_request(request.body(String::new()).unwrap()).await.unwrap()
}

/// Reads what has arrived of a body, and returns it with whether the body has ended.
pub(crate) async fn read_body_now(response: &mut hyper::Response<Incoming>) -> (String, bool) {
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
