//! From a request to a live connection: who may open it, over which transport, from where. What it then sends is `feed`'s affair.
//!
//! # Ordering
//!
//! The fields are read, the subscriber is asked (`on_open`), and only then it takes its place in the log, with everything
//! that follows; the head is sent after that.
//!
//! # Lagging
//!
//! A connection is a place in the log; see `feed`.
//!
//! # Closing
//!
//! A connection ends by its client, its store, its server, its age or its own silence. What was told to end and does not
//! is aborted after a while.

mod asked;
mod connections;
pub(crate) mod extract;
mod feed;
mod format;
mod link;
mod origin;
mod session;
mod settings;
mod stream;

pub(crate) use self::connections::{Connections, LAST_WORDS};

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::BytesMut;
use futures_util::FutureExt;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use salvo::conn::ConnCtrl;
use salvo::http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use salvo::http::{Method, ResBody, StatusCode, StatusError};
use salvo::{Depot, FlowCtrl, Handler, Request, Response, async_trait};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::handler::asked::Unfit;
use crate::handler::connections::{Control, Seat};
use crate::handler::feed::Feed;
use crate::handler::format::{Sse, Ws};
use crate::handler::origin::Admitted;
use crate::handler::session::Session;
use crate::handler::settings::Settings;
use crate::handler::stream::Stream;
use crate::store::Store;
use crate::store::entry::Encoding;
use crate::store::subscription::{Reader, Seen, Terms};
use crate::subscriber::{Lag, Subscriber, Transports};

/// The Salvo handler of a subscriber: Server-Sent Events, WebSocket, or both on one route.
///
/// The attribute [`#[subscriber]`](macro@crate::subscriber) gives the struct a function `handler` that makes it. What the
/// attribute says can be said here again, so that it may differ between staging and production:
///
/// ```
/// use tornadose::prelude::*;
///
/// #[store(latest)]
/// #[derive(Serialize)]
/// struct Tick(f64);
///
/// #[subscriber(sse, ws, store = Tick)]
/// struct Ticks;
///
/// let store = Store::new();
/// let handler = Ticks::handler(&store).origins(["https://app.example"]).max_connections(10_000);
/// let router = Router::with_path("ticks").get(handler);
/// # drop(router);
/// ```
pub struct Live<S: Subscriber> {
    store: Store<S::Message>,
    settings: Settings,
    connections: Arc<Connections>,
    watch: OnceLock<Watch>,
    _subscriber: PhantomData<fn() -> S>,
}

/// A task that ends with the handler.
struct Watch(AbortHandle);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How a request came out, when no stream was opened.
enum Answer {
    Error(StatusError),
    /// The client is to come back later.
    Later,
}

impl From<StatusError> for Answer {
    fn from(error: StatusError) -> Self {
        Self::Error(error)
    }
}

/// What both transports open with.
struct Opening<S> {
    subscriber: S,
    number: u64,
    seats: Vec<Seat>,
}

impl<S: Subscriber> Live<S> {
    /// The handler that serves this store's messages, as [`Subscriber::OPTIONS`] says.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(latest)]
    /// # #[derive(Serialize)]
    /// # struct Tick(f64);
    /// # #[subscriber(sse, store = Tick)]
    /// # struct Ticks;
    /// let store = Store::new();
    /// let router = Router::new().get(Live::<Ticks>::new(&store));
    /// # drop(router);
    /// ```
    pub fn new(store: &Store<S::Message>) -> Self {
        let settings = Settings::of(S::OPTIONS);
        if settings.options.transports != Transports::Ws {
            store.will_encode(Sse::SLOT);
        }
        if settings.options.transports != Transports::Sse {
            store.will_encode(Ws::SLOT);
        }
        Self {
            store: store.clone(),
            settings,
            connections: Arc::default(),
            watch: OnceLock::new(),
            _subscriber: PhantomData,
        }
    }

