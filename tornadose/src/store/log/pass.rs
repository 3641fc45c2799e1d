//! The pass of a reader that needs snapshots: it is new, has lagged, or resumes from an id after which messages are gone.
//!
//! A pass has a place. First it reads what no snapshot contains up to there, without ids. Then come the snapshots of its
//! keys, which all contain the messages up to the place, and then the finishes of its keys up to there. After that the
//! reader is at the place, and reads on as any other.
//!
//! The summed messages up to the place are accounted when a pass begins, because the reader does not get them.

use std::sync::Arc;

use crate::id::Offset;
use crate::message::{Message, Retention};
use crate::store::entry::Entry;
use crate::store::gap::{Gap, GapReason};
use crate::store::kept_as::QueueRole;
use crate::store::ledger::Counts;
use crate::store::log::Log;
use crate::store::log::batch::Batch;
use crate::store::log::cursor::{Cursor, above};
use crate::store::log::expired_values::{ExpiredValue, NextExpired};
use crate::store::log::key::{KeyLog, KeySelection};
use crate::store::log::merge::{merge, merge_all};
use crate::store::log::notices::NextFinish;
use crate::store::sum::SharedSum;

/// Why a reader begins a pass, and what it knows.
#[derive(Clone, Copy)]
pub(crate) struct PassTerms {
    /// Keys that have not changed since are left out.
    pub(crate) since: Offset,
    /// Whether the client may have the state of a key that is blank now.
    pub(crate) may_have_state: bool,
    /// The reason by which a snapshot that is not known is told as a gap; `None` when nothing was owed, or a gap is told.
    pub(crate) reason: Option<GapReason>,
    /// The finishes up to here are told.
    pub(crate) finishes_through: Offset,
    /// The place is not below.
    pub(crate) place_min: Offset,
    /// Nothing above is read.
    pub(crate) bound: Option<Offset>,
}

/// The pass of a reader.
pub(crate) struct Pass<M: Message> {
    pub(crate) terms: PassTerms,
    /// All snapshots contain the messages up to here.
    pub(crate) place: Offset,
    /// Whether it has one key, so that its snapshot carries the id of the place.
    pub(crate) has_one_key: bool,
    /// The keys that have a snapshot in this pass, in order.
    summed: Box<[usize]>,
    /// Those that are not sent yet, the next one last.
    pub(crate) unsent: Vec<PassKey<M>>,
    /// The snapshot of the only key, if it was encoded before.
    pub(crate) ready: Option<Arc<Entry<M>>>,
    /// Whether a snapshot was left out, because it contained messages above the place.
    pub(crate) is_incomplete: bool,
    /// A gap of the log up to the place. It is told after the messages that no snapshot contains, because they may be from
    /// before it, and before the snapshots.
    pub(crate) gap: Option<Gap>,
    has_read_others: bool,
}

/// A key whose snapshot is to be sent.
pub(crate) struct PassKey<M: Message> {
    pub(crate) key_index: usize,
    pub(crate) sum: Arc<SharedSum<M>>,
    newest: Offset,
}

/// The next thing that a reader finds in its pass.
pub(crate) enum PassStep<M> {
    /// Messages that no snapshot contains, without ids.
    Batch { batch: Batch<M>, counts: Counts },
    /// A `latest` value has expired.
    Expired { offset: Offset, value: ExpiredValue<M> },
    /// So many messages that no snapshot contains are gone.
    Lost { missed: u64 },
    /// A gap of the log.
    Gap(Gap),
    /// The log has begun another generation, which concerns the reader.
    Interrupted,
    /// A snapshot is next.
    Snapshot,
    /// A key is finished. `is_last`: and so are all others of the reader.
    Finished { offset: Offset, key_json: Arc<str>, is_last: bool },
    /// The pass is over.
    Over,
}

/// The messages that a reader has missed and that no snapshot contains.
pub(crate) struct Unsummed {
    /// The number that the client is told.
    pub(crate) missed: Option<u64>,
    /// The number that the ledger has.
    pub(crate) recorded: u64,
}

