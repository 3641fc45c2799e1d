//! The snapshots of a log by the indexes of their keys. [`snapshots`](crate::store::log::snapshots) says what happens to
//! them.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::id::Offset;
use crate::message::Message;
use crate::store::entry::Entry;
use crate::store::limits::ENTRY_OVERHEAD;
use crate::store::log::unwritten::Unwritten;
use crate::store::ordered_map::OrderedMap;
use crate::store::sum::SharedSum;

/// The snapshots of all keys.
pub(crate) struct Snapshots<M: Message> {
    pub(super) keys: OrderedMap<usize, KeySnapshot<M>>,
    /// The keys whose snapshots may be dropped to make room, by their newest summed message: those that are finished, and
    /// blank ones.
    pub(super) droppable: BTreeSet<(Offset, usize)>,
    /// The keys whose snapshot is not known.
    pub(super) unknown: BTreeSet<usize>,
    /// The last of them that was looked for in the engine.
    pub(super) searched_through: Option<usize>,
    /// The keys with trimmed messages that have to be applied.
    pub(super) due: BTreeSet<usize>,
    /// The bytes that they count towards the store's memory, and the part of those that may be dropped.
    pub(super) bytes: usize,
    pub(super) droppable_bytes: usize,
    /// How many queue messages were appended that are not summed.
    pub(super) appended_others: u64,
    /// The newest trimmed message that no snapshot contains.
    pub(super) unsummed_trimmed_through: Offset,
    /// The newest trimmed message of the keys that were forgotten while their snapshots were not known.
    pub(super) forgotten_unknown_through: Offset,
    /// Snapshots that were dropped, to be dropped outside of the store's lock.
    discarded: Vec<KeySnapshot<M>>,
    /// The keys whose snapshots the engine has to keep, where one does.
    pub(super) unwritten: Option<Box<Unwritten>>,
    /// The result of `Log::missing_through` when all snapshots up to there were loaded; `None` before.
    pub(super) complete_from: Option<(Offset, Offset)>,
}

/// The snapshot of one key.
pub(crate) struct KeySnapshot<M: Message> {
    pub(super) sum: Arc<SharedSum<M>>,
    /// The snapshot contains all messages from here on, and needs none before. `None`: it is not known.
    pub(super) known_from: Option<Offset>,
    /// Whether it has no message: it is that of a new key.
    pub(super) is_blank: bool,
    /// The newest summed message, or the removal of the key.
    pub(super) newest: Offset,
    /// How many queue messages of the key were appended that are not summed.
    pub(super) appended_others: u64,
    /// The newest trimmed message of the key that the snapshot does not contain.
    pub(super) others_trimmed_through: Offset,
    /// The messages up to here are applied.
    pub(super) applied_through: Offset,
    /// Trimmed messages that are not applied yet, in log order.
    pub(super) trimmed: VecDeque<Arc<Entry<M>>>,
    /// The newest encoding, and the newest message that it contains.
    pub(super) encoded: Option<(Arc<Entry<M>>, Offset)>,
    /// The bytes of the snapshot when it was last encoded, and the newest message in it then.
    pub(super) measured: usize,
    pub(super) measured_through: Offset,
    /// The bytes that it counts: those then, and those of the messages that were trimmed since.
    pub(super) size: usize,
    pub(super) is_droppable: bool,
    /// Whether it is not known because messages may have been lost, so that another process may have kept one that
    /// is.
    pub(super) is_lost: bool,
    /// The newest message in the snapshot that the engine keeps, and in the one that it was given.
    pub(super) kept_through: Offset,
    pub(super) handed_out: Offset,
}

impl<M: Message> Default for Snapshots<M> {
    fn default() -> Self {
        Self {
            keys: OrderedMap::default(),
            droppable: BTreeSet::new(),
            unknown: BTreeSet::new(),
            searched_through: None,
            due: BTreeSet::new(),
            bytes: 0,
            droppable_bytes: 0,
            appended_others: 0,
            unsummed_trimmed_through: Offset::START,
            forgotten_unknown_through: Offset::START,
            discarded: Vec::new(),
            unwritten: None,
            complete_from: None,
        }
    }
}

impl<M: Message> Snapshots<M> {
    /// Returns what they count towards the store's memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns what those count that cannot be dropped to make room.
    pub(crate) fn needed_bytes(&self) -> usize {
        self.bytes - self.droppable_bytes
    }

