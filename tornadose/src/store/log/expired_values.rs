//! The notices of `latest` values that have expired. Nothing here runs for a type without [`Message::HAS_LATEST_TTL`].
//!
//! A notice has an offset of its own, and is read there. The notices take at most a tenth of the store's memory, together
//! with those of [`notices`](crate::store::log::notices); beyond that the oldest are forgotten. Their keys then count as
//! trimmed up to them, so that a client that resumes from before is sent a gap, and a reader that has not read as far
//! lags. After either, all values that are kept are sent.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use tokio::time::Instant;

use crate::event::Event;
use crate::id::Offset;
use crate::message::{Message, Retention};
use crate::store::entry::Entry;
use crate::store::key_json::{key_text, latest_slot, wire_key, wire_slot};
use crate::store::limits::ENTRY_OVERHEAD;
use crate::store::log::Log;
use crate::store::log::cursor::{Cursor, above};
use crate::store::log::key::KeySelection;

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
    notices: BTreeMap<Offset, ExpiredValue<M>>,
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
            notices: BTreeMap::new(),
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

    fn is_empty(&self) -> bool {
        self.notices.is_empty()
    }

    /// Returns the first notice of these keys above an offset.
    fn next(&self, keys: &KeySelection, after: Offset) -> Option<NextExpired<M>> {
        let above_of =
            |key_index: usize| (Bound::Excluded((key_index, after)), Bound::Excluded((key_index + 1, Offset::START)));
        let offset = match keys {
            KeySelection::All => self.notices.range(above(after)).next().map(|(offset, _)| *offset),
            _ => {
                let of_keys = keys.key_indexes().iter();
                of_keys.filter_map(|key| self.of_key.range(above_of(*key)).next()).map(|(_, offset)| *offset).min()
            }
        }?;
        Some(NextExpired { offset, value: self.notices.get(&offset)?.clone() })
    }

    /// Returns the newest notice of these keys that was forgotten.
    fn forgotten_through(&self, keys: &KeySelection) -> Offset {
        match keys {
            KeySelection::All => self.forgotten_of_any,
            _ if self.forgotten_of_any == Offset::START => Offset::START,
            _ => {
                let of_keys = keys.key_indexes().iter().filter_map(|key| self.forgotten.get(key)).copied();
                of_keys.max().unwrap_or_default().max(self.forgotten_floor)
            }
        }
    }

    fn insert(&mut self, offset: Offset, value: ExpiredValue<M>) {
        self.bytes += cost(&value);
        self.of_key.insert((value.entry.key_index(), offset));
        self.notices.insert(offset, value);
    }

    fn remove(&mut self, offset: Offset) -> Option<ExpiredValue<M>> {
        let value = self.notices.remove(&offset)?;
        self.of_key.remove(&(value.entry.key_index(), offset));
        self.bytes -= cost(&value);
        Some(value)
    }

    /// Remembers that the notice of a key was forgotten.
    fn record_forgotten(&mut self, key_index: usize, offset: Offset, has_readers: bool) {
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
    fn checked_len(&self) -> usize {
        assert_eq!(self.of_key.len(), self.notices.len());
        assert_eq!(self.bytes, self.notices.values().map(cost).sum::<usize>());
        self.notices.len()
    }
}

fn cost<M>(value: &ExpiredValue<M>) -> usize {
    ENTRY_OVERHEAD + value.json.len() + value.entry.cost
}

impl<M: Message> Log<M> {
    /// Drops the `latest` value at an offset because it has expired, and returns the index of its key. Its readers are
    /// told at another offset, above the head.
    pub(crate) fn expire_value(&mut self, value: Offset, offset: Offset) -> Option<usize> {
        let entry = Arc::clone(self.latest.get(&value)?);
        let (key_index, slot) = (entry.key_index, self.slots.slot_of(value));
        self.keys.pin(key_index);
        // Another reference is kept, so it is not dropped here.
        self.take_latest_at(key_index, value);
        self.record_expired(offset, entry, slot.as_deref());
        Some(key_index)
    }

    /// Drops the `latest` value at an offset because it has expired. Its readers are not told.
    pub(crate) fn drop_value(&mut self, value: Offset) -> Option<Arc<Entry<M>>> {
        let key_index = self.latest.get(&value)?.key_index;
        let dropped = self.take_latest_at(key_index, value);
        self.keys.evict_if_idle(key_index, self.idle_bytes_max());
        dropped
    }

    /// As [`expire_value`](Self::expire_value), for a value that was kept before this log was filled. Does nothing if the
    /// log has seen it, so that it was dropped before it expired.
    pub(crate) fn expire_unseen_value(
        &mut self,
        value: Offset,
        offset: Offset,
        (key, message, event): (M::Key, Arc<M>, Event),
        slot: Option<&str>,
    ) -> Option<usize> {
        if !M::HAS_LATEST_TTL || value > self.generations.lost_through() {
            return None;
        }
        let key_size = self.keys.size_of(&key).ok().filter(|size| *size <= self.limits.max_key)?;
        let cost = ENTRY_OVERHEAD + event.encoded_len_max();
        let key_index = self.keys.index_for(key, key_size);
        self.keys.pin(key_index);
        let entry = Arc::new(Entry::new(self.id(value), message, event, Retention::Latest, key_index, cost));
        self.record_expired(offset, entry, slot);
        Some(key_index)
    }

    /// Returns the offset of the value that is kept in the place of a message.
    pub(crate) fn value_in_place(
        &self,
        key: &M::Key,
        message: &M,
        event: &Event,
        slot: Option<&str>,
    ) -> Option<Offset> {
        self.find_replaced(self.keys.index_of(key)?, message, event, slot)
    }

