//! The notices of a log, which stand between its messages: the finish of a key, and the removal of what was kept of a
//! key. Each has an offset of its own.
//!
//! A finish is remembered until it is [old](FINISH_TTL) and nothing is kept of its key. A removal is remembered for the
//! readers that have not read as far. All of them take at most a tenth of the store's memory; beyond that the oldest
//! removals go, and then the oldest finishes. A key with a notice stays in the table, so that its index stays its own.
//!
//! # Removals
//!
//! The queue messages that a removal drops are known by their offsets, so that a reader counts those that it has not
//! read. A reader of several keys reads past some of them before it reaches the removal; it counts them on its way. A
//! removal begins a generation of the log, by which a reader knows the removals that are ahead.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::id::{Id, Offset};
use crate::message::Message;
use crate::store::entry::Entry;
use crate::store::key_json::{key_text, wire_key};
use crate::store::limits::ENTRY_OVERHEAD;
use crate::store::log::cursor::{Cursor, above};
use crate::store::log::key::KeySelection;
use crate::store::log::{AppendError, Log};

/// How long a finish is remembered after nothing is kept of its key any more, where messages do not expire.
const FINISH_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// How often old notices are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// The share of the store's memory that notices take.
const MEMORY_SHARE: usize = 10;

/// The finish of a key.
struct Finish {
    key_index: usize,
    /// The key, as it is written to clients.
    key_json: Arc<str>,
    at: Instant,
    cost: usize,
}

/// The removal of what was kept of a key.
struct Removal {
    key_index: usize,
    offset: Offset,
    /// The queue messages that it dropped.
    removed: Box<[Offset]>,
    cost: usize,
}

impl Removal {
    /// Returns how many of its messages are in a range, which excludes its start.
    fn count(&self, after: Offset, through: Offset) -> usize {
        let up_to = |offset: Offset| self.removed.partition_point(|removed| *removed <= offset);
        up_to(through).saturating_sub(up_to(after))
    }
}

/// The notices that are remembered.
#[derive(Default)]
pub(super) struct Notices {
    finishes: BTreeMap<Offset, Finish>,
    /// The offset of each finished key's finish.
    finish_of: HashMap<usize, Offset>,
    /// The removals, by their generations.
    removals: BTreeMap<u64, Removal>,
    /// The keys of the removals, and the generations of the removals.
    removals_of: BTreeSet<(usize, u64)>,
    /// What all of them count towards the store's memory.
    bytes: usize,
    sweep_at: Option<Instant>,
}

/// The next finish that a reader is told.
pub(super) struct NextFinish {
    pub(super) offset: Offset,
    pub(super) key_json: Arc<str>,
}

/// A removal that a reader is told.
pub(super) struct NextRemoval {
    pub(super) generation: u64,
    pub(super) offset: Offset,
}

impl Notices {
    /// Returns whether there is no finish. Stores without finishes ask no more than this.
    #[inline]
    pub(super) fn has_no_finish(&self) -> bool {
        self.finishes.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the first finish of these keys above an offset.
    #[cold]
    pub(super) fn next_finish(&self, keys: &KeySelection, after: Offset) -> Option<NextFinish> {
        let offset = match keys {
            KeySelection::All => self.finishes.range(above(after)).next().map(|(offset, _)| *offset),
            _ => self.finishes_of(keys).flatten().filter(|offset| *offset > after).min(),
        }?;
        Some(NextFinish { offset, key_json: Arc::clone(&self.finishes.get(&offset)?.key_json) })
    }

    /// Returns the newest finish of these keys when all of them are finished. There is none for a reader of all keys
    /// or of no key.
    pub(super) fn last_finish(&self, keys: &KeySelection) -> Option<Offset> {
        self.finishes_of(keys)
            .try_fold(Offset::START, |last, finish| Some(last.max(finish?)))
            .filter(|last| *last > Offset::START)
    }

    fn finishes_of(&self, keys: &KeySelection) -> impl Iterator<Item = Option<Offset>> {
        keys.key_indexes().iter().map(|key_index| self.finish_of.get(key_index).copied())
    }

    /// Returns the first removal after a generation that concerns a reader of these keys.
    pub(super) fn next_removal(&self, keys: &KeySelection, generation: u64) -> Option<NextRemoval> {
        let generation = match keys {
            KeySelection::All => self.removals.range(generation + 1..).next().map(|(generation, _)| *generation),
            _ => keys.key_indexes().iter().filter_map(|key| self.removals_of_key(*key, generation).next()).min(),
        }?;
        Some(NextRemoval { generation, offset: self.removals.get(&generation)?.offset })
    }

    /// Returns the generations of a key's removals after this one.
    fn removals_of_key(&self, key_index: usize, generation: u64) -> impl Iterator<Item = u64> {
        self.removals_of.range((key_index, generation + 1)..=(key_index, u64::MAX)).map(|(_, generation)| *generation)
    }

    /// Returns how many messages in a range, which excludes its start, were dropped by removals after a generation.
    fn removed_between(&self, keys: &KeySelection, generation: u64, after: Offset, through: Offset) -> u64 {
        let removed: usize = if matches!(keys, KeySelection::All) {
            self.removals.range(generation + 1..).map(|(_, removal)| removal.count(after, through)).sum()
        } else {
            let of_keys = keys.key_indexes().iter().flat_map(|key| self.removals_of_key(*key, generation));
            of_keys.filter_map(|of| self.removals.get(&of)).map(|removal| removal.count(after, through)).sum()
        };
        removed as u64
    }

    fn pop_removal(&mut self) -> Option<usize> {
        let (generation, removal) = self.removals.pop_first()?;
        self.removals_of.remove(&(removal.key_index, generation));
        self.bytes -= removal.cost;
        Some(removal.key_index)
    }

    fn take_finish(&mut self, key_index: usize) -> bool {
        let finish = self.finish_of.remove(&key_index).and_then(|offset| self.finishes.remove(&offset));
        self.bytes -= finish.as_ref().map_or(0, |finish| finish.cost);
        finish.is_some()
    }
}

impl<M: Message> Log<M> {
    // --- Finishes ------------------------------------------------------------------------------------------------

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
        if self.is_finished(key) { Err(AppendError::Finished) } else { Ok(()) }
    }

