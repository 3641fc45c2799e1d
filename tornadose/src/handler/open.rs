//! Opens a connection, on either transport: authorization, limits, the reader and the feed.

use std::collections::HashSet;
use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use futures_util::FutureExt;
use salvo::conn::ConnCtrl;
use salvo::http::StatusError;
use salvo::{Depot, Request};
use serde::Serialize;

use crate::handler::builder::StreamHandler;
use crate::handler::connection::attached::AttachedReason;
use crate::handler::connection::catch_drop::CatchDrop;
use crate::handler::connection::record::ConnectionRecord;
use crate::handler::connection::registry::{CLOSE_TIMEOUT, ConnectionPermit, Connections, Permits};
use crate::handler::connection::socket_table::{SocketHandle, SocketLookup};
use crate::handler::endpoint::Endpoint;
use crate::handler::feed::Feed;
use crate::handler::lifecycle::HookPermits;
use crate::handler::request;
use crate::handler::served::ServedWithHooks;
use crate::message::{Keys, Message};
use crate::metrics;
use crate::store::key_json::key_size;
use crate::store::reader::resume::Resume;
use crate::store::reader::{Reader, ReaderOptions};
use crate::store::registry::kind::ReaderKind;
use crate::subscriber::Subscriber;
use crate::subscriber::options::Snapshots;

/// Why a request opens no connection.
pub(crate) enum Rejection {
    Error(StatusError),
    /// The client is to retry later. The response is complete.
    RetryLater,
}

impl From<StatusError> for Rejection {
    fn from(error: StatusError) -> Self {
        Self::Error(error)
    }
}

/// A subscriber that was authorized, and its keys.
pub(crate) struct Authorized<M: Message> {
    pub(crate) subscriber: CatchDrop<dyn ServedWithHooks<M>>,
    pub(crate) keys: Keys<M::Key>,
}

/// A connection that may open.
pub(crate) struct Admission<M: Message> {
    pub(crate) authorized: Authorized<M>,
    pub(crate) number: u64,
    pub(crate) permits: Permits,
    /// Those of the hooks `opened` and `closed`, if the subscriber has one of them.
    pub(crate) hook_permits: Option<HookPermits<M>>,
}

impl<S: Subscriber> StreamHandler<S> {
    /// Reads the subscriber's fields, runs its hook and checks its keys. A panic in these becomes a response with
    /// status 500.
    pub(crate) async fn authorize(
        &self,
        req: &mut Request,
        depot: &Depot,
    ) -> Result<Authorized<S::Message>, StatusError> {
        if S::READS_STORE {
            req.extensions_mut().insert(self.endpoint.store.clone());
        }
        let req = &*req;
        let authorized = AssertUnwindSafe(async {
            let mut subscriber = S::from_request(req, depot)?;
            if S::KEYS_FROM.is_some() {
                // Before the hook, which may ask a database for each key.
                self.endpoint.limit_keys(subscriber.keys(), S::KEYS_FROM)?;
            }
            subscriber.authorize().await?;
            let keys = self.endpoint.limit_keys(subscriber.keys(), S::KEYS_FROM)?;
            if S::WATCH.is_none() && S::KEYS_FROM.is_some() && matches!(&keys, Keys::Set(keys) if keys.is_empty()) {
                return Err(keys_error(S::KEYS_FROM, "expected at least one key"));
            }
            check_keys(&keys, self.endpoint.store.shared().limits.max_key)?;
            Ok(Authorized { subscriber: CatchDrop::new(Box::new(subscriber) as Box<dyn ServedWithHooks<_>>), keys })
        });
        authorized.catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!(target: "tornadose", "hook panicked before the response head");
            Err(StatusError::internal_server_error())
        })
    }
}

impl<M: Message> Endpoint<M> {
    /// Returns the keys, without doubles where there are more of them than a connection may have.
    fn limit_keys(&self, mut keys: Keys<M::Key>, keys_from: Option<&str>) -> Result<Keys<M::Key>, StatusError> {
        let max_keys = self.settings.options.max_keys;
        if let Keys::Set(set) = &mut keys
            && set.len() > max_keys
        {
            let mut seen = HashSet::new();
            // The rest of too many keys need not be looked at.
            set.retain(|key| seen.len() <= max_keys && seen.insert(key.clone()));
            if seen.len() > max_keys {
                return Err(keys_error(keys_from, format_args!("at most {max_keys} keys are allowed")));
            }
        }
        Ok(keys)
    }

    /// Returns whether the client has seen all that there will be: its keys are finished, and it resumes from the last
    /// finish or later.
    pub(crate) fn has_seen_all(&self, req: &Request, keys: &Keys<M::Key>, transport: &'static str) -> bool {
        let Resume::After(id) = request::resume(req) else { return false };
        let has_seen_all = M::CAN_FINISH && self.store.has_seen_all(keys, id);
        if has_seen_all {
            tracing::debug!(target: "tornadose", transport, channel = M::CHANNEL, "finished stream not opened");
            metrics::resumed("finished");
        }
        has_seen_all
    }

