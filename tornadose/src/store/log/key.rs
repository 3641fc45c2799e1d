//! The part of a log that belongs to one key, and the selection of keys that a reader reads.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::id::Offset;
use crate::message::Message;
use crate::store::entry::{Entry, Undecoded};
use crate::store::limits::ENTRY_OVERHEAD;
use crate::store::log::ephemeral_index::KeyEphemerals;

/// The keys whose messages a reader receives, by their indexes in the log.
#[derive(Clone, Debug)]
pub(crate) enum KeySelection {
    One(usize),
    Set(Box<[usize]>),
    /// A set that changes while the reader reads. Its reader does not end when all of them are finished.
    Watched(Box<[usize]>),
    All,
}

impl KeySelection {
    /// Returns the keys that it names; a selection of all keys names none.
    pub(crate) fn key_indexes(&self) -> &[usize] {
        match self {
            Self::One(key_index) => std::slice::from_ref(key_index),
            Self::Set(key_indexes) | Self::Watched(key_indexes) => key_indexes,
            Self::All => &[],
        }
    }
}

/// What the log keeps of one key.
pub(super) struct KeyLog<M: Message> {
    /// The key, which the table shares. `None` while only its JSON is known, from an entry that is not decoded.
    pub(super) key: Option<Arc<M::Key>>,
    /// The key's JSON, which the table shares. `None` in a log that decodes every entry at once.
    pub(super) text: Option<Arc<str>>,
    /// The length of the key's JSON, 4 GiB at most.
    key_size: u32,
    /// The queue messages kept, in log order.
    pub(super) queue: VecDeque<Arc<Entry<M>>>,
    /// The queue messages kept as bytes, in log order. There are none while the key has a reader.
    pub(super) undecoded: VecDeque<Arc<Undecoded>>,
    /// The newest message of each variant, in log order.
    pub(super) latest: Vec<Arc<Entry<M>>>,
    /// The ephemeral messages, since there was one.
    pub(super) ephemerals: Option<Box<KeyEphemerals>>,
    /// The newest queue message that was trimmed.
    pub(super) trimmed_through: Offset,
    /// How many queue messages were appended, kept or not.
    pub(super) appended_queue: u64,
    /// How many `latest` messages were appended, kept or not.
    pub(super) appended_latest: u64,
    /// The newest message of any retention.
    pub(super) newest: Offset,
    /// Changes whenever the messages kept change.
    pub(super) version: u64,
    /// How many readers and notices hold the key. It keeps its index as long as it has one.
    pub(super) holders: u32,
}

impl<M: Message> KeyLog<M> {
    pub(super) fn new(
        key: Option<Arc<M::Key>>,
        text: Option<Arc<str>>,
        key_size: usize,
        trimmed_through: Offset,
    ) -> Self {
        Self {
            key,
            text,
            key_size: u32::try_from(key_size).unwrap_or(u32::MAX),
            queue: VecDeque::new(),
            undecoded: VecDeque::new(),
            latest: Vec::new(),
            ephemerals: None,
            trimmed_through,
            appended_queue: 0,
            appended_latest: 0,
            newest: Offset::START,
            version: 0,
            holders: 0,
        }
    }

    /// Returns the length of the key's JSON.
    pub(super) fn key_size(&self) -> usize {
        self.key_size as usize
    }

    /// Returns the bytes of the key and of its JSON.
    pub(super) fn key_bytes(&self) -> usize {
        // A type without fields has one key, which counts nothing.
        if size_of::<M::Key>() == 0 { 0 } else { self.key_size() + self.text.as_ref().map_or(0, |text| text.len()) }
    }

    /// Returns the bytes that the key itself takes.
    pub(super) fn key_cost(&self) -> usize {
        ENTRY_OVERHEAD + self.key_bytes()
    }

    /// Drops everything of an earlier epoch except the counts.
    pub(super) fn clear(&mut self, version: u64) {
        self.queue.clear();
        self.undecoded.clear();
        self.latest.clear();
        self.ephemerals.iter_mut().for_each(|ephemerals| ephemerals.clear());
        (self.trimmed_through, self.newest, self.version) = (Offset::START, Offset::START, version);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
            && self.undecoded.is_empty()
            && self.latest.is_empty()
            && self.ephemerals.as_ref().is_none_or(|ephemerals| ephemerals.is_empty())
    }

    /// Returns how many queue messages are kept, decoded or not.
    pub(super) fn queue_count(&self) -> usize {
        self.queue.len() + self.undecoded.len()
    }

    pub(super) fn queue_after(&self, after: Offset) -> impl Iterator<Item = &Arc<Entry<M>>> {
        self.queue.range(self.queue.partition_point(|entry| entry.offset() <= after)..)
    }

    pub(super) fn latest_after(&self, after: Offset) -> impl Iterator<Item = &Arc<Entry<M>>> {
        self.latest[self.latest.partition_point(|entry| entry.offset() <= after)..].iter()
    }

    /// Returns the newest `latest` message and the newest queue message that are kept at or below an offset.
    pub(super) fn newest_up_to(&self, offset: Offset) -> (Option<Offset>, Option<Offset>) {
        let offset_of = |entry: Option<&Arc<Entry<M>>>| entry.map(|entry| entry.offset());
        let queue_length = self.queue.partition_point(|entry| entry.offset() <= offset);
        (
            offset_of(self.latest.iter().rfind(|entry| entry.offset() <= offset)),
            offset_of(queue_length.checked_sub(1).and_then(|last| self.queue.get(last))),
        )
    }

    /// Returns how many queue messages are kept after an offset.
    pub(super) fn queue_count_after(&self, after: Offset) -> u64 {
        (self.queue.len() - self.queue.partition_point(|entry| entry.offset() <= after)) as u64
    }
}
