//! The memory that the snapshots of a log take, and the messages that are to be applied to them.

use std::sync::Arc;

use crate::id::{Id, Offset};
use crate::message::Message;
use crate::store::entry::Entry;
use crate::store::kept_as::KeptAs;
use crate::store::limits::ENTRY_OVERHEAD;
use crate::store::log::Log;
#[cfg(test)]
use crate::store::log::snapshot_index::KeySnapshot;
use crate::store::log::snapshot_index::Snapshots;
use crate::store::sum::SharedSum;

/// The messages that have to be applied to the snapshot of a key.
pub(crate) enum Unapplied<M> {
    /// These messages, in log order.
    Messages(Vec<Arc<Entry<M>>>),
    /// The snapshot contains messages above the place already.
    Ahead,
    /// The snapshot is not known.
    Unknown,
}

impl<M: Message> Log<M> {
    // --- Memory ----------------------------------------------------------------------------------------------------

    /// Drops snapshots that may be dropped while they do not fit beside the `latest` values and the newest message, and
    /// trims the oldest messages meanwhile, which makes snapshots larger.
    pub(super) fn make_room_by_snapshots(&mut self, newest: Offset, evicted: &mut Vec<Arc<Entry<M>>>) {
        loop {
            let newest_cost = self.queue.last_key_value().map_or(0, |(_, entry)| entry.cost + ENTRY_OVERHEAD);
            let is_over = self.bytes() > self.limits.memory;
            let leaves_too_little =
                self.kept_latest_bytes + self.snapshots.bytes + newest_cost + self.keys.bytes() > self.limits.memory;
            if !is_over && !leaves_too_little {
                return;
            }
            if leaves_too_little && self.drop_oldest_snapshot() {
                continue;
            }
            match self.oldest_queue_message() {
                Some((offset, key_index)) if is_over && offset < newest => {
                    evicted.extend(self.trim_oldest_of(key_index));
                    self.keys.evict_if_idle(key_index, self.idle_bytes_max());
                }
                _ => return,
            }
        }
    }

    /// Returns what the snapshots count beside a new message of a key, without those that can be dropped.
    pub(super) fn cost_of_snapshots(&self, key_index: Option<usize>, kept_as: &KeptAs) -> usize {
        let counts = |key_index| self.snapshots.keys.get(&key_index).is_some_and(|snapshot| !snapshot.is_droppable);
        let is_new = !key_index.is_some_and(counts);
        self.snapshots.needed_bytes() + if is_new && kept_as.role().is_summed() { ENTRY_OVERHEAD } else { 0 }
    }

    /// Returns the snapshots.
    pub(crate) fn snapshots_mut(&mut self) -> &mut Snapshots<M> {
        &mut self.snapshots
    }

    // --- Applying --------------------------------------------------------------------------------------------------

    /// Takes the messages that the snapshot of a key does not contain: those that were trimmed and, with a place, all up
    /// to that. They must be applied, under the lock of the sum.
    pub(crate) fn take_unapplied(
        &mut self,
        key_index: usize,
        sum: &Arc<SharedSum<M>>,
        place: Option<Offset>,
    ) -> Unapplied<M> {
        let Some(snapshot) = self.snapshots.of_sum(key_index, sum) else { return Unapplied::Unknown };
        let Some(known_from) = snapshot.known_from else { return Unapplied::Unknown };
        if place.is_some_and(|place| snapshot.applied_through > place || known_from > place) {
            return Unapplied::Ahead;
        }
        let applied_through = snapshot.applied_through;
        let is_within = |entry: &Arc<Entry<M>>| place.is_none_or(|place| entry.offset() <= place);
        let mut entries = Vec::new();
        while let Some(entry) = snapshot.trimmed.pop_front_if(|entry| is_within(entry)) {
            entries.push(entry);
        }
        if place.is_some() {
            let kept = self.keys[key_index].queue_after(applied_through).take_while(|entry| is_within(entry));
            entries.extend(kept.filter(|entry| entry.role.is_summed() && entry.offset() >= known_from).cloned());
        }
        if let Some(last) = entries.last() {
            snapshot.applied_through = last.offset();
        }
        Unapplied::Messages(entries)
    }

    /// Returns the encoding of a key's snapshot, if it contains all that was applied.
    pub(crate) fn current_encoding(&mut self, key_index: usize, sum: &Arc<SharedSum<M>>) -> Option<Arc<Entry<M>>> {
        let snapshot = self.snapshots.of_sum(key_index, sum)?;
        let (entry, through) = snapshot.encoded.as_ref()?;
        (*through == snapshot.applied_through).then(|| Arc::clone(entry))
    }

    /// Returns the id of the place up to which a snapshot is applied, if it has grown so much since it was measured that it is
    /// measured again.
    pub(crate) fn place_to_measure(&mut self, key_index: usize, sum: &Arc<SharedSum<M>>) -> Option<Id> {
        let snapshot = self.snapshots.of_sum(key_index, sum)?;
        let applied_through = (snapshot.size >= 2 * snapshot.measured).then_some(snapshot.applied_through)?;
        Some(self.id(applied_through))
    }

    /// Records the encoding of a snapshot that contains all that was applied.
    pub(crate) fn record_encoded(&mut self, key_index: usize, sum: &Arc<SharedSum<M>>, entry: &Arc<Entry<M>>) {
        if self.snapshots.of_sum(key_index, sum).is_none() {
            return;
        }
        let cost = entry.cost;
        let mut replaced = None;
        self.snapshots.update(key_index, |snapshot| {
            let through = snapshot.applied_through;
            replaced = snapshot.encoded.replace((Arc::clone(entry), through));
            (snapshot.size, snapshot.measured, snapshot.measured_through) = (cost, cost, through);
        });
        self.discarded_values.extend(replaced.map(|(entry, _)| entry));
    }

    /// Returns the bytes of all snapshots, counted again.
    #[cfg(test)]
    pub(crate) fn snapshot_bytes(&self) -> usize {
        let snapshots = &self.snapshots;
        assert_eq!(snapshots.keys.values().map(|snapshot| snapshot.size).sum::<usize>(), snapshots.bytes);
        let droppable = snapshots.keys.values().map(KeySnapshot::droppable_size).sum::<usize>();
        assert_eq!(droppable, snapshots.droppable_bytes);
        snapshots.bytes
    }

    /// Returns how many snapshots are known, and how many trimmed messages wait to be applied.
    #[cfg(test)]
    pub(crate) fn snapshot_counts(&self) -> (usize, usize) {
        let known = self.snapshots.keys.values().filter(|snapshot| snapshot.known_from.is_some());
        (known.count(), self.snapshots.keys.values().map(|snapshot| snapshot.trimmed.len()).sum())
    }
}
