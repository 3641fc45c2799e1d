//! The snapshots of a log that its engine does not keep yet. Nothing here runs unless an engine keeps snapshots.

use tokio::time::Instant;

use crate::id::Offset;
use crate::message::Message;
use crate::store::log::Log;
use crate::store::log::snapshot_index::KeySnapshot;
use crate::store::log::unwritten::{DueKey, Submitter, Unwritten};

impl<M: Message> Log<M> {
    /// Lets the engine keep the snapshots of the keys, of a process that sends under this id.
    pub(crate) fn keep_snapshots_in_engine(&mut self, sender_id: &str) {
        self.snapshots.unwritten = Some(Box::new(Unwritten::of_sender(sender_id)));
    }

    /// Records that the snapshot of a key has changed at an offset, by a message or a finish. Returns whether a snapshot may
    /// now be due earlier.
    pub(crate) fn record_unwritten(&mut self, key_index: usize, offset: Offset, submitter: Submitter) -> bool {
        let Some(snapshot) = self.snapshots.keys.get(&key_index) else { return false };
        if offset <= snapshot.kept_through || snapshot.known_from.is_none() || snapshot.is_blank {
            return false;
        }
        let Some(unwritten) = &mut self.snapshots.unwritten else { return false };
        unwritten.record(key_index, offset, submitter, Instant::now())
    }

    /// Makes a key due again, unless its snapshot is written by then: after a second, or later if its snapshot is not known
    /// and can only be looked for.
    pub(crate) fn retry_unwritten(&mut self, key_index: usize) {
        let is_known = self.snapshots.is_known(key_index);
        if let Some(unwritten) = &mut self.snapshots.unwritten {
            unwritten.retry(key_index, Instant::now(), !is_known);
        }
    }

    /// Makes all keys due, and counts none of their snapshots as kept. A snapshot that is not known may be kept too.
    pub(crate) fn recheck_unwritten(&mut self) {
        let Some(unwritten) = &mut self.snapshots.unwritten else { return };
        let (now, keys) = (Instant::now(), self.snapshots.keys.keys().copied());
        for key_index in keys.collect::<Vec<_>>() {
            let Some(snapshot) = self.snapshots.keys.get_mut(&key_index) else { continue };
            let was_kept = std::mem::take(&mut snapshot.kept_through) > Offset::START;
            if !snapshot.is_blank && (was_kept || snapshot.known_from.is_some()) {
                unwritten.recheck(key_index, now);
            }
        }
    }

    /// Takes a key whose snapshot is due.
    pub(crate) fn take_due_snapshot(&mut self, now: Instant) -> Option<DueKey> {
        loop {
            let due = self.snapshots.unwritten.as_mut()?.take_due(now)?;
            let snapshot = self.snapshots.keys.get(&due.key_index);
            let can_be = |snapshot: &KeySnapshot<M>| snapshot.known_from.is_some() || due.is_overdue;
            if snapshot.is_some_and(|snapshot| can_be(snapshot) && !snapshot.is_blank) {
                return Some(due);
            }
        }
    }

    /// Returns a place up to which the engine keeps the snapshots of all keys, if this process can know that.
    pub(crate) fn snapshots_kept_through(&self) -> Option<Offset> {
        let unwritten = self.snapshots.unwritten.as_ref()?;
        let mut unknown = self.snapshots.unknown.iter().filter_map(|key_index| self.snapshots.keys.get(key_index));
        if !self.is_complete() || unknown.any(|snapshot| snapshot.newest > snapshot.kept_through) {
            return None;
        }
        Some(unwritten.first().map_or(self.head, |first| self.generations.seen_before(first)))
    }

    /// Returns when the next snapshot is due.
    pub(crate) fn next_due_snapshot(&self) -> Option<Instant> {
        self.snapshots.unwritten.as_ref()?.next_at()
    }

    /// Records how many bytes a snapshot has that is about to be written.
    pub(crate) fn record_snapshot_bytes(&mut self, bytes: usize) {
        if let Some(unwritten) = &mut self.snapshots.unwritten {
            unwritten.record_bytes(bytes, Instant::now());
        }
    }

    /// Forgets what is to be written, at the end of an epoch.
    pub(super) fn clear_unwritten(&mut self) {
        if let Some(unwritten) = &mut self.snapshots.unwritten {
            unwritten.clear();
        }
    }

    /// Returns the offset of the newest change of a key's snapshot, if that is known and the engine does not keep it: its
    /// newest summed message, or its finish. Also returns the former.
    pub(crate) fn newest_unwritten(&self, key_index: usize) -> Option<(Offset, Offset)> {
        let snapshot = self.snapshots.keys.get(&key_index)?;
        let finish = self.notices.finish_of.get(&key_index).copied();
        let is_known = snapshot.known_from.is_some() && !snapshot.is_blank;
        let offset = finish.map_or(snapshot.newest, |finish| finish.max(snapshot.newest));
        (is_known && offset > snapshot.kept_through).then_some((offset, snapshot.newest))
    }
}
