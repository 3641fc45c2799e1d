//! Queue messages that are kept as bytes, with the JSON of their key, because this process has no reader of the key.
//!
//! A key with a reader has no undecoded entry, and neither has any key while there is a reader of all keys. So every
//! read finds decoded entries alone. A reader takes its keys with [`Log::acquire`], and is registered when
//! [`Log::undecoded_of`] returns none of them.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::event::Event;
use crate::id::Offset;
use crate::message::Message;
use crate::store::entry::{Entry, Undecoded};
use crate::store::kept_as::{KeptAs, QueueRole};
use crate::store::limits::ENTRY_OVERHEAD;
use crate::store::log::key::KeySelection;
use crate::store::log::{AppendError, Log};

impl<M: Message> Log<M> {
    /// Appends a message as bytes, at an offset above the head, and returns what it evicted. Returns `None` for one
    /// that is to be decoded at once: its key has a reader, or it may not fit.
    pub(crate) fn append_undecoded(
        &mut self,
        offset: Offset,
        key_text: &str,
        payload: &[u8],
        encoding_count: usize,
    ) -> Option<Vec<Arc<Entry<M>>>> {
        // A type with snapshots sums every message.
        if M::SNAPSHOT.is_some() || self.is_wanted(key_text) || key_text.len() > self.limits.max_key {
            return None;
        }
        let cost = ENTRY_OVERHEAD + encoding_count * payload.len();
        let key_cost = ENTRY_OVERHEAD + self.keys.bytes_of(key_text.len());
        if self.kept_latest_bytes + cost + key_cost > self.limits.memory {
            return None;
        }
        let key_index = self.keys.index_for_text(key_text);
        let key_text = self.keys[key_index].text.clone()?;
        self.advance_to(offset);
        let key_log = &mut self.keys[key_index];
        self.kept_bytes += cost + if key_log.is_empty() { ENTRY_OVERHEAD } else { 0 };
        let undecoded = Arc::new(Undecoded { offset, key_text, payload: payload.into(), key_index, cost });
        key_log.undecoded.push_back(Arc::clone(&undecoded));
        self.undecoded.insert(offset, undecoded);
        let mut evicted = Vec::new();
        if self.keys[key_index].queue_count() > self.limits.capacity {
            evicted.extend(self.trim_oldest_of(key_index));
        }
        self.make_room(offset, u64::MAX, &mut evicted);
        Some(evicted)
    }

    /// Returns whether an entry with this key has to be decoded when it arrives.
    fn is_wanted(&self, key_text: &str) -> bool {
        let has_reader = |key_index: usize| self.keys[key_index].holders > 0;
        self.readers_of_all > 0
            || !self.keys.tells_keys_by_text()
            || self.keys.index_of_text(key_text).is_some_and(has_reader)
    }

    /// Returns whether a reader of these keys finds every entry decoded.
    pub(super) fn is_decoded(&self, keys: &KeySelection) -> bool {
        let mut of_keys = keys.key_indexes().iter().map(|&key_index| &self.keys[key_index].undecoded);
        of_keys.all(VecDeque::is_empty) && (self.undecoded.is_empty() || !matches!(keys, KeySelection::All))
    }

    /// Returns the oldest undecoded entries that a reader of these keys may want, so many at most.
    pub(crate) fn undecoded_of(&self, keys: &KeySelection, at_most: usize) -> Vec<Arc<Undecoded>> {
        if matches!(keys, KeySelection::All) || !self.keys.tells_keys_by_text() {
            return self.undecoded.values().take(at_most).cloned().collect();
        }
        let of_keys = keys.key_indexes().iter().flat_map(|&key_index| &self.keys[key_index].undecoded);
        of_keys.take(at_most).cloned().collect()
    }

    /// Returns how many entries are undecoded.
    #[cfg(test)]
    pub(crate) fn undecoded_count(&self) -> usize {
        let of_keys: usize = self.keys.undecoded_count();
        assert_eq!(of_keys, self.undecoded.len());
        of_keys
    }

    /// Puts the decoded message in the place of an undecoded entry, and returns what it evicted. Does nothing when the
    /// entry is not kept any more.
    pub(crate) fn replace_undecoded(
        &mut self,
        undecoded: &Arc<Undecoded>,
        key: M::Key,
        message: Arc<M>,
        event: Event,
        encoding_count: usize,
    ) -> Result<Vec<Arc<Entry<M>>>, AppendError> {
        let role = QueueRole::Other;
        let cost = self.check_room(&key, &message, &event, &KeptAs::Queue(role), encoding_count)?;
        let mut evicted = Vec::new();
        if !self.take_undecoded(undecoded) {
            return Ok(evicted);
        }
        let key_index = self.keys.index_for(key, cost.key_size);
        let id = self.id(undecoded.offset);
        self.insert(Arc::new(Entry::new(id, message, event, &KeptAs::Queue(role), key_index, cost.entry)));
        self.keys.evict_if_idle(undecoded.key_index, self.idle_bytes_max());
        if cost.entry > undecoded.cost {
            self.make_room(self.head, u64::MAX, &mut evicted);
        }
        Ok(evicted)
    }

    /// Drops an undecoded entry that cannot be read, and records the gap. Returns false when the entry is not kept any
    /// more.
    pub(crate) fn drop_unreadable(&mut self, undecoded: &Arc<Undecoded>) -> bool {
        if !self.take_undecoded(undecoded) {
            return false;
        }
        self.keys.evict_if_idle(undecoded.key_index, self.idle_bytes_max());
        self.forget_snapshots();
        self.generations.record_unreadable_below(self.head, undecoded.offset);
        true
    }

    fn take_undecoded(&mut self, undecoded: &Arc<Undecoded>) -> bool {
        // Another epoch may have an entry at the same offset.
        if !self.undecoded.get(&undecoded.offset).is_some_and(|kept| Arc::ptr_eq(kept, undecoded)) {
            return false;
        }
        self.undecoded.remove(&undecoded.offset);
        let key_log = &mut self.keys[undecoded.key_index];
        if let Ok(index) = key_log.undecoded.binary_search_by_key(&undecoded.offset, |kept| kept.offset) {
            key_log.undecoded.remove(index);
        }
        self.kept_bytes -= undecoded.cost + if key_log.is_empty() { ENTRY_OVERHEAD } else { 0 };
        true
    }
}
