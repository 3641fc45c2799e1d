//! The past of a key: what is kept of it between two offsets, for a reader that is past them and begins to read the key.

use std::sync::Arc;

use crate::id::{Id, Offset};
use crate::message::Message;
use crate::store::entry::Entry;
use crate::store::gap::{Gap, GapReason};
use crate::store::ledger::Counts;
use crate::store::log::Log;
use crate::store::log::batch::Batch;
use crate::store::log::cursor::{Cursor, values_end};
use crate::store::log::expired_values::ExpiredValue;
use crate::store::log::key::KeySelection;
use crate::store::log::pass::Pass;
use crate::store::log::read::ReadOutcome;
use crate::store::sum::SharedSum;

/// The past of a key that is not read yet.
pub(crate) struct Past<M: Message> {
    pub(super) key: KeySelection,
    pub(super) cursor: Cursor,
    /// The snapshot of the key, and what comes before it.
    pub(crate) pass: Option<Box<PastPass<M>>>,
    /// The place of its reader.
    through: Id,
    /// A gap to report before anything else.
    pub(super) gap: Option<GapReason>,
    /// Whether it begins with kept state, and not after an id of its client.
    pub(crate) is_kept_state: bool,
    /// Its queue messages that were neither read nor reported missing.
    unread: u64,
    /// Those of them that were removed, which a removal above the place reports.
    removed: u32,
}

/// A pass (`log/pass.rs`) in the past of a key.
pub(crate) struct PastPass<M: Message> {
    pub(crate) pass: Pass<M>,
    /// Of the queue messages of the key that are not summed, those that were read or are not owed.
    pub(super) accounted_others: u64,
}

/// The next step in reading the past of a key.
pub(crate) enum PastStep<M: Message> {
    /// Reports a loss.
    Gap(Gap),
    /// Delivers messages. `with_ids`: everything that is owed of the key up to each was read with it.
    Batch { batch: Batch<M>, with_ids: bool, counts: Counts },
    /// Delivers the snapshot of the key. `owed`: the reason by which it is told as a gap where the filter withholds it.
    Snapshot { entry: Arc<Entry<M>>, owed: Option<GapReason> },
    /// The snapshot of the key at this place is to be made, without the store's lock.
    ToSum { sum: Arc<SharedSum<M>>, place: Offset, owed: Option<GapReason> },
    /// Reports the finish of the key.
    Finished { id: Id, with_id: bool },
    /// Reports a value that has expired.
    Expired { id: Id, with_id: bool, value: ExpiredValue<M> },
    /// Everything is read. So many messages were removed before.
    AtEnd { removed: u32 },
    /// The log has begun another epoch. So many messages are missing.
    Restarted { missed: u64 },
}

impl<M: Message> Log<M> {
    /// Moves a cursor past what is none of its reader's, and returns its place if the reader may read further keys from
    /// there on. Everything up to it was read, it is known by its id, and no gap is ahead.
    pub(crate) fn place_for_keys(&self, keys: &KeySelection, cursor: &mut Cursor) -> Option<Id> {
        if self.has_gap_ahead(keys, cursor) {
            return None;
        }
        // The removals of other keys do not concern the reader, whether or not it reads them later.
        cursor.generation = self.generation();
        self.skip_others(keys, cursor);
        let place = cursor.position;
        let is_settled = place >= cursor.skip_through.max(cursor.ids_after).max(cursor.expired_through())
            && self.has_seen(place)
            && !self.has_ephemeral_through(keys, cursor, place);
        is_settled.then(|| self.id(place))
    }

    /// Makes a cursor read these keys too, from its place on.
    pub(crate) fn add_keys(&self, added: &KeySelection, cursor: &mut Cursor) {
        cursor.accounted += self.appended_queue(added) - self.queue_count_after(added, cursor.owed_after());
        if M::HAS_EPHEMERAL {
            // Ephemeral messages are in no past.
            let mut passed = self.ephemerals.kept.iter().rev();
            let passed = passed.find(|(_, kept)| kept.entry.offset() <= cursor.position).map(|(number, _)| *number);
            cursor.pass_ephemeral(cursor.ephemeral().max(passed.unwrap_or_default()));
        }
    }

    /// Makes a cursor, which has not lagged, read this key no more. `key` is a selection of it alone.
    pub(crate) fn remove_key(&self, key: &KeySelection, cursor: &mut Cursor) {
        let remaining = self.queue_count_after(key, cursor.owed_after()) + self.removed_ahead(key, cursor);
        cursor.accounted -= self.appended_queue(key) - remaining;
    }

