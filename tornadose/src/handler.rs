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
pub(crate) mod connections;
mod direct;
pub(crate) mod extract;
mod feed;
mod format;
mod guest;
pub(crate) mod handover;
mod link;
pub(crate) mod live;
mod origin;
mod outward;
mod pace;
mod reach;
mod session;
mod settings;
mod stream;
mod timer;
mod visit;

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use bytes::BytesMut;
use futures_util::FutureExt;
use hyper::upgrade::OnUpgrade;
use salvo::conn::ConnCtrl;
use salvo::http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use salvo::http::{Method, ResBody, StatusCode, StatusError};
use salvo::{Depot, FlowCtrl, Handler, Request, Response, async_trait};
use tokio::time::Instant;

use crate::handler::asked::Unfit;
use crate::handler::connections::{Connections, LAST_WORDS, Seat, Seats};
use crate::handler::feed::Feed;
use crate::handler::guest::Guest;
use crate::handler::handover::{ConnectionHandle, ConnectionLookup, Proposal, StreamHandover};
use crate::handler::link::Link;
use crate::handler::live::Live;
use crate::handler::reach::{OverServer, OverTask};
use crate::handler::session::Session;
use crate::handler::stream::Stream;
use crate::handler::visit::Visit;
use crate::message::Keys;
use crate::store::reader::{Reader, Seen, Terms};
use crate::store::rest::Call;
use crate::subscriber::{KeyOf, Subscriber, Transports};
use crate::wire::ws::decoder::Decoder;

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

/// A subscriber that may open, and whose messages it gets.
struct Admitted<S: Subscriber> {
    subscriber: Guest<S>,
    keys: Keys<KeyOf<S>>,
}

/// What both transports open with.
struct Opening<S: Subscriber> {
    admitted: Admitted<S>,
    number: u64,
    seats: Seats,
}

