//! The bounded, ordered log of a store, its index by key, and the rules of position, resume and gap. It never waits
//! and knows no transport.
//!
//! # Ordering
//!
//! Every message takes the next offset, whatever its key and retention, and is read in that order. A newer `latest`
//! message of the same key and variant replaces the older one, and is read at its own offset.
//!
//! # Lagging
//!
//! A reader has a [`Cursor`](cursor::Cursor). The messages that it is owed are counted, not queued. When one of them
//! is trimmed, the next `Log::read` returns how many are missing, and the reader continues from
//! `Log::cursor_after_lag`.
//!
//! # Closing
//!
//! The log does not close; its store stops appending.

pub(crate) mod batch;
pub(crate) mod key;
mod key_table;
mod undecoded;
mod merge;
mod gaps;
mod slots;
mod latest;
pub(crate) mod deadlines;
pub(crate) mod expired_values;
mod value_expiry;
mod ephemeral_index;
pub(crate) mod ephemeral;
pub(crate) mod expiry;
pub(crate) mod snapshot_index;
pub(crate) mod snapshots;
pub(crate) mod summing;
pub(crate) mod unwritten;
mod unwritten_snapshots;
pub(crate) mod loaded;
mod notices;
mod finish;
mod removal;
pub(crate) mod cursor;
pub(crate) mod read;
pub(crate) mod past;
pub(crate) mod past_snapshot;
pub(crate) mod pass;
pub(crate) mod inspect;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::event::Event;
use crate::event::error::EncodeError;
use crate::id::{Epoch, Id, Offset};
use crate::message::{Message, Retention};
use crate::store::entry::{Entry, Undecoded};
use crate::store::gap::Gap;
use crate::store::kept_as::KeptAs;
use crate::store::limits::{ENTRY_OVERHEAD, Limits};
use crate::store::log::batch::CachedBatch;
use crate::store::log::deadlines::Deadlines;
use crate::store::log::ephemeral_index::Ephemerals;
use crate::store::log::expired_values::ExpiredValues;
use crate::store::log::gaps::Generations;
use crate::store::log::key_table::KeyTable;
use crate::store::log::notices::Notices;
use crate::store::log::slots::SlotIndex;
use crate::store::log::snapshot_index::Snapshots;
use crate::store::ordered_map::OrderedMap;

pub(crate) struct Log<M: Message> {
    epoch: Epoch,
    head: Offset,
    limits: Limits,
    keys: KeyTable<M>,
    /// All queue messages kept, whatever their key.
    queue: OrderedMap<Offset, Arc<Entry<M>>>,
    /// All queue messages kept as bytes, whatever their key.
    undecoded: BTreeMap<Offset, Arc<Undecoded>>,
    /// How many readers read all keys.
    readers_of_all: usize,
    /// All `latest` messages kept, whatever their key.
    latest: OrderedMap<Offset, Arc<Entry<M>>>,
    /// The same by their slots, where messages have slots.
    slots: SlotIndex,
    ephemerals: Ephemerals<M>,
    snapshots: Snapshots<M>,
    /// The newest queue message of any key that was trimmed.
    trimmed_through: Offset,
    appended_queue: u64,
    appended_latest: u64,
    /// Changes whenever the messages kept change.
    version: u64,
    /// The bytes of all that is kept, without the sizes of the keys.
    kept_bytes: usize,
    /// The bytes of the `latest` values, with the sizes of their keys.
    kept_latest_bytes: usize,
    cached: VecDeque<CachedBatch<M>>,
    /// Batches that left the cache, to be dropped outside of the store's lock.
    discarded: Vec<CachedBatch<M>>,
    generations: Generations,
    /// How long a queue message is kept at most; `None` for ever.
    queue_ttl: Option<Duration>,
    /// When each queue message was submitted, where they expire.
    submit_times: BTreeMap<Offset, Instant>,
    notices: Notices,
    /// When `latest` values expire.
    deadlines: Deadlines,
    expired_values: ExpiredValues<M>,
    /// Expired values of which the notice was forgotten, to be dropped outside of the store's lock.
    discarded_values: Vec<Arc<Entry<M>>>,
    /// Whether the engine says when a finish is forgotten.
    engine_reopens: bool,
}

/// The bytes that a message takes.
pub(crate) struct Cost {
    entry: usize,
    key_size: usize,
}