    /// Takes the permits of a connection. Without them the error is the connection's number.
    pub(crate) fn admit(&self, req: &Request, authorized: Authorized<M>) -> Result<Admission<M>, u64> {
        self.watch();
        let (number, permit) = self.connections.open(self.settings.options.max_connections);
        let permits = self.permits(permit, req).and_then(|permits| Ok((permits, self.hook_permits(req)?)));
        let (permits, hook_permits) = match permits {
            Ok(permits) => permits,
            Err(reason) => {
                tracing::debug!(target: "tornadose", number, reason, "connection rejected");
                return Err(number);
            }
        };
        Ok(Admission { authorized, number, permits, hook_permits })
    }

    /// Returns the handler's permit together with one of the server, under [`serve`](crate::serve). The error is the
    /// reason to log.
    fn permits(&self, permit: Option<ConnectionPermit>, req: &Request) -> Result<Permits, &'static str> {
        let handler = permit.ok_or("full")?;
        if self.store.is_closed() {
            return Err("closed");
        }
        Ok(Permits { handler, server: server_permit(req)? })
    }

    /// Returns the permits of the subscriber's hooks, if it has any. The error is the reason to log.
    fn hook_permits(&self, req: &Request) -> Result<Option<HookPermits<M>>, &'static str> {
        if !(self.hooks.has_opened || self.hooks.has_closed) {
            return Ok(None);
        }
        // The store may have been closed since the other permits were taken.
        let store = self.store.hook_permit().ok_or("closed")?;
        Ok(Some(HookPermits { _store: store, _server: server_permit(req)? }))
    }

    /// Spawns a task that aborts connections which cannot close by themselves, because their client takes no bytes:
    /// those that stall, and those that are still open some time after their key was disconnected or the store closed.
    fn watch(&self) {
        let (store, stall_timeout) = (self.store.clone(), self.settings.stall_timeout());
        self.connections.ensure_watchdog(|connections| {
            Box::pin(async move {
                let mut closing = pin!(store.closing());
                loop {
                    let mut disconnect = pin!(store.next_disconnect());
                    disconnect.as_mut().enable();
                    let Some(next_check) = connections.upgrade().map(|open| open.abort_overdue(stall_timeout)) else {
                        return;
                    };
                    tokio::select! {
                        biased;
                        () = &mut closing => break,
                        () = disconnect => {}
                        () = tokio::time::sleep_until(next_check) => {}
                    }
                }
                tokio::time::sleep(CLOSE_TIMEOUT).await;
                if let Some(open) = connections.upgrade() {
                    open.abort_all();
                }
            })
        });
    }

    pub(crate) fn reader(&self, kind: ReaderKind, keys: Keys<M::Key>, req: &Request) -> Reader<M> {
        let options = ReaderOptions {
            replay: self.settings.options.replay,
            kind,
            gets_snapshots: self.settings.options.snapshots == Snapshots::Unfiltered,
        };
        Reader::open(self.store.shared(), keys, request::resume(req), options)
    }

    pub(crate) fn feed(&self, reader: Reader<M>, record: ConnectionRecord) -> Feed<M> {
        let feed = Feed::new(reader, record, self.settings.options.lag);
        match self.settings.options.throttle {
            Some(period) => feed.with_throttle(period),
            None => feed,
        }
    }
}

/// Returns a permit of the server that carries the request; `None` when it counts no connections. The error is the reason
/// to log.
fn server_permit(req: &Request) -> Result<Option<ConnectionPermit>, &'static str> {
    let server = req.extensions().get::<Arc<Connections>>();
    server.map(|server| server.open(None).1.ok_or("stopping")).transpose()
}

/// Returns 400, with the name of what the keys were read from.
fn keys_error(keys_from: Option<&str>, problem: impl Display) -> StatusError {
    StatusError::bad_request().brief(format!("{}: {problem}", keys_from.unwrap_or("keys")))
}

/// Checks that messages can have these keys, before the store remembers one of them.
fn check_keys<K: Serialize>(keys: &Keys<K>, max_key: usize) -> Result<(), StatusError> {
    let keys = match keys {
        Keys::All => &[],
        Keys::One(key) => std::slice::from_ref(key),
        Keys::Set(keys) => keys.as_slice(),
    };
    for key in keys {
        let problem = match key_size(key) {
            Ok(size) if size <= max_key => continue,
            Ok(size) => format!("the key takes {size} bytes of JSON: shorten it, at most {max_key} are allowed"),
            Err(_) => "the key cannot be written as JSON".into(),
        };
        return Err(StatusError::bad_request().brief(problem));
    }
    Ok(())
}

/// Returns the socket of this request's connection if it can be given away. If it cannot although the service is
/// wrapped by a [`Handover`](crate::Handover), logs why.
pub(crate) fn claim_socket(req: &Request, transport: &'static str) -> Option<Arc<SocketHandle>> {
    let lookup = req.extensions().get::<SocketLookup>()?;
    let control = req.extensions().get::<ConnCtrl>();
    let claimed = control.map_or(Err(AttachedReason::NotRecognized), |control| lookup.claim(control));
    claimed.inspect_err(|reason| reason.log_once(transport)).ok()
}
