//! Finishes in a log: which keys are finished, where, and how long that is remembered.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::id::Offset;
use crate::message::Message;
use crate::store::key_json::wire_key;
use crate::store::limits::ENTRY_OVERHEAD;
use crate::store::log::key::KeySelection;
use crate::store::log::notices::Finish;
use crate::store::log::{AppendError, Log};

/// How long a finish is remembered after nothing is kept of its key any more, where messages do not expire.
const FINISH_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// How often old notices are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// The share of the store's memory that notices take.
const MEMORY_SHARE: usize = 10;

impl<M: Message> Log<M> {
    /// Returns the index of a key that is to get a notice. A key that no message can have has none.
    pub(crate) fn index_for_notice(&mut self, key: &M::Key) -> Result<usize, AppendError> {
        let key_size = self.keys.size_of(key).map_err(AppendError::Key)?;
        if key_size > self.limits.max_key {
            return Err(AppendError::KeyTooLong { size: key_size });
        }
        Ok(self.keys.index_for(key.clone(), key_size))
    }

    /// Rejects a finished key. Forgets old notices.
    #[cold]
    pub(super) fn check_open(&mut self, key: &M::Key) -> Result<(), AppendError> {
        self.sweep(Instant::now());
        if self.finish_of_key(key).is_some() { Err(AppendError::Finished) } else { Ok(()) }
    }

    /// Returns the index of a key of which the JSON is known, and which is to get a notice. `None` when it is too long.
    pub(crate) fn index_for_text(&mut self, text: &str) -> Option<usize> {
        let fits = text.len() <= self.limits.max_key || size_of::<M::Key>() == 0;
        (fits && self.keys.keeps_texts()).then(|| self.keys.index_for_text(text))
    }

    /// Forgets the finish of a key.
    pub(crate) fn reopen(&mut self, text: &str) {
        if let Some(key_index) = self.keys.index_of_text(text) {
            self.forget_finish(key_index);
        }
    }

    /// Forgets the finishes that are not to be kept, by their offsets and the JSON of their keys.
    pub(crate) fn retain_finishes(&mut self, is_kept: &dyn Fn(Offset, &str) -> bool) {
        let is_dropped = |key_index: usize, offset: Offset| {
            self.keys[key_index].text.as_ref().is_some_and(|text| !is_kept(offset, text))
        };
        let finishes = self.notices.finish_of.iter().map(|(key_index, offset)| (*key_index, *offset));
        let dropped: Vec<usize> = finishes
            .filter(|(key_index, offset)| is_dropped(*key_index, *offset))
            .map(|(key_index, _)| key_index)
            .collect();
        for key_index in dropped {
            self.forget_finish(key_index);
        }
    }

    /// Forgets the finishes of these keys that are old.
    pub(crate) fn forget_old_finishes(&mut self, keys: &KeySelection) {
        if !self.has_no_finish() {
            for &key_index in keys.key_indexes() {
                self.finish_of(key_index);
            }
        }
    }

    /// Returns the offset of a key's finish, whether or not the log knows the key. Forgets a finish that is old.
    pub(crate) fn finish_of_key(&mut self, key: &M::Key) -> Option<Offset> {
        if self.has_no_finish() {
            return None;
        }
        let key_index = self.keys.find(key)?;
        self.finish_of(key_index)
    }

    /// As [`finish_of_key`](Self::finish_of_key), of a key of which the JSON is known.
    pub(crate) fn finish_of_text(&mut self, text: &str) -> Option<Offset> {
        if self.has_no_finish() {
            return None;
        }
        let key_index = self.keys.index_of_text(text)?;
        self.finish_of(key_index)
    }

    /// Returns the offset of a key's finish. Forgets a finish that is old, and with it a key of which nothing else is known.
    pub(crate) fn finish_of(&mut self, key_index: usize) -> Option<Offset> {
        if self.has_no_finish() {
            return None;
        }
        let offset = *self.notices.finish_of.get(&key_index)?;
        if self.is_forgotten(offset, Instant::now()) {
            self.forget_finish(key_index);
            return None;
        }
        Some(offset)
    }

