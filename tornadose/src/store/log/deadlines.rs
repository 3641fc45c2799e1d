//! When `latest` values expire.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::id::Offset;

/// The deadlines of the values that expire, at most one of each value that is kept.
#[derive(Default)]
pub(super) struct Deadlines {
    by_time: BTreeSet<(Instant, Offset)>,
    by_offset: HashMap<Offset, Deadline>,
}

#[derive(Clone, Copy)]
struct Deadline {
    at: Instant,
    ttl: Duration,
    /// Whether the engine was asked about the value.
    is_asked: bool,
}

impl Deadlines {
    pub(super) fn set(&mut self, offset: Offset, at: Instant, ttl: Duration) {
        self.by_time.insert((at, offset));
        self.by_offset.insert(offset, Deadline { at, ttl, is_asked: false });
    }

    pub(super) fn remove(&mut self, offset: Offset) {
        if let Some(deadline) = self.by_offset.remove(&offset) {
            self.by_time.remove(&(deadline.at, offset));
        }
    }

    /// Moves the deadline of a value that the engine is asked about to the time when it is asked again, which its ttl
    /// decides. Returns the ttl, and whether the engine was asked before.
    pub(super) fn ask(
        &mut self,
        offset: Offset,
        again_at: impl FnOnce(Duration) -> Instant,
    ) -> Option<(Duration, bool)> {
        let deadline = self.by_offset.get_mut(&offset)?;
        self.by_time.remove(&(deadline.at, offset));
        deadline.at = again_at(deadline.ttl);
        self.by_time.insert((deadline.at, offset));
        Some((deadline.ttl, std::mem::replace(&mut deadline.is_asked, true)))
    }

    /// Returns the first deadline, and the value whose it is.
    pub(super) fn first(&self) -> Option<(Instant, Offset)> {
        self.by_time.first().copied()
    }

    pub(super) fn clear(&mut self) {
        (self.by_time, self.by_offset) = (BTreeSet::new(), HashMap::new());
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.by_time.len(), self.by_offset.len());
        self.by_time.len()
    }
}

/// A value that the engine is asked to expire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExpiryRequest {
    /// The place of the value, as engines know it.
    pub(crate) place: String,
    /// The newest offset that the log has seen.
    pub(crate) through: Offset,
    pub(crate) ttl: Duration,
    /// The offset of the value, when the engine was asked about it before.
    pub(crate) missing: Option<Offset>,
}
