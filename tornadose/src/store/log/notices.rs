//! The notices of a log, which stand between its messages: the finish of a key, and the removal of what was kept of a
//! key. Each has an offset of its own.
//!
//! A finish is remembered until it is old and nothing is kept of its key. A removal is remembered for the
//! readers that have not read as far. All of them take at most a tenth of the store's memory; beyond that the oldest
//! removals go, then the oldest expiries of values ([`expired_values`](crate::store::log::expired_values)), and then the
//! oldest finishes. A key with a notice stays in the table, so that its index stays its own.
//!
//! # Removals
//!
//! The queue messages that a removal drops are known by their offsets, so that a reader counts those that it has not
//! read. A reader of several keys reads past some of them before it reaches the removal; it counts them on its way. A
//! removal begins a generation of the log, by which a reader knows the removals that are ahead.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use tokio::time::Instant;

use crate::id::Offset;
use crate::store::log::key::KeySelection;

/// The finish of a key.
pub(super) struct Finish {
    pub(super) key_index: usize,
    /// The key, as it is written to clients.
    pub(super) key_json: Arc<str>,
    pub(super) at: Instant,
    pub(super) cost: usize,
}

/// The removal of what was kept of a key.
pub(super) struct Removal {
    pub(super) key_index: usize,
    pub(super) offset: Offset,
    /// The queue messages that it dropped.
    pub(super) removed: Box<[Offset]>,
    pub(super) cost: usize,
}

impl Removal {
    /// Returns how many of its messages are in a range, which excludes its start.
    fn count(&self, after: Offset, through: Offset) -> usize {
        let up_to = |offset: Offset| self.removed.partition_point(|removed| *removed <= offset);
        up_to(through).saturating_sub(up_to(after))
    }
}

/// The notices that are remembered.
#[derive(Default)]
pub(super) struct Notices {
    pub(super) finishes: BTreeMap<Offset, Finish>,
    /// The offset of each finished key's finish.
    pub(super) finish_of: HashMap<usize, Offset>,
    /// The removals, by their generations.
    pub(super) removals: BTreeMap<u64, Removal>,
    /// The keys of the removals, and the generations of the removals.
    removals_of: BTreeSet<(usize, u64)>,
    /// The generation of the newest removal that was forgotten.
    pub(super) forgotten_removal: u64,
    /// What all of them count towards the store's memory.
    bytes: usize,
    pub(super) sweep_at: Option<Instant>,
}

/// The next finish that a reader is told.
pub(super) struct NextFinish {
    pub(super) offset: Offset,
    pub(super) key_json: Arc<str>,
}

/// A removal that a reader is told.
pub(super) struct NextRemoval {
    pub(super) generation: u64,
    pub(super) offset: Offset,
}

impl Notices {
    /// Returns whether there is no finish. Stores without finishes ask no more than this.
    #[inline]
    pub(super) fn has_no_finish(&self) -> bool {
        self.finishes.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the first finish of these keys above an offset.
    #[cold]
    pub(super) fn next_finish(&self, keys: &KeySelection, after: Offset) -> Option<NextFinish> {
        let offset = match keys {
            KeySelection::All => {
                self.finishes.range((Bound::Excluded(after), Bound::Unbounded)).next().map(|(offset, _)| *offset)
            }
            _ => self.finishes_of(keys).flatten().filter(|offset| *offset > after).min(),
        }?;
        Some(NextFinish { offset, key_json: Arc::clone(&self.finishes.get(&offset)?.key_json) })
    }

    /// Returns the newest finish of these keys when all of them are finished. There is none for a reader of all keys,
    /// of no key, or of keys that it watches.
    pub(super) fn last_finish(&self, keys: &KeySelection) -> Option<Offset> {
        if matches!(keys, KeySelection::Watched(_)) {
            return None;
        }
        self.finishes_of(keys)
            .try_fold(Offset::START, |last, finish| Some(last.max(finish?)))
            .filter(|last| *last > Offset::START)
    }

    fn finishes_of(&self, keys: &KeySelection) -> impl Iterator<Item = Option<Offset>> {
        keys.key_indexes().iter().map(|key_index| self.finish_of.get(key_index).copied())
    }

    /// Returns the first removal after a generation that concerns a reader of these keys.
    pub(super) fn next_removal(&self, keys: &KeySelection, generation: u64) -> Option<NextRemoval> {
        let generation = match keys {
            KeySelection::All => self.removals.range(generation + 1..).next().map(|(generation, _)| *generation),
            _ => keys.key_indexes().iter().filter_map(|key| self.removals_of_key(*key, generation).next()).min(),
        }?;
        Some(NextRemoval { generation, offset: self.removals.get(&generation)?.offset })
    }

    /// Returns the generations of a key's removals after this one.
    fn removals_of_key(&self, key_index: usize, generation: u64) -> impl Iterator<Item = u64> {
        self.removals_of.range((key_index, generation + 1)..=(key_index, u64::MAX)).map(|(_, generation)| *generation)
    }

    /// Returns how many messages in a range, which excludes its start, were dropped by removals after a generation.
    pub(super) fn removed_between(&self, keys: &KeySelection, generation: u64, after: Offset, through: Offset) -> u64 {
        let removed: usize = if matches!(keys, KeySelection::All) {
            self.removals.range(generation + 1..).map(|(_, removal)| removal.count(after, through)).sum()
        } else {
            let of_keys = keys.key_indexes().iter().flat_map(|key| self.removals_of_key(*key, generation));
            of_keys.filter_map(|of| self.removals.get(&of)).map(|removal| removal.count(after, through)).sum()
        };
        removed as u64
    }

    /// Returns the keys that were removed after an offset, as far as it is remembered.
    pub(super) fn removed_after(&self, offset: Offset) -> impl Iterator<Item = usize> {
        self.removals.values().filter(move |removal| removal.offset > offset).map(|removal| removal.key_index)
    }

    pub(super) fn pop_removal(&mut self) -> Option<usize> {
        let (generation, removal) = self.removals.pop_first()?;
        self.forgotten_removal = generation;
        self.removals_of.remove(&(removal.key_index, generation));
        self.bytes -= removal.cost;
        Some(removal.key_index)
    }

    pub(super) fn take_finish(&mut self, key_index: usize) -> bool {
        let finish = self.finish_of.remove(&key_index).and_then(|offset| self.finishes.remove(&offset));
        self.bytes -= finish.as_ref().map_or(0, |finish| finish.cost);
        finish.is_some()
    }

    pub(super) fn insert_finish(&mut self, offset: Offset, finish: Finish) {
        self.bytes += finish.cost;
        self.finish_of.insert(finish.key_index, offset);
        self.finishes.insert(offset, finish);
    }

    pub(super) fn insert_removal(&mut self, generation: u64, removal: Removal) {
        self.bytes += removal.cost;
        self.removals_of.insert((removal.key_index, generation));
        self.removals.insert(generation, removal);
    }
}
