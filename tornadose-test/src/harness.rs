//! A harness: a service under test, its clients, and their clock.

mod clock;

use std::panic::Location;
use std::sync::Arc;

use salvo::conn::Acceptor;
use salvo::fuse::FuseConfig;
use salvo::{Server, Service};
use tokio::io::DuplexStream;

use crate::assert::{Part, Source};
use crate::client::Client;
use crate::client::builder::ClientBuilder;
use crate::client::response::Response;
use crate::client::ws_client::WsClient;
use crate::journal::Record;
use crate::runtime::{current, settle};
use crate::server::ServerControl;
use crate::server::acceptor::InMemoryAcceptor;
use crate::transcript::Recording;
use crate::transcript::mask::Mask;
use crate::transport::Transport;

/// A Salvo service and the clients that connect to it: real HTTP/1.1 and WebSocket bytes over a pipe in memory, the
/// whole `salvo::Server` behind it, no port.
///
/// Every act (an open, a send, an advance) settles before it returns: what can happen at this instant has happened, and
/// the clock has not moved.
///
/// ```
/// # use salvo::prelude::*;
/// # #[handler]
/// # async fn serve_ticks(res: &mut Response) {
/// #     res.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
/// #     let mut ticks = res.channel();
/// #     tokio::spawn(async move {
/// #         for tick in 1.. {
/// #             tokio::time::sleep(std::time::Duration::from_secs(15)).await;
/// #             if ticks.send_data(format!("data: {tick}\n\n")).await.is_err() { break }
/// #         }
/// #     });
/// # }
/// use std::time::Duration;
/// use tornadose_test::{Harness, assert_transcript};
/// # tornadose_test::run(async {
/// let app = Harness::new(Router::with_path("ticks").get(serve_ticks));
/// let first = app.client("first").sse("/ticks").await;
/// app.advance(Duration::from_secs(20)).await;
/// app.client("second").sse("/ticks").await;
/// app.advance(Duration::from_secs(10)).await;
/// assert_transcript!(app, @r"
/// first > GET /ticks
/// first ~ open 200 text/event-stream
/// after 15s
/// first < message 1
/// after 5s
/// second > GET /ticks
/// second ~ open 200 text/event-stream
/// after 10s
/// first < message 2
/// ");
/// # });
/// ```
#[derive(Clone)]
pub struct Harness {
    record: Arc<Record>,
    server: ServerControl,
}

impl Harness {
    /// A harness around a router, or a whole service.
    ///
    /// ```
    #[doc = include_str!("../doc/news.md")]
    /// let news = app.sse("/news").await;
    /// # news.skip(1).await;
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// Outside of `#[tornadose_test::test]` and [`run`](crate::run).
    pub fn new(service: impl Into<Service>) -> Self {
        Self::configured(service, |_| {})
    }

    /// A harness whose server is configured before it serves, and again whenever it is
    /// [started anew](ServerControl::start). Its answers carry no `date`, which would be the wall clock's.
    ///
    /// ```
    /// # use salvo::prelude::*;
    /// # #[handler]
    /// # async fn hello() -> &'static str { "hello" }
    /// # use tornadose_test::Harness;
    /// # tornadose_test::run(async {
    /// let app = Harness::configured(Router::new().get(hello), |server| {
    ///     server.http1_mut().title_case_headers(true);
    /// });
    /// assert_eq!(app.get("/").await.text(), "hello");
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// Outside of `#[tornadose_test::test]` and [`run`](crate::run).
    pub fn configured(
        service: impl Into<Service>,
        configure: impl Fn(&mut Server<InMemoryAcceptor>) + Send + Sync + 'static,
    ) -> Self {
        Self::with_server(service, move |pipes| {
            let mut server = Server::new(pipes);
            configure(&mut server);
            server
        })
    }

