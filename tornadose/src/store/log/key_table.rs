//! The keys that a log knows, by index. A key stays known while something of it is kept or it has a reader; after
//! that, the log remembers how far it was trimmed, for keys of a bounded size in all.
//!
//! A table may know its keys by their JSON too, for entries that come with the JSON of their key and are not decoded.

use std::collections::{BTreeMap, HashMap};
use std::ops::{Index, IndexMut};
use std::sync::Arc;

use slab::Slab;

use crate::event::error::EncodeError;
use crate::id::Offset;
use crate::message::Message;
use crate::store::key_json::{key_size, key_text};
use crate::store::limits::ENTRY_OVERHEAD;
use crate::store::log::key::KeyLog;

pub(super) struct KeyTable<M: Message> {
    logs: Slab<KeyLog<M>>,
    /// The index of each key. The key is shared with its log.
    by_key: HashMap<Arc<M::Key>, usize>,
    /// The index of each key by its JSON, if the table keeps it. It is shared with the key's log.
    by_text: HashMap<Arc<str>, usize>,
    keeps_texts: bool,
    /// Whether two keys have had the same JSON, although different keys must not.
    has_ambiguous_texts: bool,
    /// The sizes of all keys.
    key_bytes: usize,
    /// Keys with nothing kept and no holder, by their newest trimmed offset.
    idle: BTreeMap<Offset, usize>,
    /// The costs of the idle keys.
    idle_bytes: usize,
    /// No message of a key that is not in the table was trimmed above this offset.
    trimmed_floor: Offset,
}

impl<M: Message> KeyTable<M> {
    /// Creates a table. `keeps_texts`: it knows its keys by their JSON too.
    pub(super) fn new(keeps_texts: bool) -> Self {
        Self {
            logs: Slab::new(),
            by_key: HashMap::new(),
            by_text: HashMap::new(),
            keeps_texts,
            has_ambiguous_texts: false,
            key_bytes: 0,
            idle: BTreeMap::new(),
            idle_bytes: 0,
            trimmed_floor: Offset::START,
        }
    }

    pub(super) fn index_of(&self, key: &M::Key) -> Option<usize> {
        self.by_key.get(key).copied()
    }

    pub(super) fn get(&self, key: &M::Key) -> Option<&KeyLog<M>> {
        self.index_of(key).map(|index| &self.logs[index])
    }

    /// Returns the index of a key, also of one of which only the JSON is known.
    pub(super) fn find(&self, key: &M::Key) -> Option<usize> {
        let by_text = || self.index_of_text(&key_text(key).ok()?);
        self.index_of(key).or_else(|| if self.keeps_texts { by_text() } else { None })
    }

    /// Returns the size of a key. A key that is in the table is not serialized again.
    pub(super) fn size_of(&self, key: &M::Key) -> Result<usize, EncodeError> {
        self.get(key).map_or_else(|| key_size(key), |log| Ok(log.key_size()))
    }

    /// Returns the bytes that a key of this size counts.
    pub(super) fn bytes_of(&self, key_size: usize) -> usize {
        if self.keeps_texts { 2 * key_size } else { key_size }
    }

    /// Returns the bytes that remember the slot of a `latest` value. In a store with a backend its key can be forgotten by
    /// its JSON too: a copy of the key, its JSON twice, and the slot once more.
    pub(super) fn slot_bytes(&self, key_size: usize, event_name: Option<&str>, slot: Option<&str>) -> usize {
        let remembered = if self.keeps_texts && size_of::<M::Key>() > 0 {
            3 * key_size + slot.or(event_name).map_or(0, str::len)
        } else {
            0
        };
        slot.map_or(0, str::len) + remembered
    }

    /// Returns whether the table knows its keys by their JSON.
    pub(super) fn keeps_texts(&self) -> bool {
        self.keeps_texts
    }

    /// Returns whether a key is told from all others by its JSON.
    pub(super) fn tells_keys_by_text(&self) -> bool {
        self.keeps_texts && !self.has_ambiguous_texts
    }

    pub(super) fn index_of_text(&self, text: &str) -> Option<usize> {
        self.by_text.get(text).copied()
    }

    /// Returns how many keys there are.
    pub(super) fn count(&self) -> usize {
        self.logs.len()
    }

    /// Returns a number above the indexes of all keys.
    pub(super) fn index_end(&self) -> usize {
        self.logs.capacity()
    }

    /// Returns what is kept of the key of an index, if there is one.
    pub(super) fn at(&self, index: usize) -> Option<&KeyLog<M>> {
        self.logs.get(index)
    }

    /// Returns the bytes of all keys, beside the overhead of those with something kept.
    pub(super) fn bytes(&self) -> usize {
        self.key_bytes + self.idle.len() * ENTRY_OVERHEAD
    }

    /// Returns the index of a key that a message is appended to. The key has this size.
    pub(super) fn index_for(&mut self, key: M::Key, key_size: usize) -> usize {
        let index = self.index_of(&key).unwrap_or_else(|| self.insert(key, key_size));
        self.unmark_idle(index);
        index
    }

    /// As [`index_for`](Self::index_for), for a key of which only the JSON is known.
    pub(super) fn index_for_text(&mut self, text: &str) -> usize {
        let index = self.index_of_text(text).unwrap_or_else(|| {
            let text = Arc::from(text);
            self.insert_log(None, Some(text))
        });
        self.unmark_idle(index);
        index
    }

