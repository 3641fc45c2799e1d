//! Reading a log at a cursor. Batches that several readers may read next are cached.

use std::any::TypeId;
use std::sync::Arc;

use crate::id::Offset;
use crate::message::{Message, NoKey, Retention};
use crate::store::gap::Gap;
use crate::store::ledger::Counts;
use crate::store::log::Log;
use crate::store::log::batch::{Batch, CachedBatch};
use crate::store::log::cursor::{Cursor, above};
use crate::store::log::key::KeySelection;
use crate::store::log::merge::{merge, merge_all};

/// How many batches of several messages are cached for the next reader at the same position.
const CACHED_BATCHES: usize = 16;

/// What a reader finds at its cursor.
pub(crate) enum ReadOutcome<M> {
    /// The next messages. `with_ids`: they carry their ids.
    Batch { batch: Batch<M>, with_ids: bool, counts: Counts },
    /// The reader has read up to the head of the log, or to its limit.
    AtHead,
    /// Queue messages that it was owed are gone.
    Lagged { missed: u64 },
    /// Messages that it may have been owed never arrived.
    Gap(Gap),
    /// The log has begun an epoch in which the cursor has no position.
    Restarted,
}

impl<M: Message> Log<M> {
    /// Reads the next messages at a cursor, and moves it after them.
    pub(crate) fn read(&mut self, keys: &KeySelection, cursor: &mut Cursor) -> ReadOutcome<M> {
        self.read_limited(keys, cursor, None)
    }

    /// As [`read`](Self::read), but reads nothing above an offset.
    #[cold]
    pub(crate) fn read_through(&mut self, keys: &KeySelection, cursor: &mut Cursor, through: Offset) -> ReadOutcome<M> {
        self.read_limited(keys, cursor, Some(through))
    }

    #[expect(clippy::inline_always, reason = "the limit costs nothing where there is none")]
    #[inline(always)]
    fn read_limited(&mut self, keys: &KeySelection, cursor: &mut Cursor, limit: Option<Offset>) -> ReadOutcome<M> {
        debug_assert!(self.is_decoded(keys), "a key with a reader has no undecoded entry");
        if cursor.generation != self.generation()
            && let Some(change) = self.generation_change(keys, cursor)
        {
            return change;
        }
        if cursor.position == self.head || limit.is_some_and(|limit| cursor.position >= limit) {
            return ReadOutcome::AtHead;
        }
        if self.may_have_lagged(keys, cursor) {
            let owed = self.appended_queue(keys) - cursor.accounted;
            let kept = self.queue_count_after(keys, cursor.owed_after());
            if kept < owed {
                return ReadOutcome::Lagged { missed: owed - kept };
            }
        }
        let is_above = cursor.position >= cursor.ids_after;
        let batch = if self.newest(keys) <= cursor.position {
            None
        } else {
            // A batch that others read may reach beyond the limit.
            let cached = if limit.is_none() { self.cached_batch(keys, cursor) } else { None };
            cached.or_else(|| self.next_batch(keys, cursor, limit))
        };
        let Some(batch) = batch else {
            // There is no message of its keys between its position and the head or the next gap.
            if let Some(gap) = self.generations.next_gap(cursor.generation)
                && limit.is_none_or(|limit| gap.after <= limit)
            {
                cursor.position = gap.after;
                return match limit {
                    None => self.read(keys, cursor),
                    Some(limit) => self.read_through(keys, cursor, limit),
                };
            }
            cursor.position = limit.map_or(self.head, |limit| limit.min(self.head));
            return ReadOutcome::AtHead;
        };
        let entries = batch.entries();
        let last = entries.last().expect("a batch is not empty");
        let with_ids = is_above || entries[0].offset() > cursor.ids_after;
        let queue = entries.iter().filter(|entry| entry.retention == Retention::Queue).count() as u64;
        cursor.advance(last.offset(), queue);
        let counts = Counts { queue, latest: entries.len() as u64 - queue };
        ReadOutcome::Batch { batch, with_ids, counts }
    }