    /// Remembers the notice of a value, whose key the caller has pinned for it.
    fn record_expired(&mut self, offset: Offset, entry: Arc<Entry<M>>, slot: Option<&str>) {
        self.advance_to(offset);
        let json = self.expired_json(&entry, slot).into();
        self.expired_values.insert(offset, ExpiredValue { entry, json });
        self.sweep(Instant::now());
    }

    /// Returns the data of the event by which readers are told.
    fn expired_json(&self, entry: &Entry<M>, slot: Option<&str>) -> String {
        let key = self.key_text_of(entry.key_index);
        let mut json = format!(r#"{{"key":{}"#, key.as_deref().map_or("null".into(), wire_key));
        if let Some(slot) = slot {
            json += &format!(r#","slot":{}"#, wire_slot(slot, M::SLOTS_NAME_VARIANTS));
        }
        if let Some(name) = entry.event.name() {
            json += &format!(r#","event":{}"#, serde_json::Value::from(name));
        }
        json + "}"
    }

    /// Returns the JSON of a key.
    pub(super) fn key_text_of(&self, key_index: usize) -> Option<Arc<str>> {
        let key_log = &self.keys[key_index];
        match (&key_log.text, &key_log.key) {
            (Some(text), _) => Some(Arc::clone(text)),
            // It could be serialized to be measured.
            (None, Some(key)) => key_text(&**key).ok().map(Arc::from),
            (None, None) => None,
        }
    }

    /// Returns the place of the `latest` value at an offset, as engines know it.
    pub(crate) fn place_of(&self, offset: Offset) -> Option<String> {
        let entry = self.latest.get(&offset)?;
        let slot = self.slots.slot_of(offset);
        Some(latest_slot(&*self.key_text_of(entry.key_index)?, entry.event.name(), slot.as_deref()))
    }

    /// Forgets the oldest notice. Its key counts as trimmed up to it.
    pub(super) fn forget_oldest_expired(&mut self) {
        let Some(offset) = self.expired_values.notices.first_key_value().map(|(offset, _)| *offset) else { return };
        let Some(value) = self.expired_values.remove(offset) else { return };
        let key_index = value.entry.key_index;
        let key_log = &mut self.keys[key_index];
        key_log.trimmed_through = key_log.trimmed_through.max(offset);
        // Each notice of the key holds it, and so does each of its readers.
        let has_readers = self.readers_of_all > 0 || key_log.holders > 1;
        self.trimmed_through = self.trimmed_through.max(offset);
        self.expired_values.record_forgotten(key_index, offset, has_readers);
        self.keys.release(key_index, self.idle_bytes_max());
        self.discarded_values.push(value.entry);
    }

    /// Takes the values whose notices were forgotten, to be dropped outside of the store's lock.
    pub(crate) fn take_discarded_values(&mut self) -> Vec<Arc<Entry<M>>> {
        std::mem::take(&mut self.discarded_values)
    }

    /// Drops the notices of a key, whose readers are told otherwise. Returns their values.
    pub(super) fn take_expired_of(&mut self, key_index: usize) -> Vec<Arc<Entry<M>>> {
        let range = (key_index, Offset::START)..(key_index + 1, Offset::START);
        let offsets: Vec<Offset> = self.expired_values.of_key.range(range).map(|(_, offset)| *offset).collect();
        let values = offsets.into_iter().filter_map(|offset| self.expired_values.remove(offset));
        let entries: Vec<_> = values.map(|value| value.entry).collect();
        for _ in &entries {
            self.keys.release(key_index, self.idle_bytes_max());
        }
        entries
    }

    /// Drops all notices at the end of an epoch. Returns their values.
    pub(super) fn take_all_expired(&mut self) -> Vec<Arc<Entry<M>>> {
        let expired = std::mem::take(&mut self.expired_values);
        let entries: Vec<_> = expired.notices.into_values().map(|value| value.entry).collect();
        for entry in &entries {
            self.keys.unpin(entry.key_index);
        }
        entries
    }

    // --- Reading -------------------------------------------------------------------------------------------------

    /// Returns the next notice that a reader is told.
    #[inline]
    pub(super) fn next_expired(&self, keys: &KeySelection, cursor: &Cursor) -> Option<NextExpired<M>> {
        if !M::HAS_LATEST_TTL || self.expired_values.is_empty() {
            return None;
        }
        self.expired_values.next(keys, cursor.position.max(cursor.expired_through))
    }

    /// Returns whether a notice was forgotten of which a reader was not told.
    #[inline]
    pub(super) fn has_lost_expiry(&self, keys: &KeySelection, cursor: &Cursor) -> bool {
        M::HAS_LATEST_TTL && self.expired_values.forgotten_through(keys) > cursor.position.max(cursor.expired_through)
    }

    /// Returns the cursor of a reader that has lost expiries, or may have: before all values that are kept. Of the queue
    /// messages it is owed the same as before.
    pub(crate) fn cursor_before_latest(&self, keys: &KeySelection, cursor: &Cursor) -> Cursor {
        let through = cursor.position.max(cursor.expired_through);
        Cursor {
            position: Offset::START,
            skip_through: cursor.owed_after(),
            ids_after: cursor.ids_after.max(cursor.position).max(self.trimmed_through(keys)),
            expired_through: through.max(self.expired_values.forgotten_through(keys)),
            ..cursor.clone()
        }
    }

    /// Returns how many values and notices are remembered.
    #[cfg(test)]
    pub(crate) fn expiry_counts(&self) -> (usize, usize) {
        (self.deadlines.len(), self.expired_values.checked_len())
    }
}
