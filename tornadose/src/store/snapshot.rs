//! Brings the snapshots of keys up to date. Which messages are to be applied is known to the log (`log/snapshots.rs`).
//!
//! # Locks
//!
//! A sum has a lock of its own. It is taken before that of the store, never after it: `apply`, `init` and `event` run
//! under the lock of the sum alone. So messages are applied in the order in which they are taken from the log, which is
//! its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::event::Event;
use crate::id::{Id, Offset};
use crate::message::snapshot::SnapshotRules;
use crate::message::{Message, Retention};
use crate::store::entry::Entry;
use crate::store::kept_as::{KeptAs, QueueRole};
use crate::store::limits::ENTRY_OVERHEAD;
use crate::store::log::summing::Unapplied;
use crate::store::shared::Shared;
#[cfg(test)]
use crate::store::sum::Fault;
use crate::store::sum::SharedSum;

/// The snapshot of a key at a place.
pub(crate) enum SnapshotAt<M> {
    /// It is encoded. `with_id`, the id is that of its place.
    Encoded(Arc<Entry<M>>),
    /// It contains messages above the place.
    Ahead,
    /// It is not known.
    Unknown,
}

/// Whether an encoding has to have the id of its place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum EncodingId {
    OfPlace,
    Any,
}

/// What is no longer needed, to be dropped without a lock: a message has a `Drop` of its own.
pub(super) struct Dropped<M> {
    states: Vec<Arc<M>>,
    entries: Vec<Arc<Entry<M>>>,
}

impl<M> Default for Dropped<M> {
    fn default() -> Self {
        Self { states: Vec::new(), entries: Vec::new() }
    }
}

/// The code of the message's type has panicked, or a snapshot cannot be encoded.
pub(super) struct Failed;

impl<M: Message> Shared<M> {
    /// Applies the messages that were trimmed. The store must not be locked, and no sum.
    #[cold]
    pub(crate) fn apply_trimmed(&self) {
        loop {
            let mut state = self.lock_only();
            let due = state.log.snapshots_mut().pop_due();
            let discarded = state.log.snapshots_mut().take_discarded();
            drop(state);
            drop(discarded);
            let Some((key_index, sum)) = due else { return };
            // Dropped after unlocking, because a message has a `Drop` of its own.
            let mut dropped = Dropped::default();
            let mut current = sum.lock();
            let unapplied = self.lock_only().log.take_unapplied(key_index, &sum, None);
            if let Unapplied::Messages(entries) = unapplied {
                let applied = self.apply(key_index, &sum, &mut current, entries, &mut dropped);
                let to_measure = self.lock_only().log.place_to_measure(key_index, &sum);
                if let (Ok(()), Some(id)) = (applied, to_measure) {
                    self.encode(key_index, &sum, &mut current, id, &mut dropped);
                }
            }
            drop(current);
            drop(dropped);
        }
    }

    /// Returns the snapshot of a key that contains its messages up to a place. The store must not be locked.
    pub(crate) fn snapshot_at(
        &self,
        key_index: usize,
        sum: &Arc<SharedSum<M>>,
        place: Offset,
        id: EncodingId,
    ) -> SnapshotAt<M> {
        let mut dropped = Dropped::default();
        let mut current = sum.lock();
        let mut state = self.lock_only();
        #[cfg(test)]
        let place = if Fault::OneTooOld.is_planted() { place.previous() } else { place };
        let unapplied = state.log.take_unapplied(key_index, sum, Some(place));
        let encoded = state.log.current_encoding(key_index, sum);
        // Another epoch may have begun when it is encoded.
        let head = state.log.head();
        drop(state);
        let entries = match unapplied {
            Unapplied::Messages(entries) => entries,
            Unapplied::Ahead => return SnapshotAt::Ahead,
            Unapplied::Unknown => return SnapshotAt::Unknown,
        };
        let usable = encoded.filter(|encoded| id == EncodingId::Any || encoded.offset() == place);
        if entries.is_empty()
            && let Some(encoded) = usable
        {
            return SnapshotAt::Encoded(encoded);
        }
        let applied = self.apply(key_index, sum, &mut current, entries, &mut dropped);
        #[cfg(test)]
        let place = if Fault::OneTooOld.is_planted() { place.next() } else { place };
        let id = Id { offset: place, ..head };
        let encoded = applied.ok().and_then(|()| self.encode(key_index, sum, &mut current, id, &mut dropped));
        drop(current);
        drop(dropped);
        if self.lock_only().log.snapshots_mut().has_due() {
            self.apply_trimmed();
        }
        encoded.map_or(SnapshotAt::Unknown, SnapshotAt::Encoded)
    }

