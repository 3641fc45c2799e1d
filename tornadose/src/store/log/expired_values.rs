//! The notices of `latest` values that have expired.
//!
//! A notice has an offset of its own, and is read there. The notices take at most a tenth of the store's memory, together
//! with those of [`notices`](crate::store::log::notices); beyond that the oldest are forgotten. Their keys then count as
//! trimmed up to them, so that a client that resumes from before is sent a gap, and a reader that has not read as far
//! lags. After either, all values that are kept are sent.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::id::Offset;
use crate::store::entry::Entry;
use crate::store::limits::ENTRY_OVERHEAD;
use crate::store::log::key::KeySelection;
use crate::store::ordered_map::OrderedMap;

/// Of how many keys the newest forgotten notice is remembered by itself.
const FORGOTTEN_KEYS_MAX: usize = 1024;

/// A `latest` value that has expired.
pub(crate) struct ExpiredValue<M> {
    pub(crate) entry: Arc<Entry<M>>,
    /// The data of the event that readers get.
    pub(crate) json: Arc<str>,
}

impl<M> Clone for ExpiredValue<M> {
    fn clone(&self) -> Self {
        Self { entry: Arc::clone(&self.entry), json: Arc::clone(&self.json) }
    }
}

/// The notices that are remembered.
pub(super) struct ExpiredValues<M> {
    notices: OrderedMap<Offset, ExpiredValue<M>>,
    /// The offsets of the notices of each key.
    of_key: BTreeSet<(usize, Offset)>,
    /// What all of them count towards the store's memory.
    bytes: usize,
    /// The newest notice of each key that was forgotten, while readers may not have read as far.
    forgotten: BTreeMap<usize, Offset>,
    /// The newest of all that were forgotten.
    forgotten_of_any: Offset,
    /// The newest of those that are not in `forgotten`. They count for every key.
    forgotten_floor: Offset,
}

impl<M> Default for ExpiredValues<M> {
    fn default() -> Self {
        Self {
            notices: OrderedMap::default(),
            of_key: BTreeSet::new(),
            bytes: 0,
            forgotten: BTreeMap::new(),
            forgotten_of_any: Offset::START,
            forgotten_floor: Offset::START,
        }
    }
}

/// A notice that a reader is told.
pub(super) struct NextExpired<M> {
    pub(super) offset: Offset,
    pub(super) value: ExpiredValue<M>,
}

impl<M> ExpiredValues<M> {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.notices.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.notices.is_empty()
    }

    /// Returns the first notice of these keys above an offset.
    pub(super) fn next(&self, keys: &KeySelection, after: Offset) -> Option<NextExpired<M>> {
        let above_of =
            |key_index: usize| (Bound::Excluded((key_index, after)), Bound::Excluded((key_index + 1, Offset::START)));
        let offset = if matches!(keys, KeySelection::All) {
            *self.notices.range((Bound::Excluded(after), Bound::Unbounded)).next()?.0
        } else {
            let of_keys = keys.key_indexes().iter().filter_map(|key| self.of_key.range(above_of(*key)).next());
            of_keys.map(|(_, offset)| *offset).min()?
        };
        Some(NextExpired { offset, value: self.notices.get(&offset)?.clone() })
    }

    /// Returns the newest notice of these keys that was forgotten.
    pub(super) fn forgotten_through(&self, keys: &KeySelection) -> Offset {
        match keys {
            KeySelection::All => self.forgotten_of_any,
            _ if self.forgotten_of_any == Offset::START => Offset::START,
            _ => {
                let of_keys = keys.key_indexes().iter().filter_map(|key| self.forgotten.get(key)).copied();
                of_keys.max().unwrap_or_default().max(self.forgotten_floor)
            }
        }
    }

    /// Returns the offset of the oldest notice.
    pub(super) fn oldest(&self) -> Option<Offset> {
        self.notices.first_key_value().map(|(offset, _)| *offset)
    }

    /// Returns the offsets of the notices of a key.
    pub(super) fn of_key(&self, key_index: usize) -> Vec<Offset> {
        let range = (key_index, Offset::START)..(key_index + 1, Offset::START);
        self.of_key.range(range).map(|(_, offset)| *offset).collect()
    }

    /// Returns all values that have expired.
    pub(super) fn into_values(self) -> impl Iterator<Item = ExpiredValue<M>> {
        self.notices.into_values()
    }

    pub(super) fn insert(&mut self, offset: Offset, value: ExpiredValue<M>) {
        self.bytes += cost(&value);
        self.of_key.insert((value.entry.key_index(), offset));
        self.notices.insert(offset, value);
    }

    pub(super) fn remove(&mut self, offset: Offset) -> Option<ExpiredValue<M>> {
        let value = self.notices.remove(&offset)?;
        self.of_key.remove(&(value.entry.key_index(), offset));
        self.bytes -= cost(&value);
        Some(value)
    }

    /// Remembers that the notice of a key was forgotten.
    pub(super) fn record_forgotten(&mut self, key_index: usize, offset: Offset, has_readers: bool) {
        self.forgotten_of_any = self.forgotten_of_any.max(offset);
        if !has_readers {
            return;
        }
        // An index that another key has by now does no harm: the readers of that key have come later.
        self.forgotten.insert(key_index, offset);
        if self.forgotten.len() > FORGOTTEN_KEYS_MAX
            && let Some((oldest, through)) = self.forgotten.iter().min_by_key(|(_, through)| **through)
        {
            let oldest = *oldest;
            self.forgotten_floor = self.forgotten_floor.max(*through);
            self.forgotten.remove(&oldest);
        }
    }

    #[cfg(test)]
    pub(super) fn checked_len(&self) -> usize {
        assert_eq!(self.of_key.len(), self.notices.len());
        assert_eq!(self.bytes, self.notices.values().map(cost).sum::<usize>());
        self.notices.len()
    }
}

fn cost<M>(value: &ExpiredValue<M>) -> usize {
    ENTRY_OVERHEAD + value.json.len() + value.entry.cost
}