impl Unsummed {
    pub(crate) fn is_nothing(&self) -> bool {
        self.missed == Some(0)
    }
}

/// A change of the log that concerns the reader's pass, or makes it begin one.
pub(crate) enum Interruption {
    /// The log has begun another epoch.
    Restarted,
    /// A key of the reader was removed. The reason is that of a gap that is told beside it.
    Removed(GapReason),
    /// Messages never arrive.
    Lost(GapReason),
}

impl<M: Message> Pass<M> {
    /// Returns whether no snapshot is left to be sent.
    pub(crate) fn has_sent_all(&self) -> bool {
        self.unsent.is_empty() && self.ready.is_none()
    }

    /// Returns whether its client may have a snapshot of this pass.
    pub(crate) fn has_sent_any(&self) -> bool {
        self.unsent.len() < self.summed.len()
    }

    /// Returns whether a message is contained in a snapshot of this pass.
    fn sums(&self, entry: &Entry<M>) -> bool {
        is_summed_by(&self.summed, entry)
    }
}

fn is_summed_by<M: Message>(summed: &[usize], entry: &Entry<M>) -> bool {
    #[cfg(test)]
    if crate::store::sum::Fault::SentTwice.is_planted() && entry.offset().minor().is_multiple_of(7) {
        return false;
    }
    entry.role.is_summed() && summed.binary_search(&entry.key_index()).is_ok()
}

impl<M: Message> Log<M> {
    /// Begins a pass at a cursor, and moves it there. Returns `None`, and does not move it, when the reader gets no
    /// snapshot.
    pub(crate) fn begin_pass(&mut self, keys: &KeySelection, cursor: &mut Cursor, terms: PassTerms) -> Option<Pass<M>> {
        self.ensure_told_keys(keys, terms);
        let mut unsent = self.keys_of_pass(keys, terms);
        if unsent.is_empty() {
            return None;
        }
        // The next one last.
        unsent.sort_unstable_by_key(|key| std::cmp::Reverse((key.newest, key.key_index)));
        let mut summed: Box<[usize]> = unsent.iter().map(|key| key.key_index).collect();
        summed.sort_unstable();
        let has_one_key = keys.key_indexes().len() == 1;
        let head = terms.bound.map_or(self.head, |bound| bound.min(self.head));
        let ready = if has_one_key { self.ready_snapshot(&unsent[0], cursor, terms) } else { None };
        let place = match &ready {
            Some(entry) => entry.offset(),
            None if has_one_key => {
                let key_index = unsent[0].key_index;
                // A snapshot that was loaded may contain messages that this log has not seen.
                let applied_through = self.snapshots.keys.get(&key_index).map(|snapshot| snapshot.applied_through);
                self.place_before_finish(key_index, head).max(applied_through.unwrap_or_default()).min(head)
            }
            None => head,
        };
        if place < cursor.position {
            return None;
        }
        cursor.skip_through = cursor.skip_through.min(place);
        (cursor.ids_after, cursor.generation) = (place, self.generation());
        cursor.pass_ephemeral(self.ephemerals.appended);
        let pass = Pass {
            terms,
            place,
            has_one_key,
            summed,
            unsent,
            ready,
            is_incomplete: false,
            gap: None,
            has_read_others: false,
        };
        cursor.accounted = self.appended_queue(keys) - self.unread_in_pass(keys, cursor, &pass);
        Some(pass)
    }

    /// Makes the blank snapshots of keys without messages that a client is told of.
    fn ensure_told_keys(&mut self, keys: &KeySelection, terms: PassTerms) {
        let is_told = |log: &KeyLog<M>| terms.since == Offset::START || log.trimmed_through > terms.since;
        if !terms.may_have_state || self.generations.lost_through() > Offset::START {
            return;
        }
        let mut told: Vec<usize> = match keys {
            // Nothing else is kept of a key that was removed while nobody read it.
            KeySelection::All if terms.since > Offset::START => self.notices.removed_after(terms.since).collect(),
            _ => keys.key_indexes().to_vec(),
        };
        told.retain(|key_index| is_told(&self.keys[*key_index]));
        for key_index in told {
            self.ensure_snapshot(key_index);
        }
    }

