//! The snapshots of a log: which keys have one, which messages it does not contain yet, and what it takes of the store's
//! memory. Nothing here runs for a type without [`Message::SNAPSHOT`].
//!
//! The state itself is outside of the log, in a [`SharedSum`] with a lock of its own, because the code of the message's
//! type makes it. A message that is trimmed before it was applied is kept here until then. So whoever trims applies next,
//! without the store's lock.
//!
//! A key has an entry since its first summed message. One that is removed, or forgotten, is blank until it is no longer
//! read.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::id::Offset;
use crate::message::Message;
use crate::store::entry::Entry;
use crate::store::kept_as::QueueRole;
use crate::store::limits::ENTRY_OVERHEAD;
use crate::store::log::Log;
use crate::store::log::key::KeySelection;
use crate::store::log::snapshot_index::KeySnapshot;
use crate::store::sum::SharedSum;

impl<M: Message> Log<M> {
    // --- Appending and trimming ------------------------------------------------------------------------------------

    /// Records a queue message that was appended.
    pub(super) fn record_for_snapshot(&mut self, entry: &Entry<M>) {
        let (key_index, offset, role) = (entry.key_index, entry.offset(), entry.role);
        if !role.is_summed() {
            self.snapshots.appended_others += 1;
            if let Some(snapshot) = self.snapshots.keys.get_mut(&key_index) {
                snapshot.appended_others += 1;
            }
            return;
        }
        self.ensure_snapshot(key_index);
        if role == QueueRole::Snapshot && !self.snapshots.is_known(key_index) {
            self.snapshots.unknown.remove(&key_index);
            self.snapshots.update(key_index, |snapshot| {
                (snapshot.known_from, snapshot.size, snapshot.measured) =
                    (Some(offset), ENTRY_OVERHEAD, ENTRY_OVERHEAD);
            });
        }
        self.snapshots.update(key_index, |snapshot| {
            let newest = snapshot.newest.max(offset);
            (snapshot.newest, snapshot.is_blank, snapshot.is_droppable) = (newest, false, false);
            // That of a blank one may have been left out, to make room.
            snapshot.size = snapshot.size.max(ENTRY_OVERHEAD);
        });
    }

    /// Makes an entry for a key without one. Where messages may have been lost before, its snapshot is not known.
    pub(super) fn ensure_snapshot(&mut self, key_index: usize) {
        if self.snapshots.keys.contains_key(&key_index) {
            return;
        }
        let key_log = &self.keys[key_index];
        let Some(key) = key_log.key.clone() else { return };
        // The newest message may be among those that are counted already.
        let appended_others = key_log.appended_queue - self.newly_appended_summed(key_index);
        let known_from = self.is_complete().then_some(Offset::START);
        let mut snapshot = KeySnapshot::new(key, known_from, key_log.trimmed_through, appended_others);
        snapshot.is_lost = known_from.is_none();
        self.snapshots.insert(key_index, snapshot);
        self.keys.pin(key_index);
    }

    /// Returns how many messages of a key without an entry are summed: at most its newest, which is being appended.
    fn newly_appended_summed(&self, key_index: usize) -> u64 {
        let newest = self.keys[key_index].queue.back();
        u64::from(newest.is_some_and(|entry| entry.role.is_summed()))
    }

    /// Returns whether the sum of a key is known, also of a key that is new.
    #[cfg(all(test, feature = "simulation"))]
    pub(crate) fn knows_snapshot(&self, key: &M::Key) -> bool {
        match self.key_index(key).filter(|key_index| self.snapshots.keys.contains_key(key_index)) {
            Some(key_index) => self.snapshots.is_known(key_index),
            None => self.is_complete(),
        }
    }

    /// Returns whether a key without an entry is new: no message of it can have been lost before it came here, or been
    /// forgotten, but those that are in snapshots which were loaded.
    pub(super) fn is_complete(&self) -> bool {
        let missing = self.missing_through();
        missing == (Offset::START, Offset::START) || self.snapshots.complete_from == Some(missing)
    }

