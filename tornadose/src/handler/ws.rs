//! WebSocket: how a connection opens. [`session`] serves it once it is upgraded.

pub(crate) mod upgrade;
mod end;
mod timers;
mod hook;
mod watch;
pub(crate) mod session;

use std::sync::Arc;
use std::task::Waker;

use hyper::upgrade::OnUpgrade;
use salvo::conn::ConnCtrl;
use salvo::http::header::{
    CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use salvo::http::{StatusCode, StatusError};
use salvo::{Request, Response};
use tokio::sync::Semaphore;

use crate::handler::connection::catch_drop::CatchDrop;
use crate::handler::connection::control::{BodyControl, TaskControl};
use crate::handler::connection::io::SocketIo;
use crate::handler::connection::record::{ConnectionRecord, Transport};
use crate::handler::connection::registry::Permits;
use crate::handler::connection::timers::Timeouts;
use crate::handler::connection::wake_source::WakeSource;
use crate::handler::endpoint::Endpoint;
use crate::handler::feed::Feed;
use crate::handler::feed::format::Ws;
use crate::handler::lifecycle::HookName;
use crate::handler::lifecycle::opening::{AfterOpened, HeldPermits, Opening};
use crate::handler::load::loading::Loading;
use crate::handler::load::loads::Loads;
use crate::handler::open::{Admission, Authorized, Rejection, claim_socket};
use crate::handler::origin::OriginRefusal;
use crate::handler::request::{self, BrokenHandshake, UpgradeError};
use crate::handler::served::Served;
use crate::handler::watch::watches::Watches;
use crate::handler::watch::watching::Watching;
use crate::handler::ws::end::{ended, not_opened};
use crate::handler::ws::session::{Upgrade, WsSession, close_socket};
use crate::handler::ws::upgrade::{PendingUpgrade, UpgradedIo, take_upgraded};
use crate::message::Message;
use crate::store::end::EndReason;
use crate::store::registry::kind::ReaderKind;
use crate::task;
use crate::wire::ws::decoder::Decoder;

impl<M: Message> Endpoint<M> {
    /// Checks a handshake before it is authorized. Returns what `sec-websocket-accept` is answered.
    pub(crate) fn check_handshake(&self, req: &Request, res: &mut Response) -> Result<String, Rejection> {
        let accept = request::accept_key(req.headers()).map_err(|error| match error {
            UpgradeError::Version => upgrade_required(res, "expected `sec-websocket-version: 13`"),
            UpgradeError::Malformed(brief) => StatusError::bad_request().brief(brief).into(),
        })?;
        self.settings.origins.check(req.headers(), req.uri().authority()).map_err(|refusal| {
            let OriginRefusal { brief, origin, host } = refusal;
            tracing::debug!(target: "tornadose", reason = "origin", origin, host, "handshake rejected");
            StatusError::forbidden().brief(brief)
        })?;
        Ok(accept)
    }

    pub(crate) async fn serve_ws(
        &self,
        accept: String,
        authorized: Authorized<M>,
        req: &mut Request,
        res: &mut Response,
    ) -> Result<(), Rejection> {
        // A connection that watches does not end when its keys are finished.
        if !self.kind.watches() && self.has_seen_all(req, &authorized.keys, "ws") {
            // A page does not see the status of a handshake, but the code of a close frame.
            let upgrade = take_upgrade(req)?;
            self.accept_upgrade(req, res, accept);
            tokio::spawn(close_finished(upgrade, self.settings.options.max_message));
            return Ok(());
        }
        let Admission { authorized: Authorized { subscriber, keys }, number, permits, hook_permits } =
            self.admit(req, authorized).map_err(|_| unavailable())?;
        let upgrade = take_upgrade(req)?;
        let mut reader = self.reader(ReaderKind::Ws, keys, req);
        if self.kind.watches() {
            reader.allow_key_changes();
        }
        let record = ConnectionRecord::open(Transport::Ws, number, &reader);
        let feed = self.feed(reader, record);
        let hooks = self.hooks;
        if self.kind.loads() || hooks.has_opened || hooks.has_closed {
            let held = HeldPermits::new(permits, hook_permits);
            let opening = Opening { subscriber, hooks, store: self.store.clone(), transport: "ws", number, held };
            return Box::pin(self.open_ws_with_hooks(WsOpening { upgrade, accept, opening, feed }, req, res)).await;
        }
        let timeouts = self.settings.timeouts(number);
        let upgrade = self.pending_upgrade(upgrade, req, &feed, number);
        self.accept_upgrade(req, res, accept);

        let subscriber = CatchDrop::new(subscriber.into_inner() as Box<dyn Served<M>>);
        let subscriber = match self.watches(&feed) {
            Some(watches) => watching(subscriber, watches),
            None => subscriber,
        };
        self.spawn_session(upgrade, subscriber, feed, timeouts, permits);
        Ok(())
    }

    /// Spawns the task of a connection without hooks at its opening.
    fn spawn_session(
        &self,
        upgrade: PendingUpgrade,
        subscriber: CatchDrop<dyn Served<M>>,
        feed: Feed<M>,
        timeouts: Timeouts,
        permits: Permits,
    ) {
        let (reader, close_reason) = (feed.reader().handle(), feed.close_reason().clone());
        let registration = permits.registration();
        let session = Box::new(WsSession::new(subscriber, self.store.clone(), feed, timeouts, permits));
        // Not boxed, because it is polled for each message.
        let task = tokio::spawn(session.run(Upgrade::Pending(upgrade)));
        registration.set_control(TaskControl { reader, close_reason, task: task.abort_handle() });
    }

    /// Returns what a connection begins with whose client watches keys.
    fn watches(&self, feed: &Feed<M>) -> Option<Watches<M>> {
        let options = &self.settings.options;
        self.kind.watches().then(|| Watches::new(feed.reader(), options.max_keys, options.replay))
    }

    /// Runs the hook `load`, accepts the upgrade, and lets the session begin after the hook `opened`.
    async fn open_ws_with_hooks(
        &self,
        parts: WsOpening<M>,
        req: &Request,
        res: &mut Response,
    ) -> Result<(), Rejection> {
        let WsOpening { upgrade, accept, opening, mut feed } = parts;
        let number = opening.number;
        let (reader, close_reason) = (feed.reader().handle(), feed.close_reason().clone());
        let mut loading = None;
        if self.kind.loads() {
            let conn_ctrl = req.extensions().get::<ConnCtrl>().cloned();
            let control = BodyControl { reader: feed.reader().handle(), close_reason: close_reason.clone(), conn_ctrl };
            opening.registration(feed.reader().handle()).set_control(control);
            let name = HookName { hook: "load", transport: "ws", number };
            let loads = Box::pin(self.load_first::<Ws>(&mut feed, &*opening.subscriber, name)).await;
            let loads = loads.map_err(|error| {
                close_reason.set(error.close_reason(), None);
                error.into_rejection(|| unavailable().into())
            })?;
            loading = Some((loads, Arc::clone(&self.load_turns), name));
        }
        let timeouts = self.settings.timeouts(number);
        let upgrade = self.pending_upgrade(upgrade, req, &feed, number);
        self.accept_upgrade(req, res, accept);
        let registration = opening.registration(feed.reader().handle());
        let watches = self.watches(&feed);
        let task = task::spawn(Box::pin(run_with_hooks(upgrade, opening, feed, timeouts, loading, watches)));
        registration.set_control(TaskControl { reader, close_reason, task: task.abort_handle() });
        Ok(())
    }

    /// Takes what the session needs of the connection.
    fn pending_upgrade(&self, upgrade: OnUpgrade, req: &Request, feed: &Feed<M>, number: u64) -> PendingUpgrade {
        let handle = claim_socket(req, "ws");
        if let Some(conn_ctrl) = req.extensions().get::<ConnCtrl>() {
            conn_ctrl.relax_timeouts();
        }
        let socket_waker = feed.reader().waker_for(WakeSource::Socket);
        PendingUpgrade { upgrade, handle, max_message: self.settings.options.max_message, socket_waker, number }
    }
}

/// A connection with hooks, before its response head.
struct WsOpening<M: Message> {
    upgrade: OnUpgrade,
    accept: String,
    opening: Opening<M>,
    feed: Feed<M>,
}

fn watching<M: Message>(subscriber: CatchDrop<dyn Served<M>>, watches: Watches<M>) -> CatchDrop<dyn Served<M>> {
    CatchDrop::new(Box::new(Watching::new(subscriber, watches)))
}

/// The parts of a session that loads.
type LoadParts<M> = (Loads<M>, Arc<Semaphore>, HookName);

fn unavailable() -> StatusError {
    StatusError::service_unavailable().brief("the server is closing or full: try again later")
}

impl<M: Message> Endpoint<M> {
    /// Writes the head of the response to a valid handshake.
    fn accept_upgrade(&self, req: &Request, res: &mut Response, accept: String) {
        let headers = res.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        let accept = HeaderValue::try_from(accept).expect("base64 fits a header");
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        if let Some(protocol) = request::protocol(req.headers(), &self.settings.protocols)
            && let Ok(protocol) = HeaderValue::from_str(protocol)
        {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        res.status_code(StatusCode::SWITCHING_PROTOCOLS);
    }
}

fn take_upgrade(req: &mut Request) -> Result<OnUpgrade, StatusError> {
    let upgrade = req.extensions_mut().remove::<OnUpgrade>();
    upgrade.ok_or_else(|| StatusError::bad_request().brief("this connection cannot become a WebSocket"))
}

/// Closes the connection of a client that has seen all that there will be.
async fn close_finished(upgrade: OnUpgrade, max_message: usize) {
    // A client that leaves before has what it came for.
    let Ok(upgraded) = upgrade.await else { return };
    let upgraded = take_upgraded(upgraded, None);
    let mut io = SocketIo::new(upgraded.socket, Decoder::new(max_message), Waker::noop().clone());
    io.use_task_waker();
    close_socket(Box::new(io), ended(EndReason::Finished)).await;
}

/// Runs the hook `opened` once the connection is upgraded, and then the session.
async fn run_with_hooks<M: Message>(
    upgrade: PendingUpgrade,
    opening: Opening<M>,
    mut feed: Feed<M>,
    timeouts: Timeouts,
    loading: Option<LoadParts<M>>,
    watches: Option<Watches<M>>,
) {
    let Some(UpgradedIo { mut io, is_detached }) = upgrade.complete().await else { return };
    if is_detached {
        feed.mark_detached();
    }
    let store = opening.store.clone();
    match opening.complete().await {
        AfterOpened { outcome: Ok(subscriber), permits: Some(permits) } => {
            feed.reader().mark_active();
            let subscriber = match loading {
                Some((loads, turns, name)) => {
                    CatchDrop::new(Box::new(Loading::new(subscriber, loads, store.clone(), turns, name)) as Box<_>)
                }
                None => subscriber,
            };
            let subscriber = match watches {
                Some(watches) => watching(subscriber, watches),
                None => subscriber,
            };
            Box::new(WsSession::new(subscriber, store, feed, timeouts, permits)).run(Upgrade::Done(io)).await;
        }
        // The task is aborted, and the subscriber's `closed` hook follows.
        AfterOpened { outcome: Ok(_), permits: None } => {}
        AfterOpened { outcome: Err(error), permits } => {
            let end = not_opened(error);
            let (reason, code) = end.close_reason();
            feed.close_reason().set(reason, code);
            // No reader wakes this task any more, and the socket wakes it through the reader unless told otherwise.
            io.use_task_waker();
            close_socket(io, end).await;
            drop((feed, permits));
        }
    }
}

/// Rejects a handshake that a proxy did not pass in full. A stream instead would leave a browser's `WebSocket`
/// without a reason.
pub(crate) fn reject_broken_handshake(res: &mut Response, broken: BrokenHandshake) -> Rejection {
    let (reason, brief) = match broken {
        BrokenHandshake::HttpVersion => (
            "http version",
            "the handshake of a WebSocket has not arrived over HTTP/1.1: let the proxy in between use HTTP/1.1 to this server",
        ),
        BrokenHandshake::NoUpgrade => (
            "no upgrade header",
            "the handshake of a WebSocket has arrived without `upgrade: websocket`: let the proxy in between pass the \
             headers `upgrade` and `connection`",
        ),
        BrokenHandshake::NoConnection => (
            "no connection header",
            "the handshake of a WebSocket has arrived without `connection: upgrade`: let the proxy in between pass the \
             headers `upgrade` and `connection`",
        ),
    };
    tracing::debug!(target: "tornadose", reason, "handshake rejected");
    upgrade_required(res, brief)
}

/// Rejects a request that has to be an upgrade, and tells the client how.
pub(crate) fn upgrade_required(res: &mut Response, brief: &'static str) -> Rejection {
    let headers = res.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    match StatusError::from_code(StatusCode::UPGRADE_REQUIRED) {
        Some(error) => error.brief(brief).into(),
        None => StatusError::bad_request().brief(brief).into(),
    }
}
