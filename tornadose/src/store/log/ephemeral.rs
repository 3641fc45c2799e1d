//! The ephemeral messages of a log. They stand between its other messages for a moment, beside the capacity of their
//! keys. Nothing here runs for a type without [`Message::HAS_EPHEMERAL`].
//!
//! # Ordering
//!
//! Each has a number, and a place: an offset of its own or, where an engine gives it none, that of the head when it came.
//! It is read after the messages up to its place. A cursor remembers the number of the newest that it has passed,
//! because several may have one place.
//!
//! # Lagging
//!
//! One that was dropped before a reader has read it is no gap. The reader's ledger has its number.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::event::Event;
use crate::id::Offset;
use crate::message::Message;
use crate::store::entry::Entry;
use crate::store::kept_as::KeptAs;
use crate::store::limits::ENTRY_OVERHEAD;
use crate::store::log::cursor::Cursor;
use crate::store::log::ephemeral_index::Kept;
use crate::store::log::key::KeySelection;
use crate::store::log::{AppendError, Appended, Log};

/// How long an ephemeral message stands in the log at most.
pub(crate) const EPHEMERAL_AGE: Duration = Duration::from_secs(5);

/// How many of them stand in the log at most, those of all keys together.
pub(crate) const EPHEMERAL_MAX: usize = 1024;

/// The ephemeral messages that a reader has not passed.
#[derive(Default)]
pub(super) struct UnreadEphemerals {
    /// Their numbers, in order.
    numbers: Vec<u64>,
}

impl UnreadEphemerals {
    pub(super) fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Returns the number of the first; 0 when there is none.
    pub(super) fn first(&self) -> u64 {
        self.numbers.first().copied().unwrap_or(0)
    }

    /// Returns the number of the last of so many.
    pub(super) fn last_of(&self, count: usize) -> Option<u64> {
        self.numbers.get(count.checked_sub(1)?).copied()
    }

    /// Leaves out those behind a limit.
    pub(super) fn retain_up_to<M: Message>(&mut self, limit: Offset, log: &Log<M>) {
        self.numbers.retain(|number| log.ephemerals.entry(*number).is_some_and(|entry| entry.offset() <= limit));
    }

    /// Returns their entries, in order. With a `stop` only those with a place before it.
    pub(super) fn entries<'a, M: Message>(
        &'a self,
        log: &'a Log<M>,
        stop: Option<Offset>,
    ) -> impl Iterator<Item = &'a Arc<Entry<M>>> {
        let entries = self.numbers.iter().filter_map(|number| log.ephemerals.entry(*number));
        entries.take_while(move |entry| stop.is_none_or(|stop| entry.offset() < stop))
    }
}

impl<M: Message> Log<M> {
    /// Appends an ephemeral message: at an offset of its own above the head or, without one, after the head.
    pub(crate) fn append_ephemeral(
        &mut self,
        offset: Option<Offset>,
        key: M::Key,
        message: Arc<M>,
        event: Event,
        encoding_count: usize,
        submitted_at: Instant,
    ) -> Result<Appended<M>, AppendError> {
        if !self.has_no_finish() {
            self.check_open(&key)?;
        }
        let cost = self.check_room(&key, &message, &event, &KeptAs::Ephemeral, encoding_count)?;
        let key_index = self.keys.index_for(key, cost.key_size);
        if let Some(offset) = offset {
            self.advance_to(offset);
        }
        let id = self.head();
        let entry = Arc::new(Entry::new(id, message, event, &KeptAs::Ephemeral, key_index, cost.entry));
        self.insert_ephemeral(Arc::clone(&entry), submitted_at);
        let mut evicted = Vec::new();
        while self.ephemerals.kept.len() > EPHEMERAL_MAX {
            evicted.extend(self.drop_oldest_ephemeral());
        }
        // Every queue message is older than this one, also that of its place.
        self.make_room(Offset::new(u64::MAX, u64::MAX), self.ephemerals.appended, &mut evicted);
        Ok(Appended { entry, evicted })
    }

    fn insert_ephemeral(&mut self, entry: Arc<Entry<M>>, submitted_at: Instant) {
        self.ephemerals.appended += 1;
        let number = self.ephemerals.appended;
        let key_log = &mut self.keys[entry.key_index];
        self.kept_bytes += entry.cost + if key_log.is_empty() { ENTRY_OVERHEAD } else { 0 };
        self.version += 1;
        key_log.version = self.version;
        key_log.newest = key_log.newest.max(entry.offset());
        let of_key = key_log.ephemerals.get_or_insert_default();
        of_key.appended += 1;
        of_key.numbers.push_back(number);
        self.ephemerals.kept.insert(number, Kept { entry, submitted_at });
    }

    /// Drops the ephemeral message of a number.
    fn drop_ephemeral(&mut self, number: u64) -> Option<Arc<Entry<M>>> {
        let entry = self.ephemerals.kept.remove(&number)?.entry;
        let key_log = &mut self.keys[entry.key_index];
        if let Some(of_key) = &mut key_log.ephemerals
            && let Ok(index) = of_key.numbers.binary_search(&number)
        {
            of_key.numbers.remove(index);
        }
        self.version += 1;
        key_log.version = self.version;
        self.kept_bytes -= entry.cost + if key_log.is_empty() { ENTRY_OVERHEAD } else { 0 };
        Some(entry)
    }