    /// Returns the past of a key after a cursor, up to the place of its reader.
    pub(crate) fn past(&self, key_index: usize, mut cursor: Cursor, gap: Option<GapReason>, through: Id) -> Past<M> {
        cursor.pass_ephemeral(u64::MAX);
        let key = KeySelection::One(key_index);
        let mut past = Past { key, cursor, pass: None, through, gap, is_kept_state: false, unread: 0, removed: 0 };
        past.recount(self);
        past
    }

    /// Reads what is next of the past of a key, which has a reader.
    pub(crate) fn read_past(&mut self, past: &mut Past<M>) -> PastStep<M> {
        if let Some(reason) = past.gap.take() {
            return PastStep::Gap(Gap { reason, missed: None });
        }
        while past.through.epoch == self.epoch {
            if M::SNAPSHOT.is_some()
                && let Some(step) = self.read_past_pass(past)
            {
                return step;
            }
            match self.read_through(&past.key, &mut past.cursor, &mut past.removed, past.through.offset) {
                ReadOutcome::Batch { batch, with_ids, counts } => {
                    past.unread = past.unread.saturating_sub(counts.queue);
                    return PastStep::Batch { batch, with_ids, counts };
                }
                ReadOutcome::AtHead => return PastStep::AtEnd { removed: past.removed },
                ReadOutcome::Finished { offset, .. } => {
                    return PastStep::Finished { id: self.id(offset), with_id: offset > past.cursor.ids_after };
                }
                ReadOutcome::Expired { offset, value } => {
                    let with_id = offset > past.cursor.ids_after;
                    return PastStep::Expired { id: self.id(offset), with_id, value };
                }
                ReadOutcome::Lagged { missed } => {
                    // Its reader reports those above its place.
                    let missed = missed.min(past.unread.saturating_sub(past.removed.into()));
                    past.unread -= missed;
                    past.cursor = self.cursor_after_lag(&past.key, &past.cursor);
                    if values_end::<M>() {
                        past.cursor = self.cursor_before_latest(&past.key, &past.cursor);
                    }
                    return PastStep::Gap(Gap { reason: GapReason::Lagged, missed: Some(missed) });
                }
                // It is above the place of the reader, which reports it with what was removed here.
                ReadOutcome::Gap(Gap { reason: GapReason::Removed, missed }) => {
                    past.removed = missed.and_then(|missed| u32::try_from(missed).ok()).unwrap_or(u32::MAX);
                }
                ReadOutcome::Gap(_) => {}
                ReadOutcome::Restarted => break,
            }
        }
        PastStep::Restarted { missed: past.unread }
    }
}

impl<M: Message> Past<M> {
    /// Counts again how many queue messages are unread.
    pub(super) fn recount(&mut self, log: &Log<M>) {
        let owed_after = self.cursor.owed_after();
        let above_place = log.queue_count_after(&self.key, owed_after.max(self.through.offset));
        self.unread = log.queue_count_after(&self.key, owed_after) - above_place;
    }

    /// Moves its end to the place at which its reader has begun to read the key.
    pub(crate) fn end_at(&mut self, place: Id, log: &Log<M>) {
        self.through = place;
        self.recount(log);
    }

    /// Returns the place of its snapshot, which the reader has to make, and the state of the key.
    pub(crate) fn to_sum(&self) -> Option<(Arc<SharedSum<M>>, Offset)> {
        let pass = &self.pass.as_ref()?.pass;
        let key = pass.unsent.last().filter(|_| pass.ready.is_none())?;
        Some((Arc::clone(&key.sum), pass.place))
    }

    /// Gives it the snapshot that was made.
    pub(crate) fn set_snapshot(&mut self, entry: Arc<Entry<M>>) {
        if let Some(past) = &mut self.pass {
            past.pass.ready = Some(entry);
        }
    }

    /// Returns whether a gap is reported before anything else.
    pub(crate) fn has_gap(&self) -> bool {
        self.gap.is_some()
    }

    /// Returns the place of its reader, which it ends at.
    pub(crate) fn through(&self) -> Id {
        self.through
    }

    pub(crate) fn key_index(&self) -> Option<usize> {
        self.key.key_indexes().first().copied()
    }
}
