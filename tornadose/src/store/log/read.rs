//! Reading a log at a cursor. Batches that several readers may read next are cached.

use std::any::TypeId;
use std::sync::Arc;

use crate::id::Offset;
use crate::message::{Message, NoKey, Retention};
use crate::store::entry::Entry;
use crate::store::gap::{Gap, GapReason};
use crate::store::ledger::Counts;
use crate::store::log::Log;
use crate::store::log::batch::{Batch, CachedBatch};
use crate::store::log::cursor::{Cursor, above};
use crate::store::log::ephemeral::UnreadEphemerals;
use crate::store::log::expired_values::{ExpiredValue, NextExpired};
use crate::store::log::gaps::LogGap;
use crate::store::log::key::KeySelection;
use crate::store::log::merge::{merge, merge_all};
use crate::store::log::notices::{NextFinish, NextRemoval};

/// The next notice at which a batch ends.
enum Stop<M> {
    Finished(NextFinish),
    Expired(NextExpired<M>),
}

impl<M> Stop<M> {
    fn offset(&self) -> Offset {
        match self {
            Self::Finished(finish) => finish.offset,
            Self::Expired(expired) => expired.offset,
        }
    }
}

/// The next gap that a reader is told.
enum NextGap {
    Lost(LogGap),
    Removed(NextRemoval),
}

impl NextGap {
    fn generation(&self) -> u64 {
        match self {
            Self::Lost(gap) => gap.generation,
            Self::Removed(removal) => removal.generation,
        }
    }

    /// Returns the offset after which it is told.
    fn after(&self) -> Offset {
        match self {
            Self::Lost(gap) => gap.after,
            Self::Removed(removal) => removal.offset,
        }
    }
}

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
    /// Messages that it may have been owed never arrived, or were removed.
    Gap(Gap),
    /// A key of the reader is finished at this offset. `is_last`: and so are all its other keys.
    Finished { offset: Offset, key_json: Arc<str>, is_last: bool },
    /// A `latest` value of a key of the reader has expired, at this offset.
    Expired { offset: Offset, value: ExpiredValue<M> },
    /// The log has begun an epoch in which the cursor has no position.
    Restarted,
}

impl<M: Message> Log<M> {
    /// Reads the next messages at a cursor, and moves it after them. Messages that were removed unread are added to
    /// `removed` when it moves past them, until a gap reports them.
    pub(crate) fn read(&mut self, keys: &KeySelection, cursor: &mut Cursor, removed: &mut u32) -> ReadOutcome<M> {
        self.read_limited(keys, cursor, removed, None)
    }

    /// As [`read`](Self::read), but reads nothing above an offset.
    #[cold]
    pub(crate) fn read_through(
        &mut self,
        keys: &KeySelection,
        cursor: &mut Cursor,
        removed: &mut u32,
        through: Offset,
    ) -> ReadOutcome<M> {
        self.read_limited(keys, cursor, removed, Some(through))
    }

    #[expect(clippy::inline_always, reason = "the limit costs nothing where there is none")]
    #[inline(always)]
    fn read_limited(
        &mut self,
        keys: &KeySelection,
        cursor: &mut Cursor,
        removed: &mut u32,
        limit: Option<Offset>,
    ) -> ReadOutcome<M> {
        debug_assert!(self.is_decoded(keys), "a key with a reader has no undecoded entry");
        if cursor.generation != self.generation()
            && let Some(change) = self.generation_change(keys, cursor, removed)
        {
            return change;
        }
        let mut unread = self.unread_ephemerals(keys, cursor);
        if let (true, Some(limit)) = (M::HAS_EPHEMERAL, limit) {
            unread.retain_up_to(limit, self);
        }
        let is_at_end = cursor.position == self.head || limit.is_some_and(|limit| cursor.position >= limit);
        if is_at_end && unread.is_empty() {
            return ReadOutcome::AtHead;
        }
        if self.may_have_lagged(keys, cursor) {
            let owed = self.appended_queue(keys) - cursor.accounted;
            let kept = self.queue_count_after(keys, cursor.owed_after()) + self.removed_ahead(keys, cursor);
            if kept < owed {
                return ReadOutcome::Lagged { missed: owed - kept };
            }
        }
        if self.has_lost_expiry(keys, cursor) {
            return ReadOutcome::Lagged { missed: 0 };
        }
        let stop = self.next_stop(keys, cursor);
        let is_above = cursor.position >= cursor.ids_after;
        let batch = if self.newest(keys) <= cursor.position && unread.is_empty() {
            None
        } else {
            // A batch that others read may reach beyond the limit.
            let cached = if limit.is_none() { self.cached_batch(keys, cursor, &unread) } else { None };
            let until = stop.as_ref().map(Stop::offset);
            // An ephemeral message with the place of the notice is after it.
            let is_before = |batch: &Batch<M>, until| {
                let last = batch.last_offset();
                last < until || (last == until && !batch.entries().iter().any(|entry| entry.is_ephemeral()))
            };
            let cached = cached.filter(|batch| until.is_none_or(|until| is_before(batch, until)));
            cached.or_else(|| self.next_batch(keys, cursor, &unread, limit, until))
        };
        let Some(batch) = batch else {
            return self.read_stop(keys, cursor, removed, limit, stop);
        };
        let entries = batch.entries();
        let last = batch.last_offset();
        let with_ids = is_above || entries[0].offset() > cursor.ids_after;
        // Where all messages are of the queue they need not be looked at.
        let has_others = M::HAS_LATEST || M::HAS_EPHEMERAL;
        let is_queue = |entry: &&Arc<Entry<M>>| entry.retention == Retention::Queue;
        let queue = if has_others { entries.iter().filter(is_queue).count() } else { entries.len() };
        let ephemeral = if M::HAS_EPHEMERAL { entries.iter().filter(|entry| entry.is_ephemeral()).count() } else { 0 };
        self.pass_removed(keys, cursor, removed, last);
        cursor.advance(last, queue as u64);
        if let Some(number) = unread.last_of(ephemeral) {
            cursor.pass_ephemeral(number);
        }
        let latest = (entries.len() - queue - ephemeral) as u64;
        let counts = Counts { queue: queue as u64, latest, ephemeral: ephemeral as u64 };
        ReadOutcome::Batch { batch, with_ids, counts }
    }

