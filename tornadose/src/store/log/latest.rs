//! The `latest` values of a log: which value a message replaces, or a tombstone drops, and the reading of one.

use std::sync::Arc;

use crate::event::Event;
use crate::id::Offset;
use crate::message::Message;
use crate::message::tombstone::Tombstone;
use crate::store::entry::Entry;
use crate::store::limits::ENTRY_OVERHEAD;
use crate::store::log::Log;

impl<M: Message> Log<M> {
    pub(crate) fn newest_latest(&self, key: &M::Key) -> Option<&Arc<Entry<M>>> {
        self.keys.get(key)?.latest.last()
    }

    /// Returns the offset of the `latest` value of a key that this message replaces.
    pub(super) fn find_replaced(
        &self,
        key_index: usize,
        message: &M,
        event: &Event,
        slot: Option<&str>,
    ) -> Option<Offset> {
        if !M::HAS_SLOTS {
            let latest = &self.keys[key_index].latest;
            return latest.iter().find(|entry| entry.is_replaced_by(message, event)).map(|entry| entry.offset());
        }
        match slot {
            Some(slot) => self.slots.find(key_index, slot),
            None => self
                .slots
                .others(key_index)
                .iter()
                .copied()
                .find(|offset| self.latest.get(offset).is_some_and(|entry| entry.is_replaced_by(message, event))),
        }
    }

    /// Returns the offsets of the `latest` values of a key that a tombstone drops, in order.
    pub(super) fn dropped_by(&self, key_index: usize, tombstone: &Tombstone) -> Vec<Offset> {
        match tombstone {
            Tombstone::Key => self.keys[key_index].latest.iter().map(|entry| entry.offset()).collect(),
            Tombstone::Slots(slots) => {
                let mut dropped: Vec<Offset> =
                    slots.iter().filter_map(|slot| self.slots.find(key_index, slot)).collect();
                dropped.sort_unstable();
                dropped.dedup();
                dropped
            }
        }
    }

    /// Takes the `latest` value of a key at an offset.
    pub(super) fn take_latest_at(&mut self, key_index: usize, offset: Offset) -> Option<Arc<Entry<M>>> {
        let key_log = &mut self.keys[key_index];
        let position = key_log.latest.binary_search_by_key(&offset, |entry| entry.offset()).ok()?;
        let entry = key_log.latest.remove(position);
        self.latest.remove(&offset);
        if M::HAS_SLOTS {
            self.slots.remove(key_index, offset);
        }
        if M::HAS_LATEST_TTL {
            self.deadlines.remove(offset);
        }
        self.version += 1;
        key_log.version = self.version;
        self.kept_bytes -= entry.cost + if key_log.is_empty() { ENTRY_OVERHEAD } else { 0 };
        self.kept_latest_bytes -= entry.cost + if key_log.latest.is_empty() { key_log.key_cost() } else { 0 };
        Some(entry)
    }

    /// Takes the `latest` values of a key at these offsets, which are in order.
    pub(super) fn take_latest_at_all(&mut self, key_index: usize, offsets: Vec<Offset>) -> Vec<Arc<Entry<M>>> {
        // From the end, so that those behind do not move each time.
        offsets.into_iter().rev().filter_map(|offset| self.take_latest_at(key_index, offset)).collect()
    }

    /// Takes all `latest` values of a key.
    pub(super) fn take_all_latest(&mut self, key_index: usize) -> Vec<Arc<Entry<M>>> {
        self.take_latest_at_all(key_index, self.dropped_by(key_index, &Tombstone::Key))
    }

    /// Drops the `latest` values of a key that are wanted, and returns them.
    pub(crate) fn forget(&mut self, key: &M::Key, is_wanted: impl Fn(&Entry<M>) -> bool) -> Vec<Arc<Entry<M>>> {
        let Some(key_index) = self.keys.index_of(key) else { return Vec::new() };
        let wanted = self.keys[key_index].latest.iter().filter(|entry| is_wanted(entry));
        let offsets = wanted.map(|entry| entry.offset()).collect();
        let forgotten = self.take_latest_at_all(key_index, offsets);
        self.keys.evict_if_idle(key_index, self.idle_bytes_max());
        forgotten
    }

    /// Returns whether there is a `latest` value at this offset.
    pub(crate) fn has_value(&self, offset: Offset) -> bool {
        self.latest.contains_key(&offset)
    }

    /// Returns the `latest` value in a slot of a key.
    pub(crate) fn latest_in(&self, key: &M::Key, slot: &str) -> Option<&Arc<Entry<M>>> {
        let offset = self.slots.find(self.keys.index_of(key)?, slot)?;
        self.latest.get(&offset)
    }

    /// Drops the `latest` value in a slot of a key, and returns it.
    pub(crate) fn forget_slot(&mut self, key: &M::Key, slot: &str) -> Option<Arc<Entry<M>>> {
        let key_index = self.keys.index_of(key)?;
        let forgotten = self.take_latest_at(key_index, self.slots.find(key_index, slot)?);
        self.keys.evict_if_idle(key_index, self.idle_bytes_max());
        forgotten
    }

    /// Returns how many `latest` values are known by their slots, or as values without one.
    #[cfg(test)]
    pub(crate) fn slot_count(&self) -> usize {
        assert_eq!(self.slots.len(), self.latest.len());
        self.slots.len()
    }
}
