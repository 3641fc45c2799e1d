//! The keys that a log knows, by index. A key stays known while something of it is kept or it has a reader; after
//! that, the log remembers how far it was trimmed, for a bounded number of keys.

use std::collections::{BTreeMap, HashMap};
use std::ops::{Index, IndexMut};

use slab::Slab;

use crate::id::Offset;
use crate::message::Message;
use crate::store::log::key::KeyLog;

/// How many keys with nothing kept and no reader are remembered for their newest trimmed offset.
pub(super) const MAX_IDLE_KEYS: usize = 65_536;

pub(super) struct KeyTable<M: Message> {
    logs: Slab<KeyLog<M>>,
    by_key: HashMap<M::Key, usize>,
    /// Keys with nothing kept and no reader, by their newest trimmed offset.
    idle: BTreeMap<Offset, usize>,
    /// No message of a key that is not in the table was trimmed above this offset.
    trimmed_floor: Offset,
}

impl<M: Message> KeyTable<M> {
    pub(super) fn new() -> Self {
        Self { logs: Slab::new(), by_key: HashMap::new(), idle: BTreeMap::new(), trimmed_floor: Offset::START }
    }

    pub(super) fn index_of(&self, key: &M::Key) -> Option<usize> {
        self.by_key.get(key).copied()
    }

    pub(super) fn get(&self, key: &M::Key) -> Option<&KeyLog<M>> {
        self.index_of(key).map(|index| &self.logs[index])
    }

    /// Returns the index of a key that a message is appended to.
    pub(super) fn index_for(&mut self, key: M::Key) -> usize {
        let index = self.index_of(&key).unwrap_or_else(|| self.insert(key));
        self.unmark_idle(index);
        index
    }

    /// Counts a reader of the key, which stays in the table as long as it has one.
    pub(super) fn acquire(&mut self, key: &M::Key) -> usize {
        let index = self.index_of(key).unwrap_or_else(|| self.insert(key.clone()));
        self.unmark_idle(index);
        self.logs[index].readers += 1;
        index
    }

    pub(super) fn release(&mut self, index: usize) {
        self.logs[index].readers -= 1;
        self.evict_if_idle(index);
    }

    /// Removes a key with nothing kept and no reader. A key that was trimmed above the floor is remembered as idle
    /// instead.
    pub(super) fn evict_if_idle(&mut self, index: usize) {
        let log = &self.logs[index];
        if log.readers > 0 || !log.is_empty() {
            return;
        }
        if log.trimmed_through <= self.trimmed_floor {
            self.remove(index);
            return;
        }
        self.idle.insert(log.trimmed_through, index);
        if self.idle.len() > MAX_IDLE_KEYS
            && let Some((trimmed_through, oldest)) = self.idle.pop_first()
        {
            self.trimmed_floor = trimmed_through;
            self.remove(oldest);
        }
    }

    /// Begins an epoch: only keys that have a reader stay, with their counts, because the readers' ledgers are made
    /// from them.
    pub(super) fn reset(&mut self, version: u64) {
        self.trimmed_floor = Offset::START;
        self.idle.clear();
        self.logs.retain(|_, log| {
            log.clear(version);
            log.readers > 0
        });
        let logs = &self.logs;
        self.by_key.retain(|_, index| logs.contains(*index));
    }

    fn insert(&mut self, key: M::Key) -> usize {
        let index = self.logs.insert(KeyLog::new(key.clone(), self.trimmed_floor));
        self.by_key.insert(key, index);
        index
    }

    fn unmark_idle(&mut self, index: usize) {
        let trimmed_through = self.logs[index].trimmed_through;
        if self.idle.get(&trimmed_through) == Some(&index) {
            self.idle.remove(&trimmed_through);
        }
    }

    fn remove(&mut self, index: usize) {
        let log = self.logs.remove(index);
        self.by_key.remove(&log.key);
    }

    #[cfg(test)]
    pub(super) fn idle_count(&self) -> usize {
        self.idle.len()
    }

    #[cfg(test)]
    pub(super) fn trimmed_floor(&self) -> Offset {
        self.trimmed_floor
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.by_key.len(), self.logs.len());
        self.logs.len()
    }
}

impl<M: Message> Index<usize> for KeyTable<M> {
    type Output = KeyLog<M>;

    fn index(&self, index: usize) -> &KeyLog<M> {
        &self.logs[index]
    }
}

impl<M: Message> IndexMut<usize> for KeyTable<M> {
    fn index_mut(&mut self, index: usize) -> &mut KeyLog<M> {
        &mut self.logs[index]
    }
}