    /// Returns the keys whose snapshots a reader gets.
    fn keys_of_pass(&self, keys: &KeySelection, terms: PassTerms) -> Vec<PassKey<M>> {
        let snapshots = &self.snapshots.keys;
        let key_indexes: Vec<usize> = match keys {
            KeySelection::All => snapshots.keys().copied().collect(),
            _ => keys.key_indexes().to_vec(),
        };
        let of_key = |key_index: usize| {
            let snapshot = snapshots.get(&key_index)?;
            let has_changed = snapshot.newest > terms.since || terms.since == Offset::START;
            let is_told = !snapshot.is_blank || terms.may_have_state;
            let is_sent = snapshot.known_from.is_some() && has_changed && is_told;
            is_sent.then(|| PassKey { key_index, sum: Arc::clone(&snapshot.sum), newest: snapshot.newest })
        };
        key_indexes.into_iter().filter_map(of_key).collect()
    }

    /// Returns the encoding of a key's snapshot that a reader of this key alone may get: all messages after it are kept, and
    /// a quarter of the capacity has not come since.
    fn ready_snapshot(&self, key: &PassKey<M>, cursor: &Cursor, terms: PassTerms) -> Option<Arc<Entry<M>>> {
        let entry = self.snapshots.keys.get(&key.key_index)?.encoded()?;
        let (place, key_log) = (entry.offset(), &self.keys[key.key_index]);
        let is_usable = place >= cursor.position.max(terms.place_min)
            && place > terms.since
            && terms.bound.is_none_or(|bound| place <= bound)
            && place >= key_log.trimmed_through
            && place >= self.generations.lost_through()
            && key_log.queue_count_after(place) < (self.limits.capacity as u64 / 4).max(1)
            && place <= self.place_before_finish(key.key_index, self.head)
            && self.has_seen(place);
        is_usable.then(|| Arc::clone(entry))
    }

    /// Returns the newest place at or below the head from which a client of this key alone is still told of its finish, and
    /// gets the message that finishes it.
    fn place_before_finish(&self, key_index: usize, head: Offset) -> Offset {
        let Some(finish) = self.notices.finish_of.get(&key_index).copied().filter(|_| !self.has_no_finish()) else {
            return head;
        };
        let last = self.keys[key_index].queue.back().filter(|entry| entry.role == QueueRole::Last);
        self.generations.seen_before(last.map_or(finish, |last| last.offset())).min(head)
    }

    /// Returns how many queue messages a reader has yet to read that begins a pass, or is in one.
    fn unread_in_pass(&self, keys: &KeySelection, cursor: &Cursor, pass: &Pass<M>) -> u64 {
        let is_others = |entry: &&Arc<Entry<M>>| entry.offset() > pass.place || !pass.sums(entry);
        self.count_queue_after(keys, cursor.owed_after(), is_others)
    }

    /// Returns how many queue messages are kept after an offset that this passes.
    fn count_queue_after(&self, keys: &KeySelection, after: Offset, passes: impl Fn(&&Arc<Entry<M>>) -> bool) -> u64 {
        let count: usize = if matches!(keys, KeySelection::All) {
            self.queue.range(above(after)).map(|(_, entry)| entry).filter(|entry| passes(entry)).count()
        } else {
            let logs = keys.key_indexes().iter().map(|key_index| &self.keys[*key_index]);
            logs.map(|log| log.queue_after(after).filter(|entry| passes(entry)).count()).sum()
        };
        count as u64
    }

