//! What a log keeps of one key.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::id::Offset;
use crate::message::Message;
use crate::store::entry::Entry;

pub(in crate::store) struct Topic<M: Message> {
    pub(in crate::store) key: M::Key,
    /// The queue messages kept, in log order.
    pub(in crate::store) queue: VecDeque<Arc<Entry<M>>>,
    /// The newest of each variant, in log order.
    pub(in crate::store) latest: Vec<Arc<Entry<M>>>,
    /// The newest queue message that was trimmed.
    pub(in crate::store) trimmed: Offset,
    /// How many queue messages have come, kept or not.
    pub(in crate::store) appended: u64,
    /// How many `latest` messages have come, kept or not.
    pub(in crate::store) appended_latest: u64,
    /// The newest message of any kind.
    pub(in crate::store) newest: Offset,
    /// Changes with every change of what is kept.
    pub(in crate::store) version: u64,
    /// How many readers hold the key.
    pub(in crate::store) readers: usize,
}

impl<M: Message> Topic<M> {
    pub(in crate::store) fn new(key: M::Key, trimmed: Offset) -> Self {
        Self {
            key,
            queue: VecDeque::new(),
            latest: Vec::new(),
            trimmed,
            appended: 0,
            appended_latest: 0,
            newest: Offset::START,
            version: 0,
            readers: 0,
        }
    }

    /// Keeps nothing of a former life but its counts.
    pub(in crate::store) fn clear(&mut self, version: u64) {
        self.queue.clear();
        self.latest.clear();
        (self.trimmed, self.newest, self.version) = (Offset::START, Offset::START, version);
    }

    pub(in crate::store) fn keeps_nothing(&self) -> bool {
        self.queue.is_empty() && self.latest.is_empty()
    }

    pub(in crate::store) fn queue_after(&self, after: Offset) -> impl Iterator<Item = &Arc<Entry<M>>> {
        self.queue.range(self.queue.partition_point(|entry| entry.offset() <= after)..)
    }

    pub(in crate::store) fn latest_after(&self, after: Offset) -> impl Iterator<Item = &Arc<Entry<M>>> {
        self.latest[self.latest.partition_point(|entry| entry.offset() <= after)..].iter()
    }

    /// The newest `latest` message and the newest queue message kept at or below a place.
    pub(in crate::store) fn newest_up_to(&self, place: Offset) -> (Option<Offset>, Option<Offset>) {
        let newest = |entry: Option<&Arc<Entry<M>>>| entry.map(|entry| entry.offset());
        let queue = self.queue.partition_point(|entry| entry.offset() <= place);
        (
            newest(self.latest.iter().rfind(|entry| entry.offset() <= place)),
            newest(queue.checked_sub(1).and_then(|before| self.queue.get(before))),
        )
    }

    pub(in crate::store) fn count_after(&self, after: Offset) -> u64 {
        (self.queue.len() - self.queue.partition_point(|entry| entry.offset() <= after)) as u64
    }
}
