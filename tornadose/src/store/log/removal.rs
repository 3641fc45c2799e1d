//! Removals in a log: what they drop, and how readers count what they have not read of it.

use std::sync::Arc;

use tokio::time::Instant;

use crate::id::Offset;
use crate::message::Message;
use crate::store::entry::Entry;
use crate::store::limits::ENTRY_OVERHEAD;
use crate::store::log::Log;
use crate::store::log::cursor::Cursor;
use crate::store::log::key::KeySelection;
use crate::store::log::notices::Removal;

impl<M: Message> Log<M> {
    /// Removes what is kept of a key at an offset above the head, and its finish. Returns what was dropped.
    /// `has_readers`: there are readers that have to be told.
    pub(crate) fn remove(&mut self, offset: Offset, key_index: usize, has_readers: bool) -> Vec<Arc<Entry<M>>> {
        self.advance_to(offset);
        // The key stays in the table until it has been trimmed.
        self.keys.pin(key_index);
        self.forget_finish(key_index);
        let removed: Box<[Offset]> = self.keys[key_index].queue.iter().map(|entry| entry.offset()).collect();
        let mut dropped = Vec::new();
        while self.keys[key_index].queue_count() > 0 {
            dropped.extend(self.trim_oldest_of(key_index));
        }
        dropped.extend(self.take_all_latest(key_index));
        dropped.extend(self.take_expired_of(key_index));
        dropped.extend(self.drop_ephemerals_of(key_index));
        self.mark_trimmed(key_index, offset);
        if M::SNAPSHOT.is_some() {
            if self.readers_of_all > 0 {
                self.ensure_snapshot(key_index);
            }
            self.mark_unsummed_trimmed(key_index, offset);
            self.reset_snapshot(key_index, Some(offset));
        }
        let generation = self.generations.begin_removal();
        // A client of all keys that returns may show a key that nobody reads now.
        if has_readers || M::SNAPSHOT.is_some() {
            let cost = ENTRY_OVERHEAD + size_of_val(&*removed);
            self.keys.pin(key_index);
            self.notices.insert_removal(generation, Removal { key_index, offset, removed, cost });
        }
        self.keys.release(key_index, self.idle_bytes_max());
        self.sweep(Instant::now());
        dropped
    }

    /// Returns how many messages ahead of a cursor were dropped by removals that its reader was not told.
    pub(super) fn removed_ahead(&self, keys: &KeySelection, cursor: &Cursor) -> u64 {
        if self.notices.removals.is_empty() {
            return 0;
        }
        let newest = Offset::new(u64::MAX, u64::MAX);
        self.notices.removed_between(keys, cursor.generation, cursor.owed_after(), newest)
    }

    /// Returns how many of them a cursor passes that moves to an offset.
    #[cold]
    pub(super) fn removed_up_to(&self, keys: &KeySelection, cursor: &Cursor, through: Offset) -> u64 {
        self.notices.removed_between(keys, cursor.generation, cursor.owed_after(), through)
    }
}