    /// Returns how many messages of these keys that are not summed were appended, and are read at a cursor or not owed.
    pub(crate) fn accounted_others(&self, keys: &KeySelection, cursor: &Cursor) -> u64 {
        self.appended_others(keys) - self.kept_others(keys, cursor)
    }

    fn appended_others(&self, keys: &KeySelection) -> u64 {
        if matches!(keys, KeySelection::All) {
            return self.snapshots.appended_others;
        }
        let of_key = |key_index: &usize| match self.snapshots.keys.get(key_index) {
            Some(snapshot) => snapshot.appended_others,
            None => self.keys[*key_index].appended_queue,
        };
        keys.key_indexes().iter().map(of_key).sum()
    }

    fn kept_others(&self, keys: &KeySelection, cursor: &Cursor) -> u64 {
        self.count_queue_after(keys, cursor.owed_after(), |entry| !entry.role.is_summed())
    }

    /// Returns what a reader has missed that no snapshot contains.
    pub(crate) fn missed_unsummed(
        &self,
        keys: &KeySelection,
        cursor: &Cursor,
        accounted_others: u64,
        pass: Option<&Pass<M>>,
    ) -> Unsummed {
        let others = self.appended_others(keys) - accounted_others - self.kept_others(keys, cursor);
        if !self.has_unknown_trimmed(keys, cursor) {
            return Unsummed { missed: Some(others), recorded: others };
        }
        let all = self.lost_of(keys, cursor, pass);
        // Of several keys, some may have snapshots.
        Unsummed { missed: Some(all).filter(|_| keys.key_indexes().len() == 1), recorded: all }
    }

    /// Returns whether messages that a reader may be owed were trimmed of a key whose snapshot is not known.
    fn has_unknown_trimmed(&self, keys: &KeySelection, cursor: &Cursor) -> bool {
        let (snapshots, owed_after) = (&self.snapshots, cursor.owed_after());
        let is_gone = |key_index: &usize| self.keys[*key_index].trimmed_through > owed_after;
        match keys {
            KeySelection::All => {
                snapshots.forgotten_unknown_through > owed_after || snapshots.unknown.iter().any(is_gone)
            }
            _ if snapshots.unknown.is_empty() => false,
            _ => keys.key_indexes().iter().filter(|key| snapshots.unknown.contains(key)).any(is_gone),
        }
    }

    /// Returns the newest kept queue message that is not among the last `replay` of those that no snapshot contains.
    pub(crate) fn newest_other_not_replayed(&self, keys: &KeySelection, replay: usize) -> Offset {
        let is_other = |entry: &&Arc<Entry<M>>| !entry.role.is_summed() || !self.snapshots.is_known(entry.key_index);
        let of_key = |key_index: usize| self.keys[key_index].queue.iter().rev().filter(is_other);
        let offset = |entry: &Arc<Entry<M>>| entry.offset();
        match keys {
            KeySelection::All => self.queue.values().rev().filter(is_other).nth(replay).map(offset),
            KeySelection::One(key_index) => of_key(*key_index).nth(replay).map(offset),
            KeySelection::Set(key_indexes) | KeySelection::Watched(key_indexes) => {
                let at_most = replay.saturating_add(1);
                let newest = key_indexes.iter().flat_map(|key_index| of_key(*key_index).take(at_most).map(offset));
                let mut newest: Vec<Offset> = newest.collect();
                newest.sort_unstable();
                newest.into_iter().rev().nth(replay)
            }
        }
        .unwrap_or_default()
    }

    /// Returns how many messages a reader was owed that are gone, whether or not a snapshot contains them.
    pub(crate) fn lost_of(&self, keys: &KeySelection, cursor: &Cursor, pass: Option<&Pass<M>>) -> u64 {
        let kept = match pass {
            Some(pass) => self.unread_in_pass(keys, cursor, pass),
            None => self.queue_count_after(keys, cursor.owed_after()),
        };
        (self.appended_queue(keys) - cursor.accounted).saturating_sub(kept)
    }

