//! What has expired, how old a message is, and whether a store has a task that looks for what expires.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::message::Message;
use crate::metrics;
use crate::store::entry::Entry;

/// How `latest` values expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueExpiry {
    /// The engine says when, in an entry that all processes obey.
    ByEngine,
    /// By the clock of this process, and its readers are told at an offset of this log.
    Told,
    /// By the clock of this process. Its readers are not told, because only the engine gives offsets.
    Untold,
}

/// The messages that have expired. To be dropped outside of the store's lock: that wakes the readers, and drops the messages.
pub(crate) struct Expired<M> {
    pub(super) entries: Vec<Arc<Entry<M>>>,
    pub(super) readers: Vec<Waker>,
    /// How many `latest` values have expired.
    pub(super) values: u64,
}

impl<M> Drop for Expired<M> {
    fn drop(&mut self) {
        self.readers.drain(..).for_each(Waker::wake);
        self.entries.clear();
        metrics::expired(self.values);
    }
}

/// Returns whether messages of this type end by their age.
pub(crate) const fn ends_by_age<M: Message>() -> bool {
    M::QUEUE_TTL.is_some() || M::HAS_LATEST_TTL || M::HAS_EPHEMERAL
}

/// The age of a message when it was received.
#[derive(Clone, Copy)]
pub(crate) struct Age {
    pub(crate) now: Instant,
    pub(crate) age: Duration,
}

impl Age {
    /// Returns the age of a message that is submitted now, if any message of its type expires.
    pub(crate) fn new<M: Message>() -> Option<Self> {
        Self::of::<M>(Duration::ZERO)
    }

    /// Returns the age of a message, if any message of its type expires.
    pub(crate) fn of<M: Message>(age: Duration) -> Option<Self> {
        ends_by_age::<M>().then(|| Self { now: Instant::now(), age })
    }

    pub(super) fn submitted_at(self) -> Instant {
        self.now.checked_sub(self.age).unwrap_or(self.now)
    }
}

/// Whether a store has a [sweeper](crate::store::sweeper).
pub(crate) enum Sweeper {
    Absent,
    /// It runs, or is about to.
    Present {
        /// When its next round is.
        round_at: Instant,
        notify: Arc<Notify>,
    },
}

/// The order to start the sweeper, without the store's lock.
#[must_use = "the store does not give it again"]
pub(crate) struct StartSweeper(pub(super) Arc<Notify>);