    /// Returns what a reader of an earlier generation finds first. `None` when it has to read on up to the next gap.
    fn generation_change(&self, keys: &KeySelection, cursor: &mut Cursor) -> Option<ReadOutcome<M>> {
        if self.generations.is_before_epoch(cursor.generation) {
            return Some(ReadOutcome::Restarted);
        }
        let Some(next) = self.generations.next_gap(cursor.generation).copied() else {
            cursor.generation = self.generation();
            return None;
        };
        if cursor.position < next.after {
            return None;
        }
        cursor.generation = next.generation;
        // The missing messages are all the reader's own only when it reads all keys, and when all of them are queue
        // messages.
        let reads_all = matches!(keys, KeySelection::All) || TypeId::of::<M::Key>() == TypeId::of::<NoKey>();
        let missed = next.gap.missed.filter(|_| reads_all && !M::HAS_LATEST);
        Some(ReadOutcome::Gap(Gap { missed, ..next.gap }))
    }

    /// Returns whether a message that the reader is owed can have been trimmed. Only counting them decides.
    fn may_have_lagged(&self, keys: &KeySelection, cursor: &Cursor) -> bool {
        // Up to `ids_after` a reader of several keys expects some of them to be trimmed further than others.
        cursor.position < cursor.ids_after || self.trimmed_through(keys) > cursor.owed_after()
    }

    fn cached_batch(&self, keys: &KeySelection, cursor: &Cursor) -> Option<Batch<M>> {
        let (key_index, version) = self.cache_key(keys, cursor)?;
        let cached = self.cached.iter().find(|cached| cached.is_next_at(cursor.position, key_index, version))?;
        Some(Batch::Many(Arc::clone(&cached.batch)))
    }

    /// Returns the key whose batches can be shared at this cursor (`None` for all keys), and their version. A reader
    /// of a set of keys shares none, and neither does one that skips queue messages, reads without ids or has a gap
    /// ahead.
    fn cache_key(&self, keys: &KeySelection, cursor: &Cursor) -> Option<(Option<usize>, u64)> {
        if cursor.position < cursor.ids_after
            || cursor.position < cursor.skip_through
            || cursor.generation != self.generation()
        {
            return None;
        }
        match keys {
            KeySelection::One(key_index) => Some((Some(*key_index), self.keys[*key_index].version)),
            KeySelection::All => Some((None, self.version)),
            KeySelection::Set(_) => None,
        }
    }

    fn next_batch(&mut self, keys: &KeySelection, cursor: &Cursor, limit: Option<Offset>) -> Option<Batch<M>> {
        // A gap is reported between the messages where the missing ones would have been.
        let gap_after = self.generations.next_gap(cursor.generation).map(|gap| gap.after);
        let last = gap_after.into_iter().chain(limit).min();
        let (position, owed_after) = (cursor.position, cursor.owed_after());
        let batch = match keys {
            KeySelection::One(key_index) => {
                let log = &self.keys[*key_index];
                let entries = merge(log.latest_after(position), log.queue_after(owed_after));
                Batch::collect(entries, cursor.ids_after, last)
            }
            KeySelection::Set(key_indexes) => {
                let logs = key_indexes.iter().map(|&key_index| &self.keys[key_index]);
                let entries = logs.map(|log| merge(log.latest_after(position), log.queue_after(owed_after)));
                Batch::collect(merge_all(entries), cursor.ids_after, last)
            }
            KeySelection::All => {
                let latest = self.latest.range(above(position)).map(|(_, entry)| entry);
                let queue = self.queue.range(above(owed_after)).map(|(_, entry)| entry);
                Batch::collect(merge(latest, queue), cursor.ids_after, last)
            }
        }?;
        if let Batch::Many(batch) = &batch
            && let Some((key_index, version)) = self.cache_key(keys, cursor)
        {
            if self.cached.len() == CACHED_BATCHES {
                self.discarded.extend(self.cached.pop_front());
            }
            let after = self.newest_kept_up_to(key_index, position);
            self.cached.push_back(CachedBatch { key_index, version, after, batch: Arc::clone(batch) });
        }
        Some(batch)
    }

    /// Takes the batches that left the cache, to be dropped outside of the store's lock.
    pub(crate) fn take_discarded(&mut self) -> Vec<CachedBatch<M>> {
        std::mem::take(&mut self.discarded)
    }

    /// Returns the newest entry of a key, or of all keys, that is kept at or below an offset.
    fn newest_kept_up_to(&self, key_index: Option<usize>, offset: Offset) -> Offset {
        let (latest, queue) = match key_index {
            Some(key_index) => self.keys[key_index].newest_up_to(offset),
            None => (
                self.latest.range(..=offset).next_back().map(|(offset, _)| *offset),
                self.queue.range(..=offset).next_back().map(|(offset, _)| *offset),
            ),
        };
        latest.max(queue).unwrap_or(Offset::START)
    }
}