    /// How many of the last kept queue messages a new connection gets.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// # #[subscriber(sse, store = Line)]
    /// # struct Lines;
    /// let handler = Lines::handler(&Store::new()).replay(20);
    /// # drop(handler);
    /// ```
    #[must_use]
    pub fn replay(mut self, messages: usize) -> Self {
        self.settings.options.replay = messages;
        self
    }

    /// What happens to a reader that lagged.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// # #[subscriber(sse, store = Line)]
    /// # struct Lines;
    /// let handler = Lines::handler(&Store::new()).lag(tornadose::Lag::Close);
    /// # drop(handler);
    /// ```
    #[must_use]
    pub fn lag(mut self, lag: Lag) -> Self {
        self.settings.options.lag = lag;
        self
    }

    /// After how much silence a comment or a ping is sent; `None` for never. Zero counts as a millisecond.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// # #[subscriber(sse, store = Line)]
    /// # struct Lines;
    /// use std::time::Duration;
    ///
    /// let handler = Lines::handler(&Store::new()).keep_alive(Duration::from_secs(25));
    /// # drop(handler);
    /// ```
    #[must_use]
    pub fn keep_alive(mut self, after: impl Into<Option<Duration>>) -> Self {
        self.settings.options.keep_alive = after.into().map(|after| after.max(Duration::from_millis(1)));
        self
    }

    /// When an `EventSource` is to come back.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// # #[subscriber(sse, store = Line)]
    /// # struct Lines;
    /// use std::time::Duration;
    ///
    /// let handler = Lines::handler(&Store::new()).retry(Duration::from_secs(1));
    /// # drop(handler);
    /// ```
    #[must_use]
    pub fn retry(mut self, after: Duration) -> Self {
        self.settings.options.retry = after;
        self
    }

    /// Whose pages may open a WebSocket, and get CORS headers for SSE: `scheme://host[:port]`. One that is no origin
    /// admits nobody, and is logged as an error.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// # #[subscriber(sse, store = Line)]
    /// # struct Lines;
    /// let handler = Lines::handler(&Store::new()).origins(["https://app.example"]);
    /// # drop(handler);
    /// ```
    #[must_use]
    pub fn origins<O: AsRef<str>>(mut self, origins: impl IntoIterator<Item = O>) -> Self {
        self.settings.origins = Admitted::list(origins);
        self
    }

    /// Every page may open a WebSocket, and read a stream without credentials.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// # #[subscriber(sse, store = Line)]
    /// # struct Lines;
    /// let handler = Lines::handler(&Store::new()).any_origin();
    /// # drop(handler);
    /// ```
    #[must_use]
    pub fn any_origin(mut self) -> Self {
        self.settings.origins = Admitted::Any;
        self
    }

    /// How many connections are served at once; `None` for any number.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// # #[subscriber(sse, store = Line)]
    /// # struct Lines;
    /// let handler = Lines::handler(&Store::new()).max_connections(10_000);
    /// # drop(handler);
    /// ```
    #[must_use]
    pub fn max_connections(mut self, connections: impl Into<Option<usize>>) -> Self {
        self.settings.options.max_connections = connections.into();
        self
    }

    /// How long a connection lasts, give or take a tenth; `None` for as long as it likes.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// # #[subscriber(sse, store = Line)]
    /// # struct Lines;
    /// use std::time::Duration;
    ///
    /// let handler = Lines::handler(&Store::new()).max_age(Duration::from_secs(600));
    /// # drop(handler);
    /// ```
    #[must_use]
    pub fn max_age(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.settings.options.max_age = age.into();
        self
    }