    /// Returns whether messages of these keys after an id are gone that no snapshot contains.
    pub(crate) fn has_lost_unsummed(&self, keys: &KeySelection, id: Offset) -> bool {
        if self.has_all_in_snapshots(keys) {
            let of_key = |key_index| self.snapshots.keys[key_index].others_trimmed_through;
            return keys.key_indexes().iter().map(of_key).any(|trimmed_through| trimmed_through > id);
        }
        !self.has_seen(id) || self.unsummed_trimmed_through(keys) > id
    }

    /// Returns whether every message of these keys is in their snapshots, also where messages never came to this log.
    fn has_all_in_snapshots(&self, keys: &KeySelection) -> bool {
        let is_known = |key_index: &usize| {
            let snapshot = self.snapshots.keys.get(key_index);
            snapshot.is_some_and(|snapshot| snapshot.known_from.is_some() && !snapshot.is_blank)
        };
        M::SNAPSHOT.is_some_and(|rules| rules.sums_everything)
            && !keys.key_indexes().is_empty()
            && keys.key_indexes().iter().all(is_known)
    }

    /// Returns whether the snapshots of a reader's keys are all that a client with an unknown id needs.
    pub(crate) fn sums_restarts(&self, keys: &KeySelection) -> bool {
        let is_complete = self.generations.lost_through() == Offset::START;
        M::SNAPSHOT.is_some_and(|rules| rules.sums_everything)
            && !M::HAS_TOMBSTONES
            && (is_complete || self.has_all_in_snapshots(keys))
            && !keys.key_indexes().iter().any(|key_index| self.snapshots.unknown.contains(key_index))
    }

    /// Returns what has happened to a reader's keys since it has last read.
    pub(crate) fn interruption(&self, keys: &KeySelection, cursor: &Cursor) -> Option<Interruption> {
        if cursor.generation == self.generation() {
            return None;
        }
        if self.generations.is_before_epoch(cursor.generation) {
            return Some(Interruption::Restarted);
        }
        let lost = self.generations.next_gap(cursor.generation).map(|lost| lost.gap.reason);
        if self.notices.next_removal(keys, cursor.generation).is_some() || self.has_forgotten_removal(keys, cursor) {
            return Some(Interruption::Removed(lost.unwrap_or(GapReason::Removed)));
        }
        lost.map(Interruption::Lost)
    }

    // --- Cursors ---------------------------------------------------------------------------------------------------

    /// Returns the cursor of a reader that has lost messages: at its position, before what is kept.
    pub(crate) fn cursor_after_loss(&self, keys: &KeySelection, cursor: &Cursor) -> Cursor {
        let accounted = self.appended_queue(keys) - self.queue_count_after(keys, cursor.owed_after());
        let ids_after = cursor.skip_through.max(self.trimmed_through(keys));
        Cursor { accounted, ids_after, generation: self.generation(), ..cursor.clone() }
    }

    /// Returns a cursor that skips the queue messages up to an offset.
    pub(crate) fn cursor_skipping(&self, keys: &KeySelection, cursor: Cursor, skip_through: Offset) -> Cursor {
        let cursor = Cursor { skip_through, ..cursor };
        let accounted = self.appended_queue(keys) - self.queue_count_after(keys, cursor.owed_after());
        Cursor { accounted, ..cursor }
    }

    // --- Reading ---------------------------------------------------------------------------------------------------

    /// Reads what is next in a pass, and moves the cursor after it.
    pub(crate) fn read_pass(
        &mut self,
        keys: &KeySelection,
        cursor: &mut Cursor,
        accounted_others: u64,
        pass: &mut Pass<M>,
    ) -> PassStep<M> {
        if let Some(step) = self.check_pass(keys, cursor, accounted_others, pass) {
            return step;
        }
        if !pass.has_read_others {
            if let Some(step) = self.read_others(keys, cursor, pass) {
                return step;
            }
            pass.has_read_others = true;
            cursor.position = pass.place;
        }
        if let Some(gap) = pass.gap.take() {
            return PassStep::Gap(gap);
        }
        if pass.ready.is_some() || !pass.unsent.is_empty() {
            return PassStep::Snapshot;
        }
        self.read_finish(keys, pass).unwrap_or(PassStep::Over)
    }

