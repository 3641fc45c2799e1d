//! The end of queue messages by their age. Nothing here runs for a type without [`Message::QUEUE_TTL`]. That of `latest`
//! values is in [`value_expiry`](crate::store::log::value_expiry).
//!
//! A queue message that has expired is trimmed as one beyond the capacity is, so a reader to whom it was owed lags.
//! Whoever reads or appends trims first; the sweeper does so when nobody else does.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::id::Offset;
use crate::message::Message;
use crate::store::entry::Entry;
use crate::store::log::Log;

/// The queue messages that expired.
pub(crate) struct ExpiredMessages<M> {
    /// The indexes of the keys that lost messages, each at least once. A key may have left the log since.
    pub(crate) key_indexes: Vec<usize>,
    /// To be dropped outside of the store's lock.
    pub(crate) entries: Vec<Arc<Entry<M>>>,
}

impl<M: Message> Log<M> {
    /// Returns how long a queue message is kept at most.
    pub(crate) fn queue_ttl(&self) -> Option<Duration> {
        self.queue_ttl
    }

    /// Lets queue messages expire after this time, or when their type says so, if that is sooner.
    pub(crate) fn set_queue_ttl(&mut self, ttl: Duration) {
        self.queue_ttl = M::QUEUE_TTL.map(|own| own.min(ttl));
    }

    /// Records when the queue message at this offset was submitted.
    pub(crate) fn record_submit_time(&mut self, offset: Offset, submitted_at: Instant) {
        if self.queue_ttl.is_some() && self.has_queue_message(offset) {
            self.submit_times.insert(offset, submitted_at);
        }
    }

    /// Returns whether any queue message expires, now or later.
    pub(crate) fn has_expiring_messages(&self) -> bool {
        !self.submit_times.is_empty()
    }

    /// Trims the queue messages that have expired. Returns `None` when there are none.
    pub(crate) fn expire_messages(&mut self, now: Instant) -> Option<ExpiredMessages<M>> {
        let ttl = self.queue_ttl?;
        let mut expired: Option<ExpiredMessages<M>> = None;
        while let Some(oldest) = self.submit_times.first_entry()
            && oldest.get().checked_add(ttl).is_some_and(|expiry| expiry <= now)
        {
            let offset = *oldest.key();
            oldest.remove();
            let Some(key_index) = self.key_index_at(offset) else { continue };
            let new = || ExpiredMessages { key_indexes: Vec::new(), entries: Vec::new() };
            let expired = expired.get_or_insert_with(new);
            // Whatever is older of the key has expired too.
            expired.entries.extend(self.trim_oldest_of(key_index));
            expired.key_indexes.push(key_index);
            self.keys.evict_if_idle(key_index, self.idle_bytes_max());
        }
        expired
    }

    fn has_queue_message(&self, offset: Offset) -> bool {
        self.key_index_at(offset).is_some()
    }

    /// Returns the index of the key of the queue message at this offset, decoded or not.
    fn key_index_at(&self, offset: Offset) -> Option<usize> {
        let decoded = self.queue.get(&offset).map(|entry| entry.key_index);
        decoded.or_else(|| self.undecoded.get(&offset).map(|undecoded| undecoded.key_index))
    }
}