    /// A harness whose server has this fuse, also when it is [started anew](ServerControl::start): its timeouts are of
    /// virtual time.
    ///
    /// ```
    #[doc = include_str!("../doc/news.md")]
    /// use salvo::fuse::FuseConfig;
    /// # app.sse("/news").await.skip(1).await;
    ///
    /// let app = Harness::with_fuse(Router::with_path("news").get(serve_news), FuseConfig::strict());
    /// let news = app.sse("/news").await;
    /// # news.skip(1).await;
    /// assert_eq!(news.status(), 200);
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// Outside of `#[tornadose_test::test]` and [`run`](crate::run).
    pub fn with_fuse(service: impl Into<Service>, fuse: FuseConfig) -> Self {
        Self::with_server(service, move |pipes| Server::new(pipes).fuse_config(fuse))
    }

    /// A harness whose server is made by you, now and whenever it is [started anew](ServerControl::start): around the
    /// pipes that its clients dial, or around an acceptor of yours around these. Its answers carry no `date`, which would be
    /// the wall clock's.
    ///
    /// ```
    /// # use salvo::prelude::*;
    /// # #[handler]
    /// # async fn hello() -> &'static str { "hello" }
    /// # use tornadose_test::Harness;
    /// # tornadose_test::run(async {
    /// let app = Harness::with_server(Router::new().get(hello), |pipes| Server::new(pipes).max_connections(1));
    /// assert_eq!(app.get("/").await.text(), "hello");
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// Outside of `#[tornadose_test::test]` and [`run`](crate::run).
    pub fn with_server<A: Acceptor + Send + 'static>(
        service: impl Into<Service>,
        server: impl Fn(InMemoryAcceptor) -> Server<A> + Send + Sync + 'static,
    ) -> Self {
        Self::of(Record::new(current()), service, server)
    }

    /// A harness whose end nobody checks but its maker.
    pub(crate) fn apart(service: impl Into<Service>) -> Self {
        Self::of(Record::apart(current()), service, Server::new)
    }

    fn of<A: Acceptor + Send + 'static>(
        record: Arc<Record>,
        service: impl Into<Service>,
        server: impl Fn(InMemoryAcceptor) -> Server<A> + Send + Sync + 'static,
    ) -> Self {
        Self { server: ServerControl::new(record.clone(), service.into(), server), record }
    }

    /// A client of this name, to be told more before it opens a stream. A name taken twice gets `-2`, and so on.
    ///
    /// ```
    #[doc = include_str!("../doc/news.md")]
    /// let ada = app.client("ada").sse("/news").await;
    /// # ada.skip(1).await;
    /// # });
    /// ```
    pub fn client(&self, name: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(self.clone(), Some(name.into()))
    }

    /// Opens an SSE stream; the client is called after the last segment of the path, `client` at the root. See
    /// [`ClientBuilder::sse`].
    ///
    /// ```
    #[doc = include_str!("../doc/news.md")]
    /// let news = app.sse("/news").await; // the client `news`
    /// # news.skip(1).await;
    /// # });
    /// ```
    pub async fn sse(&self, path: impl AsRef<str>) -> Client {
        ClientBuilder::new(self.clone(), None).sse(path).await
    }

    /// Opens a WebSocket; the client is called after the last segment of the path, `client` at the root. See
    /// [`ClientBuilder::ws`].
    ///
    /// ```
    #[doc = include_str!("../doc/room.md")]
    /// let room = app.ws("/room").await; // the client `room`
    /// # });
    /// ```
    pub async fn ws(&self, path: impl AsRef<str>) -> WsClient {
        ClientBuilder::new(self.clone(), None).ws(path).await
    }

    /// Opens a stream over this transport; the client is called after the last segment of the path, `client` at the root.
    /// See [`ClientBuilder::open`].
    ///
    /// ```
    #[doc = include_str!("../doc/news.md")]
    /// use tornadose_test::Transport;
    ///
    /// let news = app.open(Transport::Sse, "/news").await;
    /// # news.skip(1).await;
    /// # });
    /// ```
    pub async fn open(&self, over: Transport, path: impl AsRef<str>) -> Client {
        ClientBuilder::new(self.clone(), None).open(over, path).await
    }

    /// A plain `GET`, for routes beside the stream. See [`ClientBuilder::request`].
    ///
    /// ```
    #[doc = include_str!("../doc/news.md")]
    /// assert_eq!(app.get("/elsewhere").await.status(), 404);
    /// # });
    /// ```
    pub async fn get(&self, path: impl AsRef<str>) -> Response {
        ClientBuilder::new(self.clone(), None).get(path).await
    }

    /// A plain `POST`, for routes beside the stream. See [`ClientBuilder::request`].
    ///
    /// ```
    #[doc = include_str!("../doc/news.md")]
    /// assert_eq!(app.post("/news", "hi").await.status(), 405);
    /// # });
    /// ```
    pub async fn post(&self, path: impl AsRef<str>, body: impl AsRef<[u8]>) -> Response {
        ClientBuilder::new(self.clone(), None).post(path, body).await
    }

    /// A connection of the test's own: what goes over it is the test's affair, another protocol or half a request, and
    /// none of it is recorded. In each direction the pipe takes 64 KiB.
    ///
    /// ```
    #[doc = include_str!("../doc/news.md")]
    /// # app.sse("/news").await.skip(1).await;
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    ///
    /// let mut pipe = app.connect();
    /// pipe.write_all(b"GET /elsewhere HTTP/1.0\r\n\r\n").await.unwrap();
    /// let mut answer = String::new();
    /// pipe.read_to_string(&mut answer).await.unwrap();
    /// assert!(answer.starts_with("HTTP/1.0 404 Not Found\r\n"));
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// While the server is stopped.
    #[track_caller]
    pub fn connect(&self) -> DuplexStream {
        match self.server.dial(64 << 10, None) {
            Some(pipe) => pipe,
            None => self.record.run.fail(Some(Location::caller()), "nobody listens: the server is stopped"),
        }
    }

    /// Masks values in everything that this harness prints, transcripts and failures: see [`Recording::mask`]. A mask that
    /// has matched nothing when the test ends fails it.
    ///
    /// ```
    #[doc = include_str!("../doc/news.md")]
    /// app.mask([".text"]);
    /// let news = app.sse("/news").await;
    /// assert_transcript!(news, @r#"
    /// news > GET /news
    /// news ~ open 200 text/event-stream
    /// news < said #1 {"text":"[text-1]"}
    /// "#);
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When something is no path into JSON.
    #[track_caller]
    pub fn mask<P: AsRef<str>>(&self, paths: impl IntoIterator<Item = P>) {
        let masks: Result<Vec<Mask>, String> = paths.into_iter().map(|path| Mask::parse(path.as_ref())).collect();
        self.record.mask(masks.unwrap_or_else(|wrong| panic!("{wrong}")));
    }

    /// Takes note that a task panicked as it was meant to: otherwise it fails the test at its end.
    ///
    /// ```
    /// # use salvo::prelude::*;
    /// # #[handler]
    /// # async fn broken() { tokio::spawn(async { panic!("the cellar is flooded") }); }
    /// # use tornadose_test::Harness;
    /// # tornadose_test::run(async {
    /// let app = Harness::new(Router::with_path("broken").get(broken));
    /// app.get("/broken").await;
    /// app.expect_panic("cellar").await;
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When no task has panicked with this text in its message.
    #[track_caller]
    pub fn expect_panic(&self, text: &str) -> impl Future<Output = ()> + Send {
        let at = Location::caller();
        async move {
            settle().await;
            if !self.record.run.forgive(text) {
                self.record.run.fail(Some(at), &format!("expected a task to panic with `{text}`, and none has"));
            }
        }
    }

    /// The server, to stop it and to start it anew.
    ///
    /// ```
    #[doc = include_str!("../doc/news.md")]
    /// app.server().stop().await;
    /// app.server().start(Router::with_path("news").get(serve_news)).await;
    /// # });
    /// ```
    pub fn server(&self) -> &ServerControl {
        &self.server
    }

    /// What all clients have seen and done so far, on one timeline.
    ///
    /// ```
    #[doc = include_str!("../doc/news.md")]
    /// let news = app.sse("/news").await;
    /// # news.skip(1).await;
    /// assert_eq!(app.recording().to_string(), news.recording().to_string());
    /// # });
    /// ```
    pub fn recording(&self) -> Recording {
        self.record.recording(None)
    }

    pub(crate) fn record(&self) -> &Arc<Record> {
        &self.record
    }
}

impl Source for Harness {
    fn part(&self) -> Part {
        Part { record: self.record.clone(), client: None }
    }
}