    /// Returns up to where messages may have been lost, and up to where those were trimmed of keys that were forgotten while
    /// their snapshots were not known.
    pub(super) fn missing_through(&self) -> (Offset, Offset) {
        (self.generations.lost_through(), self.snapshots.forgotten_unknown_through)
    }

    /// Records a queue message that was trimmed. It is kept until it is applied.
    pub(super) fn record_trimmed(&mut self, entry: &Arc<Entry<M>>) {
        let (key_index, offset) = (entry.key_index, entry.offset());
        let Some(snapshot) = self.snapshots.keys.get_mut(&key_index) else {
            return self.mark_unsummed_trimmed(key_index, offset);
        };
        if !entry.role.is_summed() || snapshot.known_from.is_none_or(|from| offset < from) {
            return self.mark_unsummed_trimmed(key_index, offset);
        }
        #[cfg(test)]
        if crate::store::sum::Fault::NeverApplied.is_planted() {
            return;
        }
        if offset > snapshot.applied_through {
            snapshot.trimmed.push_back(Arc::clone(entry));
            self.snapshots.due.insert(key_index);
        }
        self.snapshots.update(key_index, |snapshot| {
            if offset > snapshot.measured_through {
                // A snapshot replaces what was counted.
                let before = if entry.role == QueueRole::Snapshot { ENTRY_OVERHEAD } else { snapshot.size };
                snapshot.size = before + entry.cost - ENTRY_OVERHEAD;
                if entry.role == QueueRole::Snapshot {
                    snapshot.measured = snapshot.size;
                }
            }
        });
    }

    /// Records that a message was trimmed which no snapshot contains, or that a key was removed there.
    pub(super) fn mark_unsummed_trimmed(&mut self, key_index: usize, offset: Offset) {
        let snapshots = &mut self.snapshots;
        snapshots.unsummed_trimmed_through = snapshots.unsummed_trimmed_through.max(offset);
        if let Some(snapshot) = snapshots.keys.get_mut(&key_index) {
            snapshot.others_trimmed_through = snapshot.others_trimmed_through.max(offset);
        }
    }

    /// Returns the newest offset at or below which messages of these keys were trimmed, or never arrived, that no snapshot
    /// contains.
    pub(crate) fn unsummed_trimmed_through(&self, keys: &KeySelection) -> Offset {
        let of_key = |key_index: &usize| match self.snapshots.keys.get(key_index) {
            Some(snapshot) if snapshot.known_from.is_some() => snapshot.others_trimmed_through,
            _ => self.keys[*key_index].trimmed_through,
        };
        let trimmed = match keys {
            KeySelection::All => Some(self.snapshots.unsummed_trimmed_through),
            _ => keys.key_indexes().iter().map(of_key).max(),
        };
        trimmed.unwrap_or_default().max(self.generations.lost_through())
    }

    // --- Ends ------------------------------------------------------------------------------------------------------

    /// Lets the snapshot of a finished key be dropped to make room.
    pub(super) fn record_finished_snapshot(&mut self, key_index: usize) {
        self.snapshots.update(key_index, |snapshot| snapshot.is_droppable = snapshot.known_from.is_some());
    }

    /// Makes a key whose finish is forgotten new, if nothing is kept of it. Otherwise its snapshot may be dropped once its
    /// messages are trimmed: a newer message changes that.
    pub(super) fn record_reopened_snapshot(&mut self, key_index: usize) {
        if self.keys[key_index].is_empty() {
            self.reset_snapshot(key_index, None);
        } else {
            self.snapshots.update(key_index, |snapshot| {
                // One that is not known was left out, because the finish counted for it.
                (snapshot.is_droppable, snapshot.size) = (true, snapshot.size.max(ENTRY_OVERHEAD));
            });
        }
    }