/// The reason why a message was not appended.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// The key cannot be serialized.
    Key(EncodeError),
    /// The key is longer than the store allows.
    KeyTooLong { size: usize },
    /// The message alone exceeds the store's memory.
    TooLarge { size: usize },
    /// The key is finished.
    Finished,
    /// The message exceeds the store's memory together with the `latest` values, which are never dropped.
    Full,
}

impl AppendError {
    /// Returns the reason in the words of a log.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Key(_) => "the key cannot be serialized",
            Self::KeyTooLong { .. } => "the key is longer than the store's `max_key`",
            Self::Finished => "the key is finished",
            Self::Full => "the latest values alone fill the store's memory",
            Self::TooLarge { .. } => "more than the store's memory",
        }
    }
}

/// The entries that were dropped at the end of an epoch. Drop them outside of the store's lock.
pub(crate) type Dropped<M> = (Vec<Arc<Entry<M>>>, BTreeMap<Offset, Arc<Undecoded>>);

/// The entry that was appended, and those that it evicted. Drop the latter outside of the store's lock: a message's
/// own `Drop` may call the store.
pub(crate) struct Appended<M: Message> {
    pub(crate) entry: Arc<Entry<M>>,
    pub(crate) evicted: Vec<Arc<Entry<M>>>,
}

impl<M: Message> Log<M> {
    /// Creates an empty log. `keeps_undecoded`: it may keep entries as bytes.
    pub(crate) fn new(limits: Limits, keeps_undecoded: bool) -> Self {
        let keeps_texts = keeps_undecoded && (M::HAS_QUEUE || M::CAN_FINISH);
        Self {
            epoch: Epoch::fresh(),
            head: Offset::START,
            limits,
            keys: KeyTable::new(keeps_texts),
            queue: OrderedMap::default(),
            undecoded: BTreeMap::new(),
            readers_of_all: 0,
            latest: OrderedMap::default(),
            slots: SlotIndex::default(),
            ephemerals: Ephemerals::default(),
            snapshots: Snapshots::default(),
            trimmed_through: Offset::START,
            appended_queue: 0,
            appended_latest: 0,
            version: 0,
            kept_bytes: 0,
            kept_latest_bytes: 0,
            cached: VecDeque::new(),
            discarded: Vec::new(),
            generations: Generations::new(),
            queue_ttl: M::QUEUE_TTL,
            submit_times: BTreeMap::new(),
            notices: Notices::default(),
            deadlines: Deadlines::default(),
            expired_values: ExpiredValues::default(),
            discarded_values: Vec::new(),
            engine_reopens: false,
        }
    }

    pub(crate) fn head(&self) -> Id {
        self.id(self.head)
    }

    pub(crate) fn id(&self, offset: Offset) -> Id {
        Id { epoch: self.epoch, offset }
    }

    /// Returns the current generation. A reader that has read everything has seen it.
    pub(crate) fn generation(&self) -> u64 {
        self.generations.current()
    }

    /// Returns the generation in which a reader that is live has become so at the earliest.
    pub(crate) fn live_generation(&self) -> u64 {
        self.generations.newest_of_all()
    }

    // --- Appending -----------------------------------------------------------------------------------------------

    /// Returns the offset of the next message.
    pub(crate) fn next(&self) -> Offset {
        self.head.next()
    }

    /// Appends a message that is not ephemeral at an offset above the head. Its event is kept in so many encodings.
    pub(crate) fn append(
        &mut self,
        offset: Offset,
        key: M::Key,
        message: Arc<M>,
        event: Event,
        kept_as: &KeptAs,
        encoding_count: usize,
    ) -> Result<Appended<M>, AppendError> {
        if !self.has_no_finish() {
            self.check_open(&key)?;
        }
        let cost = self.check_room(&key, &message, &event, kept_as, encoding_count)?;
        let key_index = self.keys.index_for(key, cost.key_size);
        self.advance_to(offset);
        let id = self.id(offset);
        let mut evicted = self.take_discarded_values();
        match kept_as {
            KeptAs::Queue(_) | KeptAs::Ephemeral => {}
            KeptAs::Latest { slot, .. } => {
                let replaced = self.find_replaced(key_index, &message, &event, slot.as_deref());
                evicted.extend(replaced.and_then(|replaced| self.take_latest_at(key_index, replaced)));
            }
            KeptAs::Tombstone(tombstone, _) => {
                let dropped = self.dropped_by(key_index, tombstone);
                evicted.extend(self.take_latest_at_all(key_index, dropped));
            }
        }
        let entry = Arc::new(Entry::new(id, message, event, kept_as, key_index, cost.entry));
        self.insert(Arc::clone(&entry));
        if M::HAS_SLOTS && entry.retention == Retention::Latest {
            self.slots.insert(key_index, kept_as.slot(), offset);
        }
        if self.keys[key_index].queue_count() > self.limits.capacity {
            evicted.extend(self.trim_oldest_of(key_index));
        }
        self.make_room(offset, u64::MAX, &mut evicted);
        Ok(Appended { entry, evicted })
    }