    /// Returns whether the snapshot of a key contains its summed messages.
    pub(crate) fn is_known(&self, key_index: usize) -> bool {
        self.keys.get(&key_index).is_some_and(|snapshot| snapshot.known_from.is_some())
    }

    /// Returns whether trimmed messages have to be applied, or dropped snapshots to be freed.
    pub(crate) fn has_due(&self) -> bool {
        !self.due.is_empty() || !self.discarded.is_empty()
    }

    /// Takes a key with trimmed messages that have to be applied.
    pub(crate) fn pop_due(&mut self) -> Option<(usize, Arc<SharedSum<M>>)> {
        loop {
            let key_index = self.due.pop_first()?;
            if let Some(snapshot) = self.keys.get(&key_index) {
                return Some((key_index, Arc::clone(&snapshot.sum)));
            }
        }
    }

    /// Takes the snapshots that were dropped.
    pub(crate) fn take_discarded(&mut self) -> Vec<KeySnapshot<M>> {
        std::mem::take(&mut self.discarded)
    }

    /// Returns the snapshot of a key, if this is still its sum.
    pub(super) fn of_sum(&mut self, key_index: usize, sum: &Arc<SharedSum<M>>) -> Option<&mut KeySnapshot<M>> {
        self.keys.get_mut(&key_index).filter(|snapshot| Arc::ptr_eq(&snapshot.sum, sum))
    }

    /// Changes a snapshot, and what is counted of it.
    pub(super) fn update(&mut self, key_index: usize, change: impl FnOnce(&mut KeySnapshot<M>)) {
        let Some(snapshot) = self.keys.get_mut(&key_index) else { return };
        self.bytes -= snapshot.size;
        if snapshot.is_droppable {
            self.droppable_bytes -= snapshot.size;
            self.droppable.remove(&(snapshot.newest, key_index));
        }
        change(snapshot);
        self.bytes += snapshot.size;
        if snapshot.is_droppable {
            self.droppable_bytes += snapshot.size;
            self.droppable.insert((snapshot.newest, key_index));
        }
    }

    pub(super) fn insert(&mut self, key_index: usize, snapshot: KeySnapshot<M>) {
        if snapshot.known_from.is_none() {
            self.unknown.insert(key_index);
        }
        self.bytes += snapshot.size;
        self.keys.insert(key_index, snapshot);
        // Counts it where it may be dropped.
        self.droppable_bytes += self.keys[&key_index].droppable_size();
        if self.keys[&key_index].is_droppable {
            self.droppable.insert((self.keys[&key_index].newest, key_index));
        }
    }

    /// Takes the snapshot of a key out, to be dropped outside of the store's lock.
    pub(super) fn discard(&mut self, key_index: usize) {
        self.update(key_index, |snapshot| (snapshot.size, snapshot.is_droppable) = (0, false));
        self.unknown.remove(&key_index);
        self.due.remove(&key_index);
        if let Some(unwritten) = &mut self.unwritten {
            unwritten.remove(key_index);
        }
        self.discarded.extend(self.keys.remove(&key_index));
    }
}

impl<M: Message> KeySnapshot<M> {
    pub(super) fn new(key: Arc<M::Key>, known_from: Option<Offset>, newest: Offset, appended_others: u64) -> Self {
        Self {
            sum: Arc::new(SharedSum::new(key)),
            known_from,
            is_blank: true,
            newest,
            appended_others,
            others_trimmed_through: newest,
            applied_through: Offset::START,
            trimmed: VecDeque::new(),
            encoded: None,
            measured: ENTRY_OVERHEAD,
            measured_through: Offset::START,
            size: ENTRY_OVERHEAD,
            // It is blank: without readers of its key nothing is lost with it.
            is_droppable: true,
            is_lost: false,
            kept_through: Offset::START,
            handed_out: Offset::START,
        }
    }

    pub(super) fn droppable_size(&self) -> usize {
        if self.is_droppable { self.size } else { 0 }
    }

    /// Returns the encoding that is kept, which has the id of its place.
    pub(super) fn encoded(&self) -> Option<&Arc<Entry<M>>> {
        self.encoded.as_ref().map(|(entry, _)| entry)
    }
}