    /// Makes the snapshot of a key that of a new one, because it was removed at this offset or is forgotten. Without
    /// readers of the key nothing is kept of it.
    pub(super) fn reset_snapshot(&mut self, key_index: usize, removed_at: Option<Offset>) {
        let Some(snapshot) = self.snapshots.keys.get(&key_index) else { return };
        let (appended_others, newest) = (snapshot.appended_others, removed_at.unwrap_or(snapshot.newest));
        // A removal is above all that was trimmed, and an epoch begins without it.
        let others_trimmed_through = removed_at.unwrap_or(snapshot.others_trimmed_through).max(newest);
        let key = Arc::clone(snapshot.sum.key());
        if removed_at.is_none() {
            // A reader of all keys that has not read so far is told, too.
            self.snapshots.unsummed_trimmed_through = self.snapshots.unsummed_trimmed_through.max(newest);
        }
        self.snapshots.discard(key_index);
        let blank = KeySnapshot::new(key, Some(newest), newest, appended_others);
        self.snapshots.insert(key_index, KeySnapshot { others_trimmed_through, ..blank });
        self.drop_unread_snapshot(key_index);
    }

    /// Drops the snapshot of a key without messages that has no readers.
    pub(super) fn drop_unread_snapshot(&mut self, key_index: usize) {
        let is_blank = self.snapshots.keys.get(&key_index).is_some_and(|snapshot| snapshot.is_blank);
        if is_blank && self.readers_of_all == 0 && self.is_complete() && self.keys[key_index].holders == 1 {
            self.snapshots.discard(key_index);
            self.keys.release(key_index, self.idle_bytes_max());
        }
    }

    /// Drops the snapshot that may be dropped and has not changed for the longest time. Returns false when there is none.
    pub(super) fn drop_oldest_snapshot(&mut self) -> bool {
        let is_finished = |log: &Self, key_index| log.notices.finish_of.contains_key(&key_index);
        // Where messages are kept of a key whose finish is forgotten, the snapshot is not all that is left of it.
        let is_dropped = |key_index: &usize| {
            let is_blank = self.snapshots.keys[key_index].is_blank;
            is_blank || is_finished(self, *key_index) || self.keys[*key_index].queue_count() == 0
        };
        let mut droppable = self.snapshots.droppable.iter().map(|(_, key_index)| *key_index);
        let Some(key_index) = droppable.find(is_dropped) else { return false };
        if self.snapshots.keys[&key_index].is_blank && self.keys[key_index].holders == 1 {
            self.snapshots.discard(key_index);
            self.keys.release(key_index, self.idle_bytes_max());
        } else if self.snapshots.keys[&key_index].is_blank {
            // Its readers need the count of its messages. There are not more such keys than readers hold.
            self.snapshots.update(key_index, |snapshot| (snapshot.size, snapshot.is_droppable) = (0, false));
        } else if is_finished(self, key_index) {
            self.forget_snapshot(key_index, None);
        } else {
            self.reset_snapshot(key_index, None);
        }
        true
    }

    /// Drops the largest snapshot, first of the keys for which `is_read` returns false, then of the others. Between them it
    /// forgets keys without readers and messages whose snapshots are not known. Returns false when there is nothing to drop.
    pub(crate) fn drop_largest_snapshot(&mut self, is_read: impl Fn(usize) -> bool) -> bool {
        let largest = |wants_read: bool| {
            let known = self.snapshots.keys.iter().filter(|(_, snapshot)| snapshot.known_from.is_some());
            let large = known.filter(|(_, snapshot)| snapshot.size > ENTRY_OVERHEAD);
            let wanted = large.filter(|(key_index, _)| is_read(**key_index) == wants_read);
            wanted.max_by_key(|(_, snapshot)| snapshot.size).map(|(key_index, _)| *key_index)
        };
        if let Some(key_index) = largest(false) {
            self.forget_snapshot(key_index, None);
        } else if let Some(key_index) = self.unread_unknown() {
            let trimmed_through = self.keys[key_index].trimmed_through;
            let snapshots = &mut self.snapshots;
            snapshots.forgotten_unknown_through = snapshots.forgotten_unknown_through.max(trimmed_through);
            snapshots.discard(key_index);
            self.keys.release(key_index, self.idle_bytes_max());
        } else if let Some(key_index) = largest(true) {
            self.forget_snapshot(key_index, None);
        } else {
            return false;
        }
        true
    }