    /// Drops the oldest ephemeral messages, and then trims the oldest queue messages, whatever their key, until everything
    /// fits. The newest message stays, which has this offset, or this number among the ephemeral ones: it fits beside the
    /// `latest` values, and the keys of readers are not dropped to make room.
    fn make_room(&mut self, newest: Offset, newest_ephemeral: u64, evicted: &mut Vec<Arc<Entry<M>>>) {
        self.keys.evict_idle_beyond(self.idle_bytes_max());
        while self.bytes() > self.limits.memory
            && let Some(dropped) = self.make_room_by_ephemeral(newest_ephemeral)
        {
            evicted.push(dropped);
        }
        if M::SNAPSHOT.is_some() {
            self.make_room_by_snapshots(newest, evicted);
        }
        while self.bytes() > self.limits.memory
            && let Some((offset, key_index)) = self.oldest_queue_message()
            && offset < newest
        {
            evicted.extend(self.trim_oldest_of(key_index));
            self.keys.evict_if_idle(key_index, self.idle_bytes_max());
        }
    }

    /// Returns the offset of the oldest queue message, decoded or not, and the index of its key.
    fn oldest_queue_message(&self) -> Option<(Offset, usize)> {
        let decoded = self.queue.first_key_value().map(|(offset, entry)| (*offset, entry.key_index));
        let undecoded = self.undecoded.first_key_value().map(|(offset, undecoded)| (*offset, undecoded.key_index));
        decoded.into_iter().chain(undecoded).min()
    }

    /// Returns the bytes of everything that is kept or remembered.
    pub(crate) fn bytes(&self) -> usize {
        let snapshots = if M::SNAPSHOT.is_some() { self.snapshots.bytes() } else { 0 };
        self.kept_bytes + self.keys.bytes() + self.notices.bytes() + self.expired_values.bytes() + snapshots
    }

    /// Returns the bytes of the keys, beside the overhead of those with something kept.
    #[cfg(test)]
    pub(crate) fn remembered_bytes(&self) -> usize {
        self.keys.bytes()
    }

    /// Returns the offset above which no message of a key was trimmed that is not remembered.
    #[cfg(test)]
    pub(crate) fn forgotten_through(&self) -> Offset {
        self.keys.trimmed_floor()
    }

    /// Returns how many bytes idle keys may take: a quarter of what the `latest` values leave.
    fn idle_bytes_max(&self) -> usize {
        let snapshots = if M::SNAPSHOT.is_some() { self.snapshots.bytes() } else { 0 };
        (self.limits.memory - self.kept_latest_bytes).saturating_sub(snapshots) / 4
    }

    /// Returns the cost of a message, unless its key is too long, or it does not fit alone or beside the `latest`
    /// values, which are never dropped.
    pub(crate) fn check_room(
        &self,
        key: &M::Key,
        message: &M,
        event: &Event,
        kept_as: &KeptAs,
        encoding_count: usize,
    ) -> Result<Cost, AppendError> {
        let key_size = self.keys.size_of(key).map_err(AppendError::Key)?;
        if key_size > self.limits.max_key {
            return Err(AppendError::KeyTooLong { size: key_size });
        }
        let slot = kept_as.slot().map(|slot| &**slot);
        let slot_bytes = match kept_as {
            KeptAs::Latest { .. } => self.keys.slot_bytes(key_size, event.name(), slot),
            KeptAs::Queue(_) | KeptAs::Ephemeral | KeptAs::Tombstone(..) => 0,
        };
        let cost = ENTRY_OVERHEAD + encoding_count * event.encoded_len_max() + slot_bytes;
        let key_cost = ENTRY_OVERHEAD + self.keys.bytes_of(key_size);
        // Even alone it is kept with its key.
        if cost + key_cost > self.limits.memory {
            return Err(AppendError::TooLarge { size: cost + key_cost });
        }
        let key_index = self.keys.index_of(key);
        let key_cost = if key_index.is_some_and(|index| !self.keys[index].latest.is_empty()) { 0 } else { key_cost };
        let cost_at = |offset| self.latest.get(&offset).map_or(0, |entry| entry.cost);
        let replaced_cost = match (kept_as, key_index) {
            (KeptAs::Latest { .. }, Some(index)) => self.find_replaced(index, message, event, slot).map_or(0, cost_at),
            (KeptAs::Tombstone(tombstone, _), Some(index)) => {
                self.dropped_by(index, tombstone).into_iter().map(cost_at).sum()
            }
            (KeptAs::Queue(_) | KeptAs::Ephemeral, _) | (_, None) => 0,
        };
        let key_cost = key_cost + if M::SNAPSHOT.is_some() { self.cost_of_snapshots(key_index, kept_as) } else { 0 };
        if self.kept_latest_bytes - replaced_cost + cost + key_cost > self.limits.memory {
            Err(AppendError::Full)
        } else {
            Ok(Cost { entry: cost, key_size })
        }
    }