    /// Finishes a key that is not finished, at an offset above the head.
    pub(crate) fn finish(&mut self, offset: Offset, key_index: usize) {
        self.advance_to(offset);
        let text = self.key_text_of(key_index);
        let key_json: Arc<str> = text.map_or_else(|| "null".into(), |text| wire_key(&text).into());
        let (at, cost) = (Instant::now(), ENTRY_OVERHEAD + key_json.len());
        self.keys.pin(key_index);
        self.notices.insert_finish(offset, Finish { key_index, key_json, at, cost });
        if M::SNAPSHOT.is_some() {
            self.record_finished_snapshot(key_index);
        }
        self.sweep(at);
    }

    /// Returns the newest finish of these keys when all of them are finished. Forgets finishes that are old.
    pub(crate) fn newest_finish_of(&mut self, key_indexes: &[usize]) -> Option<Offset> {
        let mut newest = None;
        for &key_index in key_indexes {
            newest = newest.max(Some(self.finish_of(key_index)?));
        }
        newest
    }

    /// Returns whether no key is finished. Of a type whose keys cannot be, this is known when the program is compiled.
    #[inline]
    pub(super) fn has_no_finish(&self) -> bool {
        !M::CAN_FINISH || self.notices.has_no_finish()
    }

    /// Returns the newest finish of these keys when all of them are finished.
    #[inline]
    pub(crate) fn last_finish(&self, keys: &KeySelection) -> Option<Offset> {
        if self.has_no_finish() { None } else { self.notices.last_finish(keys) }
    }

    /// Returns whether the finish at this offset is old, and nothing is kept of its key.
    fn is_forgotten(&self, offset: Offset, now: Instant) -> bool {
        let Some(Finish { key_index, at, .. }) = self.notices.finishes.get(&offset) else { return true };
        self.is_old(*at, now) && self.keys[*key_index].is_empty()
    }

    /// Leaves it to the engine to say which finishes are old: by one clock, and at one place for all processes.
    pub(crate) fn leave_finishes_to_engine(&mut self) {
        self.engine_reopens = true;
    }

    fn is_old(&self, at: Instant, now: Instant) -> bool {
        let old_at = at.checked_add(self.queue_ttl.unwrap_or(FINISH_TTL));
        !self.engine_reopens && old_at.is_some_and(|old_at| now >= old_at)
    }

    /// Forgets a key's finish. The key is new then.
    pub(super) fn forget_finish(&mut self, key_index: usize) {
        if self.notices.take_finish(key_index) {
            if M::SNAPSHOT.is_some() {
                self.record_reopened_snapshot(key_index);
            }
            self.keys.release(key_index, self.idle_bytes_max());
        }
    }

    /// Forgets notices beyond their share of the memory, but neither the newest finish nor the newest expiry, and now and
    /// then those that are old.
    pub(super) fn sweep(&mut self, now: Instant) {
        let bytes_max = self.limits.memory / MEMORY_SHARE;
        let has_too_many = |log: &Self| log.notices.bytes() + log.expired_values.bytes() > bytes_max;
        while has_too_many(self)
            && let Some(key_index) = self.notices.pop_removal()
        {
            self.keys.release(key_index, self.idle_bytes_max());
        }
        while has_too_many(self) && self.expired_values.len() > 1 {
            self.forget_oldest_expired();
        }
        while has_too_many(self) && self.notices.finishes.len() > 1 {
            let Some(oldest) = self.notices.finishes.first_key_value().map(|(_, finish)| finish.key_index) else {
                break;
            };
            self.forget_finish(oldest);
        }
        if self.notices.sweep_at.is_none_or(|sweep_at| now >= sweep_at) {
            self.notices.sweep_at = Some(now + SWEEP_INTERVAL);
            let old = self.notices.finishes.values().take_while(|finish| self.is_old(finish.at, now));
            let old: Vec<usize> =
                old.map(|finish| finish.key_index).filter(|key_index| self.keys[*key_index].is_empty()).collect();
            for key_index in old {
                self.forget_finish(key_index);
            }
        }
    }

    /// Forgets all notices at the end of an epoch.
    pub(super) fn forget_notices(&mut self) {
        let notices = std::mem::take(&mut self.notices);
        let pinned =
            notices.finish_of.into_keys().chain(notices.removals.into_values().map(|removal| removal.key_index));
        pinned.for_each(|key_index| self.keys.unpin(key_index));
    }
}