    /// Counts a holder of a key of this size. The key stays in the table as long as it has one.
    pub(super) fn acquire(&mut self, key: M::Key, key_size: usize) -> usize {
        let index = self.index_for(key, key_size);
        self.logs[index].holders += 1;
        index
    }

    /// Counts a further holder of a key that is in the table.
    pub(super) fn pin(&mut self, index: usize) {
        self.unmark_idle(index);
        self.logs[index].holders += 1;
    }

    pub(super) fn release(&mut self, index: usize, idle_bytes_max: usize) {
        self.logs[index].holders -= 1;
        self.evict_if_idle(index, idle_bytes_max);
    }

    /// As [`release`](Self::release), but the key stays in the table until it is [reset](Self::reset).
    pub(super) fn unpin(&mut self, index: usize) {
        self.logs[index].holders -= 1;
    }

    /// Returns whether something is kept of a key, or is known to have been trimmed.
    pub(super) fn is_known(&self, index: usize) -> bool {
        let log = &self.logs[index];
        !log.is_empty() || log.trimmed_through > self.trimmed_floor
    }

    /// Removes a key with nothing kept and no holder. A key that was trimmed above the floor is remembered as idle
    /// instead, within the bound of all idle keys.
    pub(super) fn evict_if_idle(&mut self, index: usize, idle_bytes_max: usize) {
        let log = &self.logs[index];
        if log.holders > 0 || !log.is_empty() {
            return;
        }
        if log.trimmed_through <= self.trimmed_floor {
            self.remove(index);
            return;
        }
        if self.idle.insert(log.trimmed_through, index).is_none() {
            self.idle_bytes += log.key_cost();
        }
        self.evict_idle_beyond(idle_bytes_max);
    }

    /// Forgets idle keys until the others take at most so many bytes. Those that were trimmed first go first.
    pub(super) fn evict_idle_beyond(&mut self, idle_bytes_max: usize) {
        while self.idle_bytes > idle_bytes_max
            && let Some((trimmed_through, oldest)) = self.idle.pop_first()
        {
            self.idle_bytes -= self.logs[oldest].key_cost();
            self.trimmed_floor = trimmed_through;
            self.remove(oldest);
        }
    }

    /// Begins an epoch: only keys that have a holder stay, with their counts, because the readers' ledgers are made
    /// from them.
    pub(super) fn reset(&mut self, version: u64) {
        self.trimmed_floor = Offset::START;
        self.idle.clear();
        (self.idle_bytes, self.key_bytes) = (0, 0);
        self.logs.retain(|_, log| {
            log.clear(version);
            let is_held = log.holders > 0;
            self.key_bytes += if is_held { log.key_bytes() } else { 0 };
            is_held
        });
        let logs = &self.logs;
        self.by_key.retain(|_, index| logs.contains(*index));
        self.by_text.retain(|_, index| logs.contains(*index));
    }

    fn insert(&mut self, key: M::Key, key_size: usize) -> usize {
        let mut text: Option<Arc<str>> = self.keeps_texts.then(|| key_text(&key).ok()).flatten().map(Arc::from);
        let key = Arc::new(key);
        if let Some(index) = text.as_ref().and_then(|text| self.index_of_text(text)) {
            let log = &mut self.logs[index];
            if log.key.is_none() {
                log.key = Some(Arc::clone(&key));
                self.by_key.insert(key, index);
                return index;
            }
            self.has_ambiguous_texts = true;
            text = None;
        }
        self.insert_log(Some((key, key_size)), text)
    }

    /// Inserts a key that is known by itself, with its size, or by its JSON, or by both.
    fn insert_log(&mut self, key: Option<(Arc<M::Key>, usize)>, text: Option<Arc<str>>) -> usize {
        let text_size = text.as_ref().map_or(0, |text| text.len());
        let (key, key_size) = key.map_or((None, text_size), |(key, key_size)| (Some(key), key_size));
        let log = KeyLog::new(key.clone(), text.clone(), key_size, self.trimmed_floor);
        self.key_bytes += log.key_bytes();
        let index = self.logs.insert(log);
        self.by_key.extend(key.map(|key| (key, index)));
        self.by_text.extend(text.map(|text| (text, index)));
        index
    }

    fn unmark_idle(&mut self, index: usize) {
        let log = &self.logs[index];
        if self.idle.get(&log.trimmed_through) == Some(&index) {
            self.idle.remove(&log.trimmed_through);
            self.idle_bytes -= log.key_cost();
        }
    }

    fn remove(&mut self, index: usize) {
        let log = self.logs.remove(index);
        self.key_bytes -= log.key_bytes();
        if let Some(key) = log.key {
            self.by_key.remove(&*key);
        }
        if let Some(text) = log.text {
            self.by_text.remove(&*text);
        }
    }

    #[cfg(test)]
    pub(super) fn undecoded_count(&self) -> usize {
        self.logs.iter().map(|(_, log)| log.undecoded.len()).sum()
    }

    #[cfg(test)]
    pub(super) fn idle_count(&self) -> usize {
        let costs: usize = self.idle.values().map(|index| self.logs[*index].key_cost()).sum();
        assert_eq!(costs, self.idle_bytes);
        self.idle.len()
    }

    #[cfg(test)]
    pub(super) fn trimmed_floor(&self) -> Offset {
        self.trimmed_floor
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.by_key.len(), self.logs.iter().filter(|(_, log)| log.key.is_some()).count());
        assert_eq!(self.by_text.len(), self.logs.iter().filter(|(_, log)| log.text.is_some()).count());
        assert_eq!(self.key_bytes, self.logs.iter().map(|(_, log)| log.key_bytes()).sum::<usize>());
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
