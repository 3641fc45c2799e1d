//! When `latest` values expire. Nothing here runs for a type without [`Message::HAS_LATEST_TTL`].
//!
//! A store in memory expires a value when its deadline has passed. An engine decides by its own clock: a store over it
//! asks at the deadline, and again until the engine has answered with an entry.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::id::Offset;
use crate::message::Message;
use crate::store::log::Log;

/// How long a store waits until it asks its engine again about a value: a tenth of its ttl, within these bounds.
const ASK_AGAIN_MIN: Duration = Duration::from_millis(10);
const ASK_AGAIN_MAX: Duration = Duration::from_secs(1);

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
}

impl Deadlines {
    pub(super) fn remove(&mut self, offset: Offset) {
        if let Some(deadline) = self.by_offset.remove(&offset) {
            self.by_time.remove(&(deadline.at, offset));
        }
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
}

impl<M: Message> Log<M> {
    /// Records that the `latest` value at an offset, which has this age now, expires after its ttl.
    pub(crate) fn set_deadline(&mut self, offset: Offset, now: Instant, age: Duration, ttl: Duration) {
        let Some(at) = now.checked_add(ttl.saturating_sub(age)) else { return };
        if self.latest.contains_key(&offset) {
            self.deadlines.by_time.insert((at, offset));
            self.deadlines.by_offset.insert(offset, Deadline { at, ttl });
        }
    }

    /// Returns the first deadline.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.by_time.first().map(|(at, _)| *at)
    }

    /// Takes the deadline of a value that has expired, and returns its offset: those that expired first come first.
    pub(crate) fn pop_expired_value(&mut self, now: Instant) -> Option<Offset> {
        let (_, offset) = *self.deadlines.by_time.first().filter(|(at, _)| *at <= now)?;
        self.deadlines.remove(offset);
        Some(offset)
    }

    /// Returns some of the values whose deadline has passed, which an engine is to be asked about, and moves their
    /// deadlines to the time when it is asked again.
    pub(crate) fn take_expiry_requests(&mut self, now: Instant, at_most: usize) -> Vec<ExpiryRequest> {
        let mut requests = Vec::new();
        while requests.len() < at_most
            && let Some((_, offset)) = self.deadlines.by_time.first().copied().filter(|(at, _)| *at <= now)
        {
            let Some(Deadline { at, ttl }) = self.deadlines.by_offset.get(&offset).copied() else { break };
            let again_at = now + (ttl / 10).clamp(ASK_AGAIN_MIN, ASK_AGAIN_MAX);
            self.deadlines.by_time.remove(&(at, offset));
            self.deadlines.by_time.insert((again_at, offset));
            self.deadlines.by_offset.insert(offset, Deadline { at: again_at, ttl });
            let place = self.place_of(offset);
            requests.extend(place.map(|place| ExpiryRequest { place, through: self.head, ttl }));
        }
        requests
    }
}
