//! The end of `latest` values by their age. Nothing here runs for a type without [`Message::HAS_LATEST_TTL`]. That of queue
//! messages is in [`expiry`](crate::store::log::expiry).
//!
//! A store in memory expires a value when its deadline has passed. An engine decides by its own clock: a store over it
//! asks at the deadline, and again until the engine has answered with an entry.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::event::Event;
use crate::id::Offset;
use crate::message::Message;
use crate::store::entry::Entry;
use crate::store::kept_as::KeptAs;
use crate::store::key_json::{key_text, latest_slot, wire_key, wire_slot};
use crate::store::limits::ENTRY_OVERHEAD;
use crate::store::log::Log;
use crate::store::log::cursor::Cursor;
use crate::store::log::deadlines::ExpiryRequest;
use crate::store::log::expired_values::{ExpiredValue, NextExpired};
use crate::store::log::key::KeySelection;

/// How long a store waits until it asks its engine again about a value: a tenth of its ttl, within these bounds.
const ASK_AGAIN_MIN: Duration = Duration::from_millis(10);
const ASK_AGAIN_MAX: Duration = Duration::from_secs(1);

impl<M: Message> Log<M> {
    /// Records that the `latest` value at an offset, which has this age now, expires after its ttl.
    pub(crate) fn set_deadline(&mut self, offset: Offset, now: Instant, age: Duration, ttl: Duration) {
        let Some(at) = now.checked_add(ttl.saturating_sub(age)) else { return };
        if self.latest.contains_key(&offset) {
            self.deadlines.set(offset, at, ttl);
        }
    }

    /// Returns the first deadline.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| at)
    }

    /// Takes the deadline of a value that has expired, and returns its offset: those that expired first come first.
    pub(crate) fn pop_expired_value(&mut self, now: Instant) -> Option<Offset> {
        let (_, offset) = self.deadlines.first().filter(|(at, _)| *at <= now)?;
        self.deadlines.remove(offset);
        Some(offset)
    }

    /// Returns some of the values whose deadline has passed, which an engine is to be asked about, and moves their
    /// deadlines to the time when it is asked again.
    pub(crate) fn take_expiry_requests(&mut self, now: Instant, at_most: usize) -> Vec<ExpiryRequest> {
        let mut requests = Vec::new();
        let again_at = |ttl: Duration| now + (ttl / 10).clamp(ASK_AGAIN_MIN, ASK_AGAIN_MAX);
        while requests.len() < at_most
            && let Some((_, offset)) = self.deadlines.first().filter(|(at, _)| *at <= now)
            && let Some((ttl, was_asked)) = self.deadlines.ask(offset, again_at)
        {
            let (place, missing) = (self.place_of(offset), Some(offset).filter(|_| was_asked));
            requests.extend(place.map(|place| ExpiryRequest { place, through: self.head, ttl, missing }));
        }
        requests
    }

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
        let kept_as = KeptAs::Latest { slot: None, ttl: None };
        let entry = Arc::new(Entry::new(self.id(value), message, event, &kept_as, key_index, cost));
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
            json.push_str(r#","slot":"#);
            json.push_str(&wire_slot(slot, M::SLOTS_NAME_VARIANTS));
        }
        if let Some(name) = entry.event.name() {
            json.push_str(r#","event":"#);
            json.push_str(&serde_json::Value::from(name).to_string());
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
        Some(latest_slot(&self.key_text_of(entry.key_index)?, entry.event.name(), slot.as_deref()))
    }

    /// Forgets the oldest notice. Its key counts as trimmed up to it.
    pub(super) fn forget_oldest_expired(&mut self) {
        let Some(offset) = self.expired_values.oldest() else { return };
        let Some(value) = self.expired_values.remove(offset) else { return };
        let key_index = value.entry.key_index;
        let key_log = &mut self.keys[key_index];
        key_log.trimmed_through = key_log.trimmed_through.max(offset);
        // Each notice of the key holds it, and so does each of its readers.
        let has_readers = self.readers_of_all > 0 || key_log.holders > 1;
        self.trimmed_through = self.trimmed_through.max(offset);
        if M::SNAPSHOT.is_some() {
            // No snapshot contains the end of a value.
            self.mark_unsummed_trimmed(key_index, offset);
        }
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
        let values =
            self.expired_values.of_key(key_index).into_iter().filter_map(|offset| self.expired_values.remove(offset));
        let entries: Vec<_> = values.map(|value| value.entry).collect();
        for _ in &entries {
            self.keys.release(key_index, self.idle_bytes_max());
        }
        entries
    }

    /// Drops all notices at the end of an epoch. Returns their values.
    pub(super) fn take_all_expired(&mut self) -> Vec<Arc<Entry<M>>> {
        let expired = std::mem::take(&mut self.expired_values);
        let entries: Vec<_> = expired.into_values().map(|value| value.entry).collect();
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
        self.expired_values.next(keys, cursor.position.max(cursor.expired_through()))
    }

    /// Returns the newest offset up to which notices were forgotten that may be of these keys.
    pub(super) fn forgotten_expiries_through(&self, keys: &KeySelection) -> Offset {
        self.expired_values.forgotten_through(keys)
    }

    /// Returns whether a notice was forgotten of which a reader was not told.
    #[inline]
    pub(crate) fn has_lost_expiry(&self, keys: &KeySelection, cursor: &Cursor) -> bool {
        M::HAS_LATEST_TTL && self.expired_values.forgotten_through(keys) > cursor.position.max(cursor.expired_through())
    }

    /// Returns the cursor of a reader that has lost expiries or tombstones, or may have: before all values that are kept. Of
    /// the queue messages it is owed the same as before.
    pub(crate) fn cursor_before_latest(&self, keys: &KeySelection, cursor: &Cursor) -> Cursor {
        let through = cursor.position.max(cursor.expired_through());
        let before = Cursor {
            position: Offset::START,
            skip_through: cursor.owed_after(),
            ids_after: cursor.ids_after.max(cursor.position).max(self.trimmed_through(keys)),
            ..cursor.clone()
        };
        before.with_expired_through(through.max(self.expired_values.forgotten_through(keys)))
    }

    /// Returns how many values and notices are remembered.
    #[cfg(test)]
    pub(crate) fn expiry_counts(&self) -> (usize, usize) {
        (self.deadlines.len(), self.expired_values.checked_len())
    }
}
