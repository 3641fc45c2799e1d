//! The end of a reader: its reason, and how far the reader reads before it.

use std::time::Duration;

use tokio::time::Instant;

use crate::id::Id;

/// How long a reader that ends may take to read what was submitted before.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The reason why a reader ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// The store was closed.
    Closed,
    /// The server that carries the connection stops.
    Stopping,
    /// All its keys are finished.
    Finished,
    /// `Store::disconnect` was called for the reader's key.
    Disconnected,
    /// It lagged, and its subscriber ends connections that lag.
    Lagged,
}

impl EndReason {
    /// Its name in logs and metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Stopping => "stopping",
            Self::Finished => "finished",
            Self::Disconnected => "disconnected",
            Self::Lagged => "lagged",
        }
    }
}

/// The end that a reader was told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) reason: EndReason,
    pub(crate) bound: Option<EndBound>,
}

/// The last message that a reader gets before its end, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndBound {
    /// Messages up to this id are read, and none above it.
    pub(crate) through: Id,
    /// The reader ends at this time, wherever it is then.
    pub(crate) due_at: Instant,
}

impl End {
    /// Returns the end of a reader that first reads everything that the log has.
    pub(crate) fn after_everything(reason: EndReason) -> Self {
        Self { reason, bound: None }
    }

    /// Returns the end of a reader that is told now, and first reads the messages up to this id.
    pub(crate) fn after(through: Id, reason: EndReason) -> Self {
        Self { reason, bound: Some(EndBound { through, due_at: Instant::now() + DRAIN_TIMEOUT }) }
    }
}

/// The end of a reader, as a connection sees it that cannot write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndState {
    /// The reader first reads what it is still owed.
    Draining(EndReason),
    /// Nothing more is read.
    Due(EndReason),
}