    /// Returns the next finish or expired value that a reader is told.
    #[inline]
    fn next_stop(&self, keys: &KeySelection, cursor: &Cursor) -> Option<Stop<M>> {
        let finish = if self.has_no_finish() { None } else { self.notices.next_finish(keys, cursor.position) };
        let stops = finish.map(Stop::Finished).into_iter().chain(self.next_expired(keys, cursor).map(Stop::Expired));
        stops.min_by_key(Stop::offset)
    }

    /// Reads what comes next where there is no message of the reader's keys up to the head: the next notice, the next
    /// gap, or the head. The limit bounds it.
    fn read_stop(
        &mut self,
        keys: &KeySelection,
        cursor: &mut Cursor,
        removed: &mut u32,
        limit: Option<Offset>,
        stop: Option<Stop<M>>,
    ) -> ReadOutcome<M> {
        let is_within = |offset: Offset| limit.is_none_or(|limit| offset <= limit);
        let gap = self.next_gap(keys, cursor.generation).map(|gap| gap.after()).filter(|after| is_within(*after));
        // Of a notice and a gap after it the notice is first.
        if let Some(stop) = stop.filter(|stop| is_within(stop.offset()))
            && gap.is_none_or(|gap| stop.offset() <= gap)
        {
            self.pass_removed(keys, cursor, removed, stop.offset());
            cursor.position = stop.offset();
            return match stop {
                Stop::Finished(NextFinish { offset, key_json }) => {
                    let is_last = self.notices.last_finish(keys) == Some(offset);
                    ReadOutcome::Finished { offset, key_json, is_last }
                }
                Stop::Expired(NextExpired { offset, value }) => ReadOutcome::Expired { offset, value },
            };
        }
        let Some(gap) = gap else {
            let end = limit.map_or(self.head, |limit| limit.min(self.head));
            self.pass_removed(keys, cursor, removed, end);
            cursor.position = end;
            return ReadOutcome::AtHead;
        };
        self.pass_removed(keys, cursor, removed, gap);
        cursor.position = gap;
        match limit {
            None => self.read(keys, cursor, removed),
            Some(limit) => self.read_through(keys, cursor, removed, limit),
        }
    }

    /// Counts the messages that were removed before a cursor that moves to this offset has read them. They are no longer
    /// owed to its reader, which is told at the removal.
    fn pass_removed(&self, keys: &KeySelection, cursor: &mut Cursor, removed: &mut u32, through: Offset) {
        if cursor.generation != self.generation() {
            let passed = self.removed_up_to(keys, cursor, through);
            cursor.accounted += passed;
            *removed = removed.saturating_add(u32::try_from(passed).unwrap_or(u32::MAX));
        }
    }

    /// Returns the next gap or removal that a reader of this generation is told.
    fn next_gap(&self, keys: &KeySelection, generation: u64) -> Option<NextGap> {
        if generation == self.generation() {
            return None;
        }
        let gap = self.generations.next_gap(generation).copied().map(NextGap::Lost);
        let removal = self.notices.next_removal(keys, generation).map(NextGap::Removed);
        gap.into_iter().chain(removal).min_by_key(NextGap::generation)
    }

    /// Returns whether a reader is told of a gap or removal.
    pub(super) fn has_gap_ahead(&self, keys: &KeySelection, cursor: &Cursor) -> bool {
        self.generations.is_before_epoch(cursor.generation)
            || self.next_gap(keys, cursor.generation).is_some()
            || self.has_forgotten_removal(keys, cursor)
    }

    /// Returns whether the removal of a key may have been forgotten before its reader was told. A key that was removed counts
    /// as trimmed up to there. So does one whose messages were trimmed, of which the reader is told by another gap.
    pub(super) fn has_forgotten_removal(&self, keys: &KeySelection, cursor: &Cursor) -> bool {
        cursor.generation < self.notices.forgotten_removal && self.trimmed_through(keys) > cursor.position
    }