    /// The WebSocket subprotocols on offer.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// # #[subscriber(ws, store = Line)]
    /// # struct Lines;
    /// let handler = Lines::handler(&Store::new()).protocols(["v2", "v1"]);
    /// # drop(handler);
    /// ```
    #[must_use]
    pub fn protocols<P: Into<Cow<'static, str>>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.settings.protocols = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// How many bytes a message from the client may have.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// # #[subscriber(ws, store = Line)]
    /// # struct Lines;
    /// let handler = Lines::handler(&Store::new()).max_message(1 << 20);
    /// # drop(handler);
    /// ```
    #[must_use]
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.settings.options.max_message = bytes;
        self
    }

    // --- From a request to an opening ----------------------------------------------------------------------------

    async fn serve(&self, req: &mut Request, depot: &Depot, res: &mut Response) -> Result<(), Answer> {
        if !matches!(*req.method(), Method::GET | Method::HEAD) {
            res.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Err(StatusError::method_not_allowed().brief("a stream is read with GET").into());
        }
        let transports = self.settings.options.transports;
        if transports != Transports::Sse && asked::wants_upgrade(req) {
            return self.serve_ws(req, depot, res).await;
        }
        if transports == Transports::Ws {
            return Err(upgrade_required(res, "this stream is a WebSocket: connect with `ws:` or `wss:`"));
        }
        self.serve_sse(req, depot, res).await
    }

    async fn serve_sse(&self, req: &Request, depot: &Depot, res: &mut Response) -> Result<(), Answer> {
        self.settings.origins.allow(req.headers(), res.headers_mut());
        if !asked::accepts_stream(req.headers()) {
            let error = StatusError::not_acceptable().brief("this is a stream of `text/event-stream`");
            return Err(error.into());
        }
        let subscriber = self.admit(req, depot).await?;
        if req.method() == Method::HEAD {
            stream_head(res);
            return Ok(());
        }
        let opening = self.open(req, subscriber).map_err(|number| {
            stream_head(res);
            res.body(ResBody::Once(stream::come_back(self.settings.return_after(number))));
            Answer::Later
        })?;
        let Opening { subscriber, number, seats } = opening;
        let feed = self.feed(&subscriber, req, stream::prologue(self.settings.options.retry));
        let conn = req.extensions().get::<ConnCtrl>().cloned();
        if let Some(conn) = &conn {
            conn.relax_timeouts();
        }
        Seat::places(&seats).reached_by(Control {
            end: Box::new(feed.reader().ender()),
            abort: Box::new(move || conn.iter().for_each(ConnCtrl::abort)),
        });
        let pace = stream::Pace {
            keep_alive: self.settings.options.keep_alive,
            until: self.settings.lasts(number).map(|age| Instant::now() + age),
            return_after: self.settings.return_after(number),
        };
        tracing::debug!(transport = "sse", number, "connection opens");
        stream_head(res);
        res.body(ResBody::Boxed(Box::pin(Stream::new(subscriber, feed, pace, seats))));
        Ok(())
    }

    async fn serve_ws(&self, req: &mut Request, depot: &Depot, res: &mut Response) -> Result<(), Answer> {
        let accept = asked::accept_key(req.headers()).map_err(|unfit| match unfit {
            Unfit::Version => upgrade_required(res, "expected `sec-websocket-version: 13`"),
            Unfit::Malformed(why) => StatusError::bad_request().brief(why).into(),
        })?;
        let checked = self.settings.origins.check(req.headers(), req.uri().authority());
        checked.map_err(|refusal| StatusError::forbidden().brief(refusal))?;
        let subscriber = self.admit(req, depot).await?;
        let unavailable = |_| StatusError::service_unavailable().brief("closing, or full: come back later");
        let Opening { subscriber, number, seats } = self.open(req, subscriber).map_err(unavailable)?;
        let Some(upgrade) = req.extensions_mut().remove::<OnUpgrade>() else {
            return Err(StatusError::bad_request().brief("this connection cannot become a WebSocket").into());
        };
        let feed = self.feed(&subscriber, req, BytesMut::new());
        let options = &self.settings.options;
        let pace = session::Pace {
            keep_alive: options.keep_alive,
            patience: self.settings.patience(),
            until: self.settings.lasts(number).map(|age| Instant::now() + age),
            max_message: options.max_message,
        };
        if let Some(conn) = req.extensions().get::<ConnCtrl>() {
            conn.relax_timeouts();
        }
        let headers = res.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        let accept = HeaderValue::try_from(accept).expect("base64 fits a header");
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        if let Some(protocol) = asked::protocol(req.headers(), &self.settings.protocols)
            && let Ok(protocol) = HeaderValue::from_str(protocol)
        {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        res.status_code(StatusCode::SWITCHING_PROTOCOLS);
        tracing::debug!(transport = "ws", number, "connection opens");

        let store = self.store.clone();
        let (ender, places) = (feed.reader().ender(), Seat::places(&seats));
        let task = tokio::spawn(async move {
            let _seats = seats;
            match upgrade.await {
                Ok(upgraded) => Session::new(subscriber, store, feed, TokioIo::new(upgraded), pace).run().await,
                Err(error) => tracing::debug!(%error, "the client left before its upgrade"),
            }
        });
        let task = task.abort_handle();
        places.reached_by(Control { end: Box::new(ender), abort: Box::new(move || task.abort()) });
        Ok(())
    }

    /// Reads the fields and asks the subscriber. A panic in it is answered 500, and ends nothing else.
    async fn admit(&self, req: &Request, depot: &Depot) -> Result<S, StatusError> {
        let asked = AssertUnwindSafe(async {
            let mut subscriber = S::from_request(req, depot)?;
            subscriber.on_open().await?;
            Ok(subscriber)
        });
        asked.catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!("a hook panicked before the head; the request is answered 500");
            Err(StatusError::internal_server_error())
        })
    }

    /// A seat among the connections of the handler, and of the server when it is ours. Without one, the connection's number.
    fn open(&self, req: &Request, subscriber: S) -> Result<Opening<S>, u64> {
        self.watch.get_or_init(|| self.watch());
        let (number, seat) = self.connections.open(self.settings.options.max_connections);
        let seat = seat.filter(|_| !self.store.is_closed()).ok_or(number)?;
        let mut seats = vec![seat];
        if let Some(server) = req.extensions().get::<Arc<Connections>>() {
            seats.push(server.open(None).1.ok_or(number)?);
        }
        Ok(Opening { subscriber, number, seats })
    }

    /// Aborts what is left a while after the store has been closed: a connection whose client takes nothing cannot end itself.
    fn watch(&self) -> Watch {
        let (store, connections) = (self.store.clone(), Arc::clone(&self.connections));
        let watch = tokio::spawn(async move {
            store.closing().await;
            tokio::time::sleep(LAST_WORDS).await;
            connections.abort_all();
        });
        Watch(watch.abort_handle())
    }

    fn feed(&self, subscriber: &S, req: &Request, prologue: BytesMut) -> Feed<S::Message> {
        let options = &self.settings.options;
        let terms = Terms { replay: options.replay, lag: options.lag, connection: true };
        let seen = asked::last_event_id(req);
        let seen = seen.as_deref().map_or(Seen::Nothing, Seen::UpTo);
        Feed::new(Reader::open(self.store.shared(), subscriber.keys(), seen, terms), prologue)
    }
}

fn stream_head(res: &mut Response) {
    res.status_code(StatusCode::OK);
    let headers = res.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
}

fn upgrade_required(res: &mut Response, why: &'static str) -> Answer {
    let headers = res.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    match StatusError::from_code(StatusCode::UPGRADE_REQUIRED) {
        Some(error) => error.brief(why).into(),
        None => StatusError::bad_request().brief(why).into(),
    }
}

#[async_trait]
impl<S: Subscriber> Handler for Live<S> {
    async fn handle(&self, req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
        if let Err(Answer::Error(error)) = self.serve(req, depot, res).await {
            // A page reads none of it; a person at a terminal reads plain text. A Catcher may still say it its own way.
            req.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/plain"));
            res.render(error);
        }
        ctrl.skip_rest();
    }
}

impl<S: Subscriber> fmt::Debug for Live<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("store", &self.store).finish_non_exhaustive()
    }
}
