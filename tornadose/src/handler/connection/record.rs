//! A connection as logs and metrics show it: how it opened, its gaps, why it closed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::message::Message;
use crate::metrics;
use crate::store::end::EndReason;
use crate::store::gap::Gap;
use crate::store::ledger::Balance;
use crate::store::reader::Reader;

/// Why a connection closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// The client left.
    Left,
    /// The client did not answer a ping.
    Silent,
    /// The client took no bytes for too long.
    Stalled,
    /// The client broke the protocol.
    Violation,
    /// A hook refused the connection, or a message of the client.
    Refused,
    /// A hook panicked.
    Panicked,
    /// A hook took too long.
    TimedOut,
    /// The hook `load` returned a message that the connection cannot receive.
    InvalidMessage,
    /// The connection reached its maximum age.
    MaxAge,
    /// The connection did not close in time after it was told to.
    Aborted,
    /// Its reader ended.
    Ended(EndReason),
}

impl CloseReason {
    fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Silent => "silent",
            Self::Stalled => "stalled",
            Self::Violation => "violation",
            Self::Refused => "refused",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed_out",
            Self::InvalidMessage => "invalid_message",
            Self::MaxAge => "max_age",
            Self::Aborted => "aborted",
            Self::Ended(end) => end.name(),
        }
    }
}

/// Why a connection closes, and the code of a WebSocket's close frame. The first value is kept.
#[derive(Clone, Default)]
pub(crate) struct CloseReasonCell(Arc<OnceLock<(CloseReason, Option<u16>)>>);

impl CloseReasonCell {
    pub(crate) fn set(&self, reason: CloseReason, code: Option<u16>) {
        self.0.get_or_init(|| (reason, code));
    }
}

/// The transport of a connection, in one byte of each.
#[derive(Clone, Copy)]
pub(crate) enum Transport {
    Sse,
    Ws,
}

impl Transport {
    /// Its name in logs and metrics.
    fn name(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::Ws => "ws",
        }
    }
}

/// Logs and counts one connection, from when it opens until it is closed.
pub(crate) struct ConnectionRecord {
    transport: Transport,
    number: u64,
    /// Whether the connection owns its socket.
    is_detached: bool,
    /// Whether it was logged that a reply is not encoded: the client can repeat its ask as often as it likes.
    reply_is_logged: AtomicBool,
    /// How many messages from elsewhere were written.
    loaded: u32,
    close_reason: CloseReasonCell,
}

impl ConnectionRecord {
    pub(crate) fn open<M: Message>(kind: Transport, number: u64, reader: &Reader<M>) -> Self {
        let transport = kind.name();
        let (channel, keys) = (M::CHANNEL, reader.key_count());
        tracing::debug!(target: "tornadose", transport, number, channel, keys, "connection opened");
        if let Some(outcome) = reader.resume_outcome() {
            tracing::debug!(target: "tornadose", transport, number, outcome = outcome.name(), "connection resumed");
        }
        metrics::opened(transport);
        Self {
            transport: kind,
            number,
            is_detached: false,
            reply_is_logged: AtomicBool::new(false),
            loaded: 0,
            close_reason: CloseReasonCell::default(),
        }
    }

    /// Why the connection closes. If nothing is set there, the client left.
    pub(crate) fn close_reason(&self) -> &CloseReasonCell {
        &self.close_reason
    }

    /// Marks the connection as one that owns its socket.
    pub(crate) fn mark_detached(&mut self) {
        if !std::mem::replace(&mut self.is_detached, true) {
            metrics::detached();
        }
    }

    pub(crate) fn log_gap(&self, Gap { reason, missed }: Gap) {
        let (transport, number) = (self.transport.name(), self.number);
        tracing::debug!(target: "tornadose", transport, number, %reason, missed, "gap reported");
    }

    pub(crate) fn log_panic(&self) {
        let (transport, number) = (self.transport.name(), self.number);
        tracing::error!(target: "tornadose", transport, number, "hook panicked");
    }

    /// Counts messages from elsewhere that were written.
    pub(crate) fn count_loaded(&mut self, messages: u32) {
        self.loaded = self.loaded.saturating_add(messages);
    }

    /// Logs and counts that the hook `load` returned a message which the connection cannot receive.
    pub(crate) fn log_invalid_message(&self, reason: &'static str) {
        let (transport, number) = (self.transport.name(), self.number);
        tracing::error!(target: "tornadose", transport, number, reason, "loaded message invalid");
        metrics::hook_failed("load", "invalid_message");
    }

    /// Logs, once per connection, that a reply cannot be encoded.
    pub(crate) fn log_reply_not_encoded(&self, type_name: &'static str) {
        let (transport, number) = (self.transport.name(), self.number);
        if self.reply_is_logged.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::warn!(target: "tornadose", transport, number, type_name, "reply not encoded");
    }

    /// Logs and counts the close, and returns its reason and code. `balance` is called only when it is logged.
    pub(crate) fn log_close(&self, balance: impl FnOnce() -> Balance) -> (&'static str, Option<u16>) {
        let (transport, number, detached) = (self.transport.name(), self.number, self.is_detached);
        let (reason, code) = self.close_reason.0.get().copied().unwrap_or((CloseReason::Left, None));
        let reason = reason.name();
        if tracing::enabled!(target: "tornadose", tracing::Level::DEBUG) {
            // Left out where nothing was loaded.
            let loaded = (self.loaded > 0).then_some(self.loaded);
            let balance @ Balance { owed, delivered, filtered, conflated, missed, unread, .. } = balance();
            let (ephemeral_missed, summed) = (balance.logged_ephemeral_missed(), balance.logged_summed());
            tracing::debug!(
                target: "tornadose",
                transport, number, reason, code, detached, owed, delivered, filtered, conflated, missed,
                ephemeral_missed, summed, unread, loaded, "connection closed"
            );
        }
        metrics::closed(transport, reason, detached);
        (reason, code)
    }
}
