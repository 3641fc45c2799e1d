//! A connection as logs and counters see it: how it opened, what it lost, why it closed. What it sends is `feed`'s affair.

use std::sync::{Arc, OnceLock};

use crate::message::Message;
use crate::metrics;
use crate::store::gap::Gap;
use crate::store::ledger::Balance;
use crate::store::reader::Reader;
use crate::store::registry::EndReason;

/// Why a connection closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The client left.
    Left,
    /// The client did not answer a ping.
    Silent,
    /// The client took nothing of what it is owed.
    Stalled,
    /// The client broke the protocol.
    Violation,
    /// A hook refused a message of the client.
    Refused,
    /// A hook panicked.
    Panicked,
    /// It was declared to last no longer.
    MaxAge,
    /// It was told to end and did not.
    Aborted,
    /// Its reader ended.
    Ended(EndReason),
}

impl Why {
    fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Silent => "silent",
            Self::Stalled => "stalled",
            Self::Violation => "violation",
            Self::Refused => "refused",
            Self::Panicked => "panicked",
            Self::MaxAge => "max_age",
            Self::Aborted => "aborted",
            Self::Ended(end) => end.name(),
        }
    }
}

/// Why a connection closes, and the code that a WebSocket's close frame carries. The first reason stands.
#[derive(Clone, Default)]
pub(crate) struct Closing(Arc<OnceLock<(Why, Option<u16>)>>);

impl Closing {
    pub(crate) fn because(&self, why: Why, code: Option<u16>) {
        self.0.get_or_init(|| (why, code));
    }
}

/// A connection's number and transport, from its opening until it is gone.
pub(crate) struct Visit {
    transport: &'static str,
    number: u64,
    closing: Closing,
}

impl Visit {
    pub(crate) fn opens<M: Message>(transport: &'static str, number: u64, reader: &Reader<M>) -> Self {
        let (channel, keys) = (M::CHANNEL, reader.key_count());
        tracing::debug!(target: "tornadose", transport, number, channel, keys, "connection opens");
        if let Some(start) = reader.resume_outcome() {
            tracing::debug!(target: "tornadose", transport, number, known = start.name(), "connection resumes");
        }
        metrics::opened(transport);
        Self { transport, number, closing: Closing::default() }
    }

    /// Where to say why it closes. Without a word it is the client that left.
    pub(crate) fn closing(&self) -> &Closing {
        &self.closing
    }

    pub(crate) fn has_gap(&self, Gap { reason, missed }: Gap) {
        let Self { transport, number, .. } = *self;
        tracing::debug!(target: "tornadose", transport, number, %reason, missed, "connection has a gap");
    }

    pub(crate) fn panics(&self) {
        let Self { transport, number, .. } = *self;
        tracing::error!(target: "tornadose", transport, number, "a hook panicked; its connection ends");
    }

    /// The connection is gone. The `balance` is asked for only when somebody listens.
    pub(crate) fn closes(&self, balance: impl FnOnce() -> Balance) {
        let Self { transport, number, .. } = *self;
        let (why, code) = self.closing.0.get().copied().unwrap_or((Why::Left, None));
        let why = why.name();
        if tracing::enabled!(target: "tornadose", tracing::Level::DEBUG) {
            let Balance { owed, delivered, filtered, conflated, missed, unread } = balance();
            tracing::debug!(
                target: "tornadose",
                transport, number, why, code, owed, delivered, filtered, conflated, missed, unread,
                "connection closes"
            );
        }
        metrics::closed(transport, why);
    }
}