    /// Returns what a reader of an earlier generation finds first. `None` when it has to read on up to the next gap.
    #[cold]
    fn generation_change(&self, keys: &KeySelection, cursor: &mut Cursor, removed: &mut u32) -> Option<ReadOutcome<M>> {
        if self.generations.is_before_epoch(cursor.generation) {
            return Some(ReadOutcome::Restarted);
        }
        let next = self.next_gap(keys, cursor.generation);
        let mut take_removed = || Gap { reason: GapReason::Removed, missed: Some(std::mem::take(removed).into()) };
        let forgotten = self.notices.forgotten_removal;
        if self.has_forgotten_removal(keys, cursor) && next.as_ref().is_none_or(|next| next.generation() > forgotten) {
            // Its place is not known any more, so the reader is told where it is.
            cursor.generation = forgotten;
            return Some(ReadOutcome::Gap(take_removed()));
        }
        if next.as_ref().is_some_and(|next| cursor.position < next.after()) {
            return None;
        }
        let next = match next {
            None => {
                cursor.generation = self.generation();
                let removal = take_removed();
                // The removal of what it has passed may be forgotten.
                return (removal.missed > Some(0)).then_some(ReadOutcome::Gap(removal));
            }
            Some(NextGap::Removed(NextRemoval { generation, .. })) => {
                cursor.generation = generation;
                return Some(ReadOutcome::Gap(take_removed()));
            }
            Some(NextGap::Lost(next)) => next,
        };
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

    fn cached_batch(&self, keys: &KeySelection, cursor: &Cursor, unread: &UnreadEphemerals) -> Option<Batch<M>> {
        let (key_index, version) = self.cache_key(keys, cursor)?;
        let (position, ephemeral) = (cursor.position, unread.first());
        let cached = self.cached.iter().find(|cached| cached.is_next_at(position, key_index, version, ephemeral))?;
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
            KeySelection::Watched(key_indexes) if let [key_index] = **key_indexes => {
                Some((Some(key_index), self.keys[key_index].version))
            }
            KeySelection::Set(_) | KeySelection::Watched(_) => None,
        }
    }

    /// Collects the next messages, up to the limit and up to a finish at `until`.
    fn next_batch(
        &mut self,
        keys: &KeySelection,
        cursor: &Cursor,
        unread: &UnreadEphemerals,
        limit: Option<Offset>,
        until: Option<Offset>,
    ) -> Option<Batch<M>> {
        // A gap is reported between the messages where the missing ones would have been.
        let gap_after = self.next_gap(keys, cursor.generation).map(|gap| gap.after());
        let stop = gap_after.into_iter().chain(until).min();
        let last = stop.into_iter().chain(limit).min();
        let (position, owed_after) = (cursor.position, cursor.owed_after());
        // An ephemeral message with the place of a gap or a finish is after it.
        let ephemerals = unread.entries(self, stop);
        let batch = match keys {
            KeySelection::One(key_index) => {
                let log = &self.keys[*key_index];
                let entries = merge(log.latest_after(position), log.queue_after(owed_after));
                collect(entries, ephemerals, cursor.ids_after, last)
            }
            KeySelection::Set(key_indexes) | KeySelection::Watched(key_indexes) => {
                let logs = key_indexes.iter().map(|&key_index| &self.keys[key_index]);
                let entries = logs.map(|log| merge(log.latest_after(position), log.queue_after(owed_after)));
                collect(merge_all(entries), ephemerals, cursor.ids_after, last)
            }
            KeySelection::All => {
                let latest = self.latest.range(above(position)).map(|(_, entry)| entry);
                let queue = self.queue.range(above(owed_after)).map(|(_, entry)| entry);
                collect(merge(latest, queue), ephemerals, cursor.ids_after, last)
            }
        }?;
        if let Batch::Many(batch) = &batch
            && let Some((key_index, version)) = self.cache_key(keys, cursor)
        {
            if self.cached.len() == CACHED_BATCHES {
                self.discarded.extend(self.cached.pop_front());
            }
            let after = self.newest_kept_up_to(key_index, position);
            let ephemeral = unread.first();
            self.cached.push_back(CachedBatch { key_index, version, after, ephemeral, batch: Arc::clone(batch) });
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

/// Collects entries of the log, with the ephemeral ones between them.
fn collect<'a, M: Message>(
    entries: impl Iterator<Item = &'a Arc<Entry<M>>>,
    ephemerals: impl Iterator<Item = &'a Arc<Entry<M>>>,
    boundary: Offset,
    last: Option<Offset>,
) -> Option<Batch<M>> {
    if M::HAS_EPHEMERAL {
        // Of an entry and an ephemeral message at one offset the entry is first.
        Batch::collect(merge(entries, ephemerals), boundary, last)
    } else {
        Batch::collect(entries, boundary, last)
    }
}
