//! A connection over WebSocket: a task that writes its feed's messages and receives the client's.
//!
//! # Ordering
//!
//! Texts of the client are received one at a time. The reply to an ask comes after what was being written when the hook
//! returned, and before every message that was submitted while the hook ran.
//!
//! # Lagging
//!
//! While the socket takes no bytes, nothing is read from the log. A socket that takes none for too long is aborted.
//!
//! # Closing
//!
//! Either side closes with a close frame, and the server waits for the client's for a while. When the client leaves,
//! the task ends, and the subscriber is dropped.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use tokio::time::timeout;

use crate::handler::connection::catch_drop::CatchDrop;
use crate::handler::connection::io::{Disconnected, SocketIo};
use crate::handler::connection::pump::{self, PumpEnd};
use crate::handler::connection::record::{CloseReason, ConnectionRecord};
use crate::handler::connection::registry::{CLOSE_TIMEOUT, Permits};
use crate::handler::connection::timers::Timeouts;
use crate::handler::connection::wake_source::WakeSource;
use crate::handler::feed::Feed;
use crate::handler::feed::format::Ws;
use crate::handler::served::{ConnectionKind, Served};
use crate::handler::ws::end::{SessionEnd, close, ended, panicked};
use crate::handler::ws::hook;
use crate::handler::ws::timers::WsTimers;
use crate::handler::ws::upgrade::{PendingUpgrade, UpgradedIo};
use crate::message::Message;
use crate::store::Store;
use crate::subscriber::close::{Close, CloseCode, ReceiveError};
use crate::subscriber::reply::{NotEncoded, Reply};
use crate::wire::ws;
use crate::wire::ws::control::{self, ClientText};
use crate::wire::ws::decoder::{Decoder, Inbound, Violation};

/// A connection over WebSocket.
#[repr(C)]
pub(crate) struct WsSession<M: Message> {
    // An aborted task drops its fields in this order: the subscriber is dropped first, and the permits are released
    // last.
    pub(super) subscriber: CatchDrop<dyn Served<M>>,
    kind: ConnectionKind,
    pub(super) store: Store<M>,
    pub(super) timers: WsTimers,
    pub(super) feed: Feed<M>,
    permits: Permits,
}

/// The connection of a session that begins.
pub(crate) enum Upgrade {
    Pending(PendingUpgrade),
    Done(Box<SocketIo<Decoder>>),
}

/// What a session handles outside its poll loop.
enum SessionEvent {
    Text(String),
    End(SessionEnd),
}

impl<M: Message> WsSession<M> {
    pub(crate) fn new(
        subscriber: CatchDrop<dyn Served<M>>,
        store: Store<M>,
        feed: Feed<M>,
        timeouts: Timeouts,
        permits: Permits,
    ) -> Self {
        let kind = subscriber.kind();
        Self { subscriber, kind, store, timers: WsTimers::new(timeouts), feed, permits }
    }

    /// Serves until one side ends it, then shuts down.
    ///
    /// A task is as large as its largest state, and moved values count twice. So the session and its socket are
    /// boxed, and so are rare states: a hook that runs, and the shutdown.
    ///
    /// It waits for the upgrade itself, because each future around it would be polled for each message.
    pub(crate) async fn run(mut self: Box<Self>, upgrade: Upgrade) {
        let mut io = match upgrade {
            Upgrade::Done(io) => io,
            Upgrade::Pending(upgrade) => {
                let Some(UpgradedIo { io, is_detached }) = Box::pin(upgrade.complete()).await else { return };
                if is_detached {
                    self.feed.mark_detached();
                }
                io
            }
        };
        let end = loop {
            match poll_fn(|cx| self.poll_event(&mut io, cx)).await {
                SessionEvent::End(end) => break end,
                SessionEvent::Text(text) => {
                    if let Err(end) = Box::pin(self.receive(text, &mut io)).await {
                        break end;
                    }
                }
            }
        };
        Box::pin(self.shut_down(io, end)).await;
    }

