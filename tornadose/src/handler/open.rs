//! Opening a connection: who may open it, and what it begins with. Both transports begin here.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use bytes::BytesMut;
use futures_util::FutureExt;
use salvo::conn::ConnCtrl;
use salvo::http::StatusError;
use salvo::{Depot, Request};

use crate::handler::builder::StreamHandler;
use crate::handler::connection::catch_drop::Guest;
use crate::handler::connection::handover::{ConnectionHandle, ConnectionLookup};
use crate::handler::connection::registry::{Connections, LAST_WORDS, Seat, Seats};
use crate::handler::connection::span::Visit;
use crate::handler::feed::Feed;
use crate::handler::request;
use crate::message::Keys;
use crate::store::reader::{Reader, ReaderOptions};
use crate::subscriber::{KeyOf, Subscriber};

/// How a request came out, when no stream was opened.
pub(crate) enum Answer {
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
pub(crate) struct Admitted<S: Subscriber> {
    pub(crate) subscriber: Guest<S>,
    pub(crate) keys: Keys<KeyOf<S>>,
}

/// What both transports open with.
pub(crate) struct Opening<S: Subscriber> {
    pub(crate) admitted: Admitted<S>,
    pub(crate) number: u64,
    pub(crate) seats: Seats,
}

impl<S: Subscriber> StreamHandler<S> {
    /// Reads the fields and asks the subscriber. A panic in it is answered 500, and ends nothing else.
    pub(crate) async fn admit(&self, req: &Request, depot: &Depot) -> Result<Admitted<S>, StatusError> {
        let asked = AssertUnwindSafe(async {
            let mut subscriber = S::from_request(req, depot)?;
            subscriber.authorize().await?;
            let keys = subscriber.keys();
            Ok(Admitted { subscriber: Guest::new(subscriber), keys })
        });
        asked.catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!(target: "tornadose", "a hook panicked before the head; the request is answered 500");
            Err(StatusError::internal_server_error())
        })
    }

    /// A seat among the connections of the handler, and of the server when it is ours. Without one, the connection's number.
    pub(crate) fn open(&self, req: &Request, admitted: Admitted<S>) -> Result<Opening<S>, u64> {
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

    pub(crate) fn reader(&self, keys: Keys<KeyOf<S>>, req: &Request) -> Reader<S::Message> {
        let terms = ReaderOptions { replay: self.settings.options.replay, is_connection: true };
        Reader::open(self.store.shared(), keys, request::resume(req), terms)
    }

    pub(crate) fn feed(&self, reader: Reader<S::Message>, visit: Visit, prologue: BytesMut) -> Feed<S::Message> {
        Feed::new(reader, visit, self.settings.options.lag, prologue)
    }
}

/// Returns the connection of this request if its socket can be given away.
pub(crate) fn claim_connection(req: &Request) -> Option<Arc<ConnectionHandle>> {
    req.extensions().get::<ConnectionLookup>()?.claim(req.extensions().get::<ConnCtrl>()?)
}