    /// Drops the oldest ephemeral message.
    fn drop_oldest_ephemeral(&mut self) -> Option<Arc<Entry<M>>> {
        let (number, key_index) = self.ephemerals.kept.first_key_value().map(|(n, kept)| (*n, kept.entry.key_index))?;
        let dropped = self.drop_ephemeral(number);
        self.keys.evict_if_idle(key_index, self.idle_bytes_max());
        dropped
    }

    /// Drops the oldest ephemeral message to make room, but not that of a number and those after it.
    pub(super) fn make_room_by_ephemeral(&mut self, before: u64) -> Option<Arc<Entry<M>>> {
        if !M::HAS_EPHEMERAL {
            return None;
        }
        self.ephemerals.kept.first_key_value().filter(|(number, _)| **number < before)?;
        self.drop_oldest_ephemeral()
    }

    /// Drops the ephemeral messages of a key.
    pub(super) fn drop_ephemerals_of(&mut self, key_index: usize) -> Vec<Arc<Entry<M>>> {
        let numbers: Vec<u64> = self.keys[key_index].ephemerals.iter().flat_map(|of_key| of_key.after(0)).collect();
        // From the end, so that those behind do not move each time.
        numbers.into_iter().rev().filter_map(|number| self.drop_ephemeral(number)).collect()
    }

    /// Drops the ephemeral messages that are too old.
    pub(crate) fn expire_ephemerals(&mut self, now: Instant) -> Vec<Arc<Entry<M>>> {
        let mut expired = Vec::new();
        while let Some((_, oldest)) = self.ephemerals.kept.first_key_value()
            && oldest.submitted_at.checked_add(EPHEMERAL_AGE).is_some_and(|expiry| expiry <= now)
        {
            expired.extend(self.drop_oldest_ephemeral());
        }
        expired
    }

    /// Returns when the oldest ephemeral message is too old.
    pub(crate) fn next_ephemeral_expiry(&self) -> Option<Instant> {
        self.ephemerals.kept.first_key_value()?.1.submitted_at.checked_add(EPHEMERAL_AGE)
    }

    /// Returns the ephemeral messages that a reader has not passed.
    pub(super) fn unread_ephemerals(&self, keys: &KeySelection, cursor: &Cursor) -> UnreadEphemerals {
        if !M::HAS_EPHEMERAL || cursor.ephemeral() == self.ephemerals.appended {
            return UnreadEphemerals::default();
        }
        let numbers = match keys {
            KeySelection::All => {
                self.ephemerals.kept.range(cursor.ephemeral() + 1..).map(|(number, _)| *number).collect()
            }
            KeySelection::One(_) => self.numbers_after(keys, cursor.ephemeral()).collect(),
            KeySelection::Set(_) | KeySelection::Watched(_) => {
                let mut numbers: Vec<u64> = self.numbers_after(keys, cursor.ephemeral()).collect();
                numbers.sort_unstable();
                numbers
            }
        };
        UnreadEphemerals { numbers }
    }

    /// Returns the numbers of the ephemeral messages of these keys after one, key by key.
    fn numbers_after(&self, keys: &KeySelection, number: u64) -> impl Iterator<Item = u64> {
        let of_keys = keys.key_indexes().iter().filter_map(|&key_index| self.keys[key_index].ephemerals.as_deref());
        of_keys.flat_map(move |of_key| of_key.after(number))
    }

    /// Returns whether there are ephemeral messages that a reader has not passed.
    pub(super) fn has_ephemeral_ahead(&self, keys: &KeySelection, cursor: &Cursor) -> bool {
        M::HAS_EPHEMERAL && !self.unread_ephemerals(keys, cursor).is_empty()
    }

    /// Returns whether there are ephemeral messages, with places up to an offset, that a reader has not passed.
    pub(super) fn has_ephemeral_through(&self, keys: &KeySelection, cursor: &Cursor, through: Offset) -> bool {
        if !M::HAS_EPHEMERAL {
            return false;
        }
        let mut unread = self.unread_ephemerals(keys, cursor);
        unread.retain_up_to(through, self);
        !unread.is_empty()
    }

    /// Returns how many ephemeral messages were appended for these keys, kept or not.
    pub(super) fn appended_ephemeral(&self, keys: &KeySelection) -> u64 {
        match keys {
            _ if !M::HAS_EPHEMERAL => 0,
            KeySelection::All => self.ephemerals.appended,
            _ => {
                let of_keys = keys.key_indexes().iter().filter_map(|index| self.keys[*index].ephemerals.as_ref());
                of_keys.map(|of_key| of_key.appended).sum()
            }
        }
    }

    /// Returns how many ephemeral messages a reader has not passed.
    pub(super) fn remaining_ephemeral(&self, keys: &KeySelection, cursor: &Cursor) -> u64 {
        self.unread_ephemerals(keys, cursor).numbers.len() as u64
    }
}