    async fn shut_down(self: Box<Self>, mut io: Box<SocketIo<Decoder>>, end: SessionEnd) {
        let Self { subscriber, feed, permits: _permits, .. } = *self;
        // The subscriber's `closed` hook does not wait for the close frame. A reader that the server ends does, because
        // `Store::closed` waits for it.
        drop(subscriber);
        let (reason, code) = end.close_reason();
        feed.close_reason().set(reason, code);
        let feed = matches!(end, SessionEnd::Close(..)).then_some(feed);
        // The reader has no waker registered any more, through which the socket could wake this task.
        io.use_task_waker();
        close_socket(io, end).await;
        drop(feed);
    }

    fn poll_event(&mut self, io: &mut SocketIo<Decoder>, cx: &mut Context<'_>) -> Poll<SessionEvent> {
        loop {
            let Self { subscriber, feed, timers, .. } = self;
            match pump::poll::<Ws, M, _>(&mut **subscriber, feed, timers, io, cx) {
                Poll::Ready(PumpEnd::Disconnected) => {
                    return Poll::Ready(SessionEvent::End(SessionEnd::Dropped(CloseReason::Left)));
                }
                Poll::Ready(PumpEnd::Ended(end)) => return Poll::Ready(SessionEvent::End(ended(end))),
                Poll::Ready(PumpEnd::NotLoaded(reason)) => {
                    return Poll::Ready(SessionEvent::End(close(reason, CloseCode::INTERNAL_ERROR, "not loaded")));
                }
                Poll::Ready(PumpEnd::Panicked) => return Poll::Ready(SessionEvent::End(panicked())),
                Poll::Pending => {}
            }
            if self.feed.reader().take_wake(WakeSource::Socket) {
                io.allow_read();
            }
            match self.poll_inbound(io, cx) {
                Poll::Ready(Err(Disconnected)) => {
                    return Poll::Ready(SessionEvent::End(SessionEnd::Dropped(CloseReason::Left)));
                }
                Poll::Ready(Ok(Err(violation))) => {
                    return Poll::Ready(SessionEvent::End(SessionEnd::ProtocolError(violation)));
                }
                Poll::Ready(Ok(Ok(inbound))) => match inbound {
                    Inbound::Text(text) => {
                        if let Some(text) = self.hold_text(text) {
                            return Poll::Ready(SessionEvent::Text(text));
                        }
                    }
                    Inbound::Ping(payload) => ws::pong(io.control_bytes(), &payload),
                    Inbound::Pong => {}
                    Inbound::Close(code) => return Poll::Ready(SessionEvent::End(SessionEnd::ClosedByPeer(code))),
                },
                Poll::Pending => {
                    if let Some(end) = ready!(self.timers.poll(&mut self.feed, io)) {
                        return Poll::Ready(SessionEvent::End(end));
                    }
                }
            }
        }
    }