    /// Applies messages to a state. What is no longer needed is handed over, to be dropped without a lock.
    pub(super) fn apply(
        &self,
        key_index: usize,
        sum: &Arc<SharedSum<M>>,
        current: &mut Option<Arc<M>>,
        entries: Vec<Arc<Entry<M>>>,
        dropped: &mut Dropped<M>,
    ) -> Result<(), Failed> {
        let Some(rules) = M::SNAPSHOT else { return Err(Failed) };
        // What is older than a submitted snapshot is replaced by it.
        let first = entries.iter().rposition(|entry| entry.role == QueueRole::Snapshot).unwrap_or(0);
        let mut last = Offset::START;
        let mut replaced = None;
        let applied = catch_unwind(AssertUnwindSafe(|| {
            for entry in &entries[first..] {
                last = entry.offset();
                if entry.role == QueueRole::Snapshot {
                    replaced = current.replace(Arc::clone(&entry.message));
                } else {
                    apply_one(&rules, sum, current, &entry.message);
                    #[cfg(test)]
                    if Fault::AppliedTwice.is_planted() {
                        apply_one(&rules, sum, current, &entry.message);
                    }
                }
            }
        }));
        dropped.states.extend(replaced);
        dropped.entries.extend(entries);
        applied.map_err(|_| self.fail(key_index, sum, current, last, dropped))
    }

    /// Encodes a state, which contains the messages of its key up to the place with this id.
    fn encode(
        &self,
        key_index: usize,
        sum: &Arc<SharedSum<M>>,
        current: &mut Option<Arc<M>>,
        id: Id,
        dropped: &mut Dropped<M>,
    ) -> Option<Arc<Entry<M>>> {
        let rules = M::SNAPSHOT?;
        let encoded = catch_unwind(AssertUnwindSafe(|| {
            let message = current.get_or_insert_with(|| Arc::new((rules.init)(sum.key())));
            (Arc::clone(message), message.event())
        }));
        let Ok((message, Ok(event))) = encoded else {
            self.fail(key_index, sum, current, id.offset, dropped);
            return None;
        };
        Some(self.record_encoded(key_index, sum, id, message, event))
    }

    fn record_encoded(
        &self,
        key_index: usize,
        sum: &Arc<SharedSum<M>>,
        id: Id,
        message: Arc<M>,
        event: Event,
    ) -> Arc<Entry<M>> {
        let cost = ENTRY_OVERHEAD + self.encoding_count() * event.encoded_len_max();
        let kept_as = KeptAs::Queue(QueueRole::Snapshot);
        let entry = Arc::new(Entry::new(id, message, event, &kept_as, key_index, cost));
        debug_assert_eq!(entry.retention, Retention::Queue);
        self.lock_only().log.record_encoded(key_index, sum, &entry);
        entry
    }

    /// Makes a snapshot unknown, and logs that.
    pub(super) fn fail(
        &self,
        key_index: usize,
        sum: &Arc<SharedSum<M>>,
        current: &mut Option<Arc<M>>,
        failed: Offset,
        dropped: &mut Dropped<M>,
    ) -> Failed {
        dropped.states.extend(current.take());
        self.lock_only().log.fail_snapshot(key_index, sum, failed);
        tracing::error!(target: "tornadose", channel = M::CHANNEL, "snapshot failed");
        Failed
    }
}

/// Applies one message. The state is copied first while a reader has it.
fn apply_one<M: Message>(
    rules: &SnapshotRules<M, M::Key>,
    sum: &SharedSum<M>,
    current: &mut Option<Arc<M>>,
    message: &M,
) {
    let state = current.get_or_insert_with(|| Arc::new((rules.init)(sum.key())));
    if Arc::get_mut(state).is_none() {
        *state = Arc::new((rules.copy)(state));
    }
    if let Some(state) = Arc::get_mut(state) {
        (rules.apply)(state, message);
    }
}