    /// Returns whether a key is finished.
    pub(crate) fn is_finished(&mut self, key: &M::Key) -> bool {
        !self.notices.has_no_finish()
            && self.keys.find(key).is_some_and(|key_index| self.finish_of(key_index).is_some())
    }

    /// As [`is_finished`](Self::is_finished), for a key of which the JSON is known.
    pub(crate) fn is_finished_by_text(&mut self, text: &str) -> bool {
        !self.notices.has_no_finish()
            && self.keys.index_of_text(text).is_some_and(|key_index| self.finish_of(key_index).is_some())
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

    /// Forgets the finishes whose keys, by their JSON, are not to be kept.
    pub(crate) fn retain_finishes(&mut self, is_kept: &dyn Fn(&str) -> bool) {
        let is_dropped = |key_index: &usize| self.keys[*key_index].text.as_ref().is_some_and(|text| !is_kept(text));
        let dropped: Vec<usize> = self.notices.finish_of.keys().copied().filter(is_dropped).collect();
        for key_index in dropped {
            self.forget_finish(key_index);
        }
    }

    /// Returns the offset of a key's finish. Forgets a finish that is old.
    pub(crate) fn finish_of(&mut self, key_index: usize) -> Option<Offset> {
        if self.notices.has_no_finish() {
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
        let key_log = &self.keys[key_index];
        let text = match (&key_log.text, &key_log.key) {
            (Some(text), _) => Some(Arc::clone(text)),
            // It could be serialized to be measured.
            (None, Some(key)) => key_text(&**key).ok().map(Arc::from),
            (None, None) => None,
        };
        let key_json: Arc<str> = text.map_or_else(|| "null".into(), |text| wire_key(&text).into());
        let (at, cost) = (Instant::now(), ENTRY_OVERHEAD + key_json.len());
        self.keys.pin(key_index);
        self.notices.finishes.insert(offset, Finish { key_index, key_json, at, cost });
        self.notices.finish_of.insert(key_index, offset);
        self.notices.bytes += cost;
        self.sweep(at);
    }

    /// Returns whether these keys are finished, and a client with this id has seen the finishes. Whether the id is known
    /// does not matter: nothing follows the finishes.
    pub(crate) fn has_seen_all(&mut self, key_indexes: &[usize], id: Id) -> bool {
        let mut last = Offset::START;
        for &key_index in key_indexes {
            let Some(finish) = self.finish_of(key_index) else { return false };
            last = last.max(finish);
        }
        !key_indexes.is_empty() && id.epoch == self.epoch && (last..=self.head).contains(&id.offset)
    }

    /// Returns the newest finish of these keys when all of them are finished.
    pub(crate) fn last_finish(&self, keys: &KeySelection) -> Option<Offset> {
        if self.notices.has_no_finish() { None } else { self.notices.last_finish(keys) }
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
        !self.engine_reopens && now >= at + self.queue_ttl.unwrap_or(FINISH_TTL)
    }

    /// Forgets a key's finish. The key is new then.
    fn forget_finish(&mut self, key_index: usize) {
        if self.notices.take_finish(key_index) {
            self.keys.release(key_index, self.idle_bytes_max());
        }
    }

    /// Forgets notices beyond their share of the memory, but not the newest finish, and now and then those that are
    /// old.
    pub(super) fn sweep(&mut self, now: Instant) {
        let bytes_max = self.limits.memory / MEMORY_SHARE;
        while self.notices.bytes > bytes_max
            && let Some(key_index) = self.notices.pop_removal()
        {
            self.keys.release(key_index, self.idle_bytes_max());
        }
        while self.notices.bytes > bytes_max && self.notices.finishes.len() > 1 {
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

    // --- Removals ------------------------------------------------------------------------------------------------

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
        while let Some(entry) = self.take_latest(key_index, |_| true) {
            dropped.push(entry);
        }
        self.mark_trimmed(key_index, offset);
        let generation = self.generations.begin_removal();
        if has_readers {
            let cost = ENTRY_OVERHEAD + size_of_val(&*removed);
            self.keys.pin(key_index);
            self.notices.removals.insert(generation, Removal { key_index, offset, removed, cost });
            self.notices.removals_of.insert((key_index, generation));
            self.notices.bytes += cost;
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

    /// Forgets all notices at the end of an epoch.
    pub(super) fn forget_notices(&mut self) {
        let notices = std::mem::take(&mut self.notices);
        let pinned =
            notices.finish_of.into_keys().chain(notices.removals.into_values().map(|removal| removal.key_index));
        pinned.for_each(|key_index| self.keys.unpin(key_index));
    }
}