    /// Returns what the client sends next. While a text waits for a load, or keys for their pasts, only reads ahead.
    #[inline]
    fn poll_inbound(
        &mut self,
        io: &mut SocketIo<Decoder>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Result<Inbound, Violation>, Disconnected>> {
        if self.kind.watches() && self.subscriber.watches_mut().is_some_and(|watches| watches.is_busy()) {
            return io.poll_read_ahead(cx).map(Err);
        }
        if self.kind.loads()
            && let Some(loads) = self.subscriber.loads_mut()
            && loads.holds_text()
        {
            return match loads.take_text() {
                Some(text) => Poll::Ready(Ok(Ok(Inbound::Text(text)))),
                None => io.poll_read_ahead(cx).map(Err),
            };
        }
        io.poll_inbound(cx)
    }

    /// Keeps a text back that comes while the connection loads.
    #[inline]
    fn hold_text(&mut self, text: String) -> Option<String> {
        if !self.kind.loads() {
            return Some(text);
        }
        match self.subscriber.loads_mut() {
            Some(loads) => loads.hold_text(text),
            None => Some(text),
        }
    }

    /// Runs the subscriber's hook for a text or the data of an ask, or does what a control text asks for.
    async fn receive(&mut self, text: String, io: &mut SocketIo<Decoder>) -> Result<(), SessionEnd> {
        let (ask, text) = match control::parse(&text) {
            ClientText::Plain => (None, &*text),
            ClientText::Ask { number, data } => (Some(number), data),
            ClientText::Watch { keys, since } if self.kind.watches() => {
                return self.watch(keys, since, io).await;
            }
            ClientText::Unwatch { keys } if self.kind.watches() => {
                return self.unwatch(keys, io).await;
            }
            ClientText::Watch { .. } | ClientText::Unwatch { .. } => {
                ws::error(io.control_bytes(), None, "keys cannot be watched here");
                return Ok(());
            }
            ClientText::Invalid { number, reason } => {
                ws::error(io.control_bytes(), number, reason);
                return Ok(());
            }
        };
        let Self { subscriber, store, feed, timers, .. } = self;
        match hook::run(subscriber.receive(text, store), feed, timers, io).await? {
            Some(received) => answer(ask, received, feed.record(), io),
            None => Ok(()),
        }
    }
}

/// Writes what the hook's result means for the client. The value that it returns for a text that is no ask is dropped.
fn answer(
    ask: Option<u64>,
    received: Result<Option<Reply>, ReceiveError>,
    record: &ConnectionRecord,
    io: &mut SocketIo<Decoder>,
) -> Result<(), SessionEnd> {
    match (ask, received) {
        (None, Ok(_)) => {}
        (Some(ask), Ok(Some(reply))) => match reply.json() {
            Ok(json) => ws::reply(io.control_bytes(), ask, json),
            Err(NotEncoded { type_name }) => {
                record.log_reply_not_encoded(type_name);
                ws::error(io.control_bytes(), Some(ask), "the reply cannot be written as JSON");
            }
        },
        (Some(ask), Ok(None)) => ws::error(io.control_bytes(), Some(ask), "the server does not reply to this"),
        (ask, Err(ReceiveError::Report(reason))) => ws::error(io.control_bytes(), ask, &reason),
        (_, Err(ReceiveError::Close(close))) => return Err(SessionEnd::Close(CloseReason::Refused, close)),
    }
    Ok(())
}

/// Writes the close frame after what is being written, and closes the socket once the client has answered, or after a
/// timeout.
pub(super) async fn close_socket(mut io: Box<SocketIo<Decoder>>, end: SessionEnd) {
    match &end {
        SessionEnd::Dropped(_) => return,
        SessionEnd::ClosedByPeer(code) => ws::close(io.control_bytes(), *code, ""),
        SessionEnd::ProtocolError(Violation { code, reason }) => ws::close(io.control_bytes(), Some(*code), reason),
        SessionEnd::Close(_, Close { code, reason }) => ws::close(io.control_bytes(), Some(code.as_u16()), reason),
    }
    let closing = async {
        if poll_fn(|cx| io.poll_written(cx)).await.is_err() {
            return;
        }
        if matches!(end, SessionEnd::Close(..)) {
            poll_fn(|cx| io.poll_close(cx)).await;
        }
        if poll_fn(|cx| io.poll_shutdown(cx)).await.is_ok() && matches!(end, SessionEnd::ProtocolError(_)) {
            // Input after the violation is discarded. Unread bytes would reset the connection, and the close frame
            // would be lost.
            let mut all = usize::MAX;
            poll_fn(|cx| io.poll_drain(&mut all, cx)).await;
        }
    };
    if timeout(CLOSE_TIMEOUT, closing).await.is_err() {
        tracing::debug!(target: "tornadose", transport = "ws", "close timed out");
    }
}