    /// Returns what is lost in a pass, if anything is.
    pub(crate) fn check_pass(
        &self,
        keys: &KeySelection,
        cursor: &mut Cursor,
        accounted_others: u64,
        pass: &Pass<M>,
    ) -> Option<PassStep<M>> {
        if self.interruption(keys, cursor).is_some() {
            return Some(PassStep::Interrupted);
        }
        cursor.generation = self.generation();
        if pass.has_read_others {
            return None;
        }
        // Counted only where something was trimmed, because that looks at each message.
        if self.unsummed_trimmed_through(keys) > cursor.owed_after() {
            if self.has_unknown_trimmed(keys, cursor) && self.lost_of(keys, cursor, Some(pass)) > 0 {
                return Some(PassStep::Interrupted);
            }
            let missed = self.appended_others(keys) - accounted_others - self.kept_others(keys, cursor);
            if missed > 0 {
                cursor.accounted += missed;
                return Some(PassStep::Lost { missed });
            }
        }
        self.has_lost_expiry(keys, cursor).then_some(PassStep::Interrupted)
    }

    /// Reads the next messages up to the place that no snapshot contains.
    fn read_others(&self, keys: &KeySelection, cursor: &mut Cursor, pass: &Pass<M>) -> Option<PassStep<M>> {
        let expired = self.next_expired(keys, cursor).filter(|expired| expired.offset <= pass.place);
        let last = expired.as_ref().map_or(pass.place, |expired| expired.offset);
        if let Some(batch) = self.next_others(keys, cursor, pass, last) {
            let entries = batch.entries();
            let queue = entries.iter().filter(|entry| entry.retention == Retention::Queue).count() as u64;
            cursor.advance(batch.last_offset(), queue);
            let counts = Counts { queue, latest: entries.len() as u64 - queue, ephemeral: 0 };
            return Some(PassStep::Batch { batch, counts });
        }
        let NextExpired { offset, value } = expired?;
        cursor.position = offset;
        Some(PassStep::Expired { offset, value })
    }

    fn next_others(&self, keys: &KeySelection, cursor: &Cursor, pass: &Pass<M>, last: Offset) -> Option<Batch<M>> {
        let (position, owed_after) = (cursor.position, cursor.owed_after());
        let of_key = |key_index: usize| {
            let log = &self.keys[key_index];
            merge(log.latest_after(position), log.queue_after(owed_after).filter(|entry| !pass.sums(entry)))
        };
        match keys {
            KeySelection::One(key_index) => Batch::collect(of_key(*key_index), pass.place, Some(last)),
            KeySelection::Set(key_indexes) | KeySelection::Watched(key_indexes) => {
                Batch::collect(merge_all(key_indexes.iter().copied().map(of_key)), pass.place, Some(last))
            }
            KeySelection::All => {
                let latest = self.latest.range(above(position)).map(|(_, entry)| entry);
                let queue = self.queue.range(above(owed_after)).map(|(_, entry)| entry);
                Batch::collect(merge(latest, queue.filter(|entry| !pass.sums(entry))), pass.place, Some(last))
            }
        }
    }

    /// Reads the next finish up to the place, or the last one when all keys are finished.
    fn read_finish(&self, keys: &KeySelection, pass: &mut Pass<M>) -> Option<PassStep<M>> {
        if self.has_no_finish() || pass.has_one_key {
            return None;
        }
        let NextFinish { offset, key_json } = self.notices.next_finish(keys, pass.terms.finishes_through)?;
        if offset > pass.place {
            return None;
        }
        pass.terms.finishes_through = offset;
        let is_last = self.notices.last_finish(keys) == Some(offset);
        Some(PassStep::Finished { offset, key_json, is_last })
    }
}