    fn insert(&mut self, entry: Arc<Entry<M>>) {
        let key_log = &mut self.keys[entry.key_index];
        self.kept_bytes += entry.cost + if key_log.is_empty() { ENTRY_OVERHEAD } else { 0 };
        if entry.retention == Retention::Latest {
            self.kept_latest_bytes += entry.cost + if key_log.latest.is_empty() { key_log.key_cost() } else { 0 };
        }
        key_log.newest = key_log.newest.max(entry.offset());
        self.version += 1;
        key_log.version = self.version;
        match entry.retention {
            Retention::Queue => {
                key_log.appended_queue += 1;
                self.appended_queue += 1;
                if key_log.queue.back().is_some_and(|last| last.offset() > entry.offset()) {
                    // It was kept undecoded, while this process has submitted newer messages of its key.
                    let index = key_log.queue.partition_point(|other| other.offset() < entry.offset());
                    key_log.queue.insert(index, Arc::clone(&entry));
                } else {
                    key_log.queue.push_back(Arc::clone(&entry));
                }
                self.queue.insert(entry.offset(), Arc::clone(&entry));
                if M::SNAPSHOT.is_some() {
                    self.record_for_snapshot(&entry);
                }
            }
            Retention::Latest => {
                key_log.appended_latest += 1;
                self.appended_latest += 1;
                key_log.latest.push(Arc::clone(&entry));
                self.latest.insert(entry.offset(), entry);
            }
            Retention::Ephemeral => unreachable!("`append_ephemeral` inserts them"),
        }
    }

    /// Trims the oldest queue message of a key. Returns it unless it was kept undecoded.
    fn trim_oldest_of(&mut self, key_index: usize) -> Option<Arc<Entry<M>>> {
        let key_log = &mut self.keys[key_index];
        let newer = key_log.queue.front().map(|entry| entry.offset());
        let (offset, cost, entry) = match key_log.undecoded.front() {
            Some(undecoded) if newer.is_none_or(|newer| undecoded.offset < newer) => {
                let (offset, cost) = (undecoded.offset, undecoded.cost);
                key_log.undecoded.pop_front();
                self.undecoded.remove(&offset);
                (offset, cost, None)
            }
            _ => {
                let entry = key_log.queue.pop_front()?;
                self.queue.remove(&entry.offset());
                (entry.offset(), entry.cost, Some(entry))
            }
        };
        if M::QUEUE_TTL.is_some() {
            self.submit_times.remove(&offset);
        }
        self.kept_bytes -= cost + if key_log.is_empty() { ENTRY_OVERHEAD } else { 0 };
        self.mark_trimmed(key_index, offset);
        if M::SNAPSHOT.is_some()
            && let Some(entry) = &entry
        {
            self.record_trimmed(entry);
        }
        entry
    }

    /// Records that a key is trimmed up to an offset.
    fn mark_trimmed(&mut self, key_index: usize, offset: Offset) {
        self.version += 1;
        let key_log = &mut self.keys[key_index];
        // An expiry that was forgotten may be above messages that are kept.
        (key_log.trimmed_through, key_log.version) = (key_log.trimmed_through.max(offset), self.version);
        self.trimmed_through = self.trimmed_through.max(offset);
    }

    // --- Keys ----------------------------------------------------------------------------------------------------

    pub(crate) fn key_index(&self, key: &M::Key) -> Option<usize> {
        self.keys.index_of(key)
    }