impl<S: Subscriber> Live<S> {
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
        let admitted = self.admit(req, depot).await?;
        if req.method() == Method::HEAD {
            stream_head(res);
            return Ok(());
        }
        let opening = self.open(req, admitted).map_err(|number| {
            stream_head(res);
            res.body(ResBody::Once(pace::come_back(self.settings.return_after(number))));
            Answer::Later
        })?;
        let Opening { admitted: Admitted { subscriber, keys }, number, seats } = opening;
        let reader = self.reader(keys, req);
        let visit = Visit::opens("sse", number, &reader);
        let mut prologue = pace::prologue(self.settings.options.retry);
        let connection = claim_connection(req);
        let handover = connection.map(|connection| StreamHandover::new(prologue.split().freeze(), connection));
        let feed = self.feed(reader, visit, prologue);
        let conn = req.extensions().get::<ConnCtrl>().cloned();
        if let Some(conn) = &conn {
            conn.relax_timeouts();
        }
        let reach = OverServer { reader: feed.reader().remote(), closing: feed.closing().clone(), conn: conn.clone() };
        let pace = pace::Pace {
            keep_alive: self.settings.options.keep_alive,
            until: self.settings.lasts(number).map(|age| Instant::now() + age),
            return_after: self.settings.return_after(number),
            patience: self.settings.patience(),
        };
        seats.places().reached_by(reach);
        stream_head(res);
        let mut stream = Box::pin(Stream::new(subscriber, feed, pace, conn, seats));
        if let Some(handover) = handover {
            res.extensions.insert(Proposal::new(&*stream, &handover));
            stream.may_take_over(handover);
        }
        res.body(ResBody::Boxed(stream));
        Ok(())
    }

    async fn serve_ws(&self, req: &mut Request, depot: &Depot, res: &mut Response) -> Result<(), Answer> {
        let accept = asked::accept_key(req.headers()).map_err(|unfit| match unfit {
            Unfit::Version => upgrade_required(res, "expected `sec-websocket-version: 13`"),
            Unfit::Malformed(why) => StatusError::bad_request().brief(why).into(),
        })?;
        let checked = self.settings.origins.check(req.headers(), req.uri().authority());
        checked.map_err(|refusal| StatusError::forbidden().brief(refusal))?;
        let admitted = self.admit(req, depot).await?;
        let unavailable = |_| StatusError::service_unavailable().brief("closing, or full: come back later");
        let Opening { admitted: Admitted { subscriber, keys }, number, seats } =
            self.open(req, admitted).map_err(unavailable)?;
        let Some(upgrade) = req.extensions_mut().remove::<OnUpgrade>() else {
            return Err(StatusError::bad_request().brief("this connection cannot become a WebSocket").into());
        };
        let reader = self.reader(keys, req);
        let visit = Visit::opens("ws", number, &reader);
        let feed = self.feed(reader, visit, BytesMut::new());
        let options = &self.settings.options;
        let pace = session::Pace {
            keep_alive: options.keep_alive,
            patience: self.settings.patience(),
            until: self.settings.lasts(number).map(|age| Instant::now() + age),
        };
        let connection = claim_connection(req);
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

        let (reader, closing, places) = (feed.reader().remote(), feed.closing().clone(), seats.places());
        let caller = feed.reader().caller(Call::Socket);
        let session = Box::new(Session::new(subscriber, self.store.clone(), feed, pace, seats));
        let max_message = options.max_message;
        let task = tokio::spawn(async move {
            let link = upgrade.await.map(|line| {
                let (socket, read) = handover::take_upgraded(line, connection);
                Box::new(Link::new(socket, Decoder::new(max_message), caller).has_read(read))
            });
            match link {
                Ok(link) => session.run(link).await,
                Err(error) => tracing::debug!(target: "tornadose", %error, "the client left before its upgrade"),
            }
        });
        places.reached_by(OverTask { reader, closing, task: task.abort_handle() });
        Ok(())
    }

    /// Reads the fields and asks the subscriber. A panic in it is answered 500, and ends nothing else.
    async fn admit(&self, req: &Request, depot: &Depot) -> Result<Admitted<S>, StatusError> {
        let asked = AssertUnwindSafe(async {
            let mut subscriber = S::from_request(req, depot)?;
            subscriber.on_open().await?;
            let keys = subscriber.keys();
            Ok(Admitted { subscriber: Guest::new(subscriber), keys })
        });
        asked.catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!(target: "tornadose", "a hook panicked before the head; the request is answered 500");
            Err(StatusError::internal_server_error())
        })
    }

    /// A seat among the connections of the handler, and of the server when it is ours. Without one, the connection's number.
    fn open(&self, req: &Request, admitted: Admitted<S>) -> Result<Opening<S>, u64> {
        self.watch();
        let (number, seat) = self.connections.open(self.settings.options.max_connections);
        let seats = match self.seats(seat, req) {
            Ok(seats) => seats,
            Err(why) => {
                tracing::debug!(target: "tornadose", number, why, "connection is turned away");
                return Err(number);
            }
        };
        Ok(Opening { admitted, number, seats })
    }

    /// This seat, and one of the server when that is ours; else why there is none.
    fn seats(&self, seat: Option<Seat>, req: &Request) -> Result<Seats, &'static str> {
        let mut seats = Seats { of_handler: seat.ok_or("full")?, of_server: None };
        if self.store.is_closed() {
            return Err("closed");
        }
        if let Some(server) = req.extensions().get::<Arc<Connections>>() {
            seats.of_server = Some(server.open(None).1.ok_or("stopping")?);
        }
        Ok(seats)
    }

    /// Aborts connections that cannot end themselves because their client takes nothing: those that are owed something for too
    /// long, and what is left a while after the store has been closed.
    fn watch(&self) {
        let (store, patience) = (self.store.clone(), self.settings.patience());
        self.connections.watched_by(|connections| async move {
            let mut closing = pin!(store.closing());
            loop {
                let Some(next_look) = connections.upgrade().map(|open| open.abort_stalled(patience)) else { return };
                tokio::select! {
                    biased;
                    () = &mut closing => break,
                    () = tokio::time::sleep_until(next_look) => {}
                }
            }
            tokio::time::sleep(LAST_WORDS).await;
            if let Some(open) = connections.upgrade() {
                open.abort_all();
            }
        });
    }

    fn reader(&self, keys: Keys<KeyOf<S>>, req: &Request) -> Reader<S::Message> {
        let terms = Terms { replay: self.settings.options.replay, connection: true };
        let seen = asked::last_event_id(req);
        let seen = seen.as_deref().map_or(Seen::Nothing, Seen::UpTo);
        Reader::open(self.store.shared(), keys, seen, terms)
    }

    fn feed(&self, reader: Reader<S::Message>, visit: Visit, prologue: BytesMut) -> Feed<S::Message> {
        Feed::new(reader, visit, self.settings.options.lag, prologue)
    }
}

/// Returns the connection of this request if its socket can be given away.
fn claim_connection(req: &Request) -> Option<Arc<ConnectionHandle>> {
    req.extensions().get::<ConnectionLookup>()?.claim(req.extensions().get::<ConnCtrl>()?)
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