    /// Returns a key whose snapshot is not known, of which nothing is kept or remembered and which has no readers.
    fn unread_unknown(&self) -> Option<usize> {
        let is_unread = |key_index: &usize| {
            let key_log = &self.keys[*key_index];
            key_log.queue_count() == 0 && key_log.holders == 1 && self.snapshots.keys[key_index].size > 0
        };
        self.snapshots.unknown.iter().copied().find(is_unread)
    }

    /// Makes the snapshot of a key unknown, after this message could not be applied. It is known again from a newer
    /// snapshot that was submitted.
    pub(crate) fn fail_snapshot(&mut self, key_index: usize, sum: &Arc<SharedSum<M>>, failed: Offset) {
        if self.snapshots.of_sum(key_index, sum).is_some() {
            let kept = self.keys[key_index].queue.iter();
            let trimmed = self.snapshots.keys[&key_index].trimmed.iter();
            let newer =
                trimmed.chain(kept).filter(|entry| entry.offset() > failed && entry.role == QueueRole::Snapshot);
            let known_from = newer.map(|entry| entry.offset()).max();
            self.forget_snapshot(key_index, known_from);
        }
    }

    /// Makes the snapshot of a key unknown, or known from a submitted snapshot on.
    pub(super) fn forget_snapshot(&mut self, key_index: usize, known_from: Option<Offset>) {
        let trimmed_through = self.keys[key_index].trimmed_through;
        let is_finished = self.notices.finish_of.contains_key(&key_index);
        let Some(snapshot) = self.snapshots.keys.get(&key_index) else { return };
        let key = Arc::clone(snapshot.sum.key());
        let (newest, appended_others, kept_through) =
            (snapshot.newest, snapshot.appended_others, snapshot.kept_through);
        let trimmed: VecDeque<Arc<Entry<M>>> = match known_from {
            Some(from) => snapshot.trimmed.iter().filter(|entry| entry.offset() >= from).cloned().collect(),
            None => VecDeque::new(),
        };
        self.snapshots.discard(key_index);
        let mut snapshot = KeySnapshot::new(key, known_from, newest, appended_others);
        (snapshot.is_blank, snapshot.is_droppable) = (false, false);
        (snapshot.others_trimmed_through, snapshot.kept_through) = (trimmed_through, kept_through);
        // A finished key is remembered by its finish.
        snapshot.size = if is_finished && known_from.is_none() { 0 } else { ENTRY_OVERHEAD };
        snapshot.trimmed = trimmed;
        if !snapshot.trimmed.is_empty() {
            self.snapshots.due.insert(key_index);
        }
        self.snapshots.insert(key_index, snapshot);
        self.snapshots.unsummed_trimmed_through = self.snapshots.unsummed_trimmed_through.max(trimmed_through);
    }

    /// Begins an epoch. Of a key that has readers the count stays, because their ledgers are made from it.
    pub(super) fn reset_snapshots(&mut self, floor: Offset) {
        let keys: Vec<usize> = self.snapshots.keys.keys().copied().collect();
        for key_index in keys {
            if self.keys[key_index].holders > 1 {
                self.reset_snapshot(key_index, Some(Offset::START));
                if floor > Offset::START {
                    self.forget_snapshot(key_index, None);
                }
            } else {
                self.snapshots.discard(key_index);
                self.keys.unpin(key_index);
            }
        }
        self.snapshots.unsummed_trimmed_through = Offset::START;
        self.snapshots.forgotten_unknown_through = Offset::START;
        self.clear_unwritten();
        self.snapshots.complete_from = None;
    }

    /// Makes every snapshot unknown, because messages of any key may have been lost.
    pub(super) fn forget_snapshots(&mut self) {
        let keys: Vec<usize> = self.snapshots.keys.keys().copied().collect();
        for key_index in keys {
            self.forget_snapshot(key_index, None);
            self.snapshots.update(key_index, |snapshot| snapshot.is_lost = true);
        }
    }
}