    /// Returns the key of an index, unless only its JSON is known.
    pub(crate) fn key(&self, key_index: usize) -> Option<&M::Key> {
        self.keys[key_index].key.as_deref()
    }

    /// Returns the index of a key, also of one of which only the JSON is known.
    pub(crate) fn find(&self, key: &M::Key) -> Option<usize> {
        self.keys.find(key)
    }

    /// Counts a reader of this key. The key keeps its index until it is released as often. Returns `None` for a key
    /// that no message can have, because it is too long or cannot be serialized: it is not remembered.
    pub(crate) fn acquire(&mut self, key: M::Key) -> Option<usize> {
        let key_size = self.keys.size_of(&key).ok().filter(|key_size| *key_size <= self.limits.max_key)?;
        Some(self.keys.acquire(key, key_size))
    }

    /// Returns whether something is kept of a key, or is known to have been trimmed.
    pub(crate) fn is_known(&self, key_index: usize) -> bool {
        self.keys.is_known(key_index)
    }

    pub(crate) fn release(&mut self, key_index: usize) {
        self.keys.release(key_index, self.idle_bytes_max());
        if M::SNAPSHOT.is_some() {
            self.drop_unread_snapshot(key_index);
        }
    }

    /// Counts a reader of all keys, until it is released.
    pub(crate) fn acquire_all(&mut self) {
        self.readers_of_all += 1;
    }

    pub(crate) fn release_all(&mut self) {
        self.readers_of_all -= 1;
    }

    // --- Filling by a backend --------------------------------------------------------------------------------------

    /// Begins an empty epoch, and returns what was dropped. Readers report `restarted`. Messages at or below `floor`
    /// may have existed before.
    pub(crate) fn reset(&mut self, epoch: Epoch, floor: Offset) -> Dropped<M> {
        let mut entries: Vec<Arc<Entry<M>>> = std::mem::take(&mut self.queue).into_values().collect();
        entries.extend(std::mem::take(&mut self.latest).into_values());
        entries.extend(self.ephemerals.take_all());
        let undecoded = std::mem::take(&mut self.undecoded);
        self.discarded.extend(self.cached.drain(..));
        (self.epoch, self.head, self.trimmed_through) = (epoch, Offset::START, Offset::START);
        (self.kept_bytes, self.kept_latest_bytes) = (0, 0);
        self.submit_times.clear();
        self.slots.clear();
        self.deadlines.clear();
        entries.extend(self.take_all_expired());
        self.version += 1;
        self.forget_notices();
        if M::SNAPSHOT.is_some() {
            self.reset_snapshots(floor);
        }
        self.keys.reset(self.version);
        self.generations.begin_epoch(floor);
        (entries, undecoded)
    }

    /// Advances the head to this offset, whether or not there is a message. Returns false when the head was there
    /// before.
    pub(crate) fn advance_to(&mut self, offset: Offset) -> bool {
        if offset <= self.head {
            return false;
        }
        self.head = offset;
        self.generations.record_seen(offset);
        true
    }

    /// Records that messages which would follow the head never arrive.
    pub(crate) fn record_gap(&mut self, gap: Gap) {
        self.forget_snapshots();
        self.generations.record_gap(self.head, gap);
    }

    /// Records that messages at or below this offset may have been lost, beside those of the last gap.
    pub(crate) fn mark_lost_through(&mut self, offset: Offset) {
        self.forget_snapshots();
        self.generations.mark_lost_through(offset);
    }

    /// Records that the entry at this offset cannot be read, and advances the head to it. Returns false when the head
    /// was there before.
    pub(crate) fn record_unreadable(&mut self, offset: Offset) -> bool {
        if offset <= self.head {
            return false;
        }
        self.forget_snapshots();
        self.generations.record_unreadable(self.head, offset);
        self.advance_to(offset)
    }

    /// Returns whether an id is above the head, so that it may be that of a message which is on its way here.
    pub(crate) fn may_arrive(&self, id: Id) -> bool {
        self.is_fed_by_backend() && id.epoch == self.epoch && id.offset > self.head
    }

    pub(crate) fn is_fed_by_backend(&self) -> bool {
        self.generations.is_fed_by_backend()
    }

    /// Returns whether this very offset was seen: every message after it is then known.
    fn has_seen(&self, offset: Offset) -> bool {
        self.generations.has_seen(offset)
            || self.queue.contains_key(&offset)
            || self.latest.contains_key(&offset)
            || self.undecoded.contains_key(&offset)
    }
}

#[cfg(test)]
mod tests;
