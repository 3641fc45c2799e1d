//! The ephemeral messages of a log by their numbers, of all keys and of one.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use crate::store::entry::Entry;
use crate::store::ordered_map::OrderedMap;

/// The ephemeral messages of all keys.
pub(super) struct Ephemerals<M> {
    /// Those that are kept, by their numbers.
    pub(super) kept: OrderedMap<u64, Kept<M>>,
    /// How many were appended, kept or not. The newest has this number.
    pub(super) appended: u64,
}

pub(super) struct Kept<M> {
    pub(super) entry: Arc<Entry<M>>,
    pub(super) submitted_at: Instant,
}

/// The ephemeral messages of one key.
#[derive(Default)]
pub(super) struct KeyEphemerals {
    /// The numbers of those that are kept, in order.
    pub(super) numbers: VecDeque<u64>,
    /// How many were appended, kept or not.
    pub(super) appended: u64,
}

impl KeyEphemerals {
    pub(super) fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Drops all of them except the count.
    pub(super) fn clear(&mut self) {
        self.numbers.clear();
    }

    /// Returns the numbers after one.
    pub(super) fn after(&self, number: u64) -> impl DoubleEndedIterator<Item = u64> {
        self.numbers.range(self.numbers.partition_point(|kept| *kept <= number)..).copied()
    }
}

impl<M> Default for Ephemerals<M> {
    fn default() -> Self {
        Self { kept: OrderedMap::default(), appended: 0 }
    }
}

impl<M> Ephemerals<M> {
    pub(super) fn entry(&self, number: u64) -> Option<&Arc<Entry<M>>> {
        Some(&self.kept.get(&number)?.entry)
    }

    /// Takes all of them, at the end of an epoch.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Arc<Entry<M>>> + use<M> {
        std::mem::take(&mut self.kept).into_values().map(|kept| kept.entry)
    }
}
