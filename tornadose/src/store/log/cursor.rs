//! A reader's cursor: where it starts, what the log knows of its resume id, and what is left of its messages.
//!
//! # Position rule
//!
//! An id is written only when everything that the reader is owed up to it has been written, so that a resume from it
//! is exact. Kept state is sent in the order of the log, but queue messages before its newest ones may be missing: they
//! were trimmed, or are not replayed. Up to the newest missing one (`ids_after`) events carry no id. Then a position
//! frame with that offset follows, and the rest with ids.

use std::collections::HashMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::id::{Id, Offset};
use crate::message::Message;
use crate::store::entry::Entry;
use crate::store::gap::GapReason;
use crate::store::ledger::Counts;
use crate::store::log::Log;
use crate::store::log::key::{KeyLog, KeySelection};

/// How far a reader has come.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    /// Each message of its keys up to here was read or is not owed.
    pub(super) position: Offset,
    /// Queue messages at or below are not owed.
    pub(super) skip_through: Offset,
    /// Messages at or below are read without an id, by the position rule.
    pub(crate) ids_after: Offset,
    /// Of the queue messages of its keys that were appended, those that were read or are not owed.
    pub(crate) accounted: u64,
    /// The newest generation of the log that it has seen.
    pub(crate) generation: u64,
    /// `None` for types whose messages are neither ephemeral nor expire as values.
    pub(super) extras: Option<Box<CursorExtras>>,
}

/// The fields of a cursor that only few types need.
#[derive(Clone, Debug)]
pub(super) struct CursorExtras {
    expired_through: Offset,
    ephemeral: u64,
}

impl Cursor {
    /// Returns the offset up to which its reader is not told of values that have expired: it was never sent them.
    pub(super) fn expired_through(&self) -> Offset {
        self.extras.as_ref().map_or(Offset::START, |extras| extras.expired_through)
    }

    /// Returns the number of the newest ephemeral message that was read or is not owed.
    pub(super) fn ephemeral(&self) -> u64 {
        self.extras.as_ref().map_or(0, |extras| extras.ephemeral)
    }

    /// Moves to an ephemeral message.
    pub(super) fn pass_ephemeral(&mut self, number: u64) {
        if let Some(extras) = &mut self.extras {
            extras.ephemeral = number;
        }
    }

    /// Sets what [`expired_through`](Self::expired_through) returns, for a type whose values expire.
    #[must_use]
    pub(super) fn with_expired_through(mut self, offset: Offset) -> Self {
        if let Some(extras) = &mut self.extras {
            extras.expired_through = offset;
        }
        self
    }

    /// The queue messages after this offset are owed.
    pub(crate) fn owed_after(&self) -> Offset {
        self.position.max(self.skip_through)
    }

    /// Returns the offset up to which each message of its keys was read or is not owed.
    pub(crate) fn position(&self) -> Offset {
        self.position
    }

    /// Returns whether each message of its keys up to this offset was read or is not owed.
    pub(crate) fn has_read_through(&self, offset: Offset) -> bool {
        self.position >= offset
    }

    /// Moves to this message. All messages up to it were read, so many queue messages among them.
    pub(crate) fn advance(&mut self, through: Offset, queue_messages: u64) {
        self.position = through;
        self.accounted += queue_messages;
    }
}

/// What became of the id that a reader resumes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ResumeOutcome {
    /// Every message after it, of the reader's keys, is kept.
    Known,
    /// It is of this epoch, but messages after it are gone.
    Trimmed,
    /// The log does not know it.
    Restarted,
    /// It may be that of a message which is on its way here.
    Pending,
}

impl ResumeOutcome {
    /// Its name in logs and metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::Trimmed => "trimmed",
            Self::Restarted => "restarted",
            Self::Pending => "pending",
        }
    }
}

impl<M: Message> Log<M> {
    /// Returns the cursor of a new reader: before all `latest` values and the last `replay` queue messages of its
    /// keys together.
    pub(crate) fn cursor_for_new(&self, keys: &KeySelection, replay: usize) -> Cursor {
        let skip_through = self.newest_not_replayed(keys, replay);
        self.cursor_for_new_after(keys, skip_through)
    }

    /// Returns the cursor of a new reader, before all `latest` values and the queue messages after an offset.
    pub(crate) fn cursor_for_new_after(&self, keys: &KeySelection, skip_through: Offset) -> Cursor {
        let ids_after = skip_through.max(self.trimmed_through(keys));
        self.cursor_before_kept(keys, skip_through, ids_after)
    }

    /// Returns the cursor of a reader that resumes from an id, known or trimmed: before the messages after it that
    /// are kept.
    pub(crate) fn cursor_after(&self, keys: &KeySelection, offset: Offset) -> Cursor {
        self.cursor_at(keys, offset, offset, self.trimmed_through(keys))
    }

    /// Returns the cursor of a reader that resumes from a known id. No expiry of its keys was forgotten after it.
    pub(crate) fn cursor_after_known(&self, keys: &KeySelection, offset: Offset) -> Cursor {
        let cursor = self.cursor_after(keys, offset);
        if !M::HAS_LATEST_TTL {
            return cursor;
        }
        cursor.with_expired_through(self.forgotten_expiries_through(keys))
    }

    /// Returns the cursor of a reader that resumes from a trimmed id. Where values end, it begins before all that are kept.
    pub(crate) fn cursor_after_trimmed(&self, keys: &KeySelection, offset: Offset) -> Cursor {
        let cursor = self.cursor_after(keys, offset);
        if values_end::<M>() { self.cursor_before_latest(keys, &cursor) } else { cursor }
    }

    /// Returns the cursor of a reader whose id is unknown: before everything that is kept of its keys.
    pub(crate) fn cursor_at_start(&self, keys: &KeySelection) -> Cursor {
        self.cursor_before_kept(keys, Offset::START, self.trimmed_through(keys))
    }

    /// Returns the cursor of a reader that was sent nothing, so that it is told of no value that has expired before.
    fn cursor_before_kept(&self, keys: &KeySelection, skip_through: Offset, ids_after: Offset) -> Cursor {
        let cursor = self.cursor_at(keys, Offset::START, skip_through, ids_after);
        if M::HAS_LATEST_TTL { cursor.with_expired_through(self.head) } else { cursor }
    }

    /// Returns the cursor of a reader that lagged: at its position, before the messages that are still kept after it.
    pub(crate) fn cursor_after_lag(&self, keys: &KeySelection, cursor: &Cursor) -> Cursor {
        let ids_after = cursor.skip_through.max(self.trimmed_through(keys));
        let kept = self.cursor_at(keys, cursor.position, cursor.skip_through, ids_after);
        // What was removed is reported at the removal.
        let accounted = kept.accounted - self.removed_ahead(keys, cursor);
        Cursor { accounted, generation: cursor.generation, extras: cursor.extras.clone(), ..kept }
    }

    /// Returns the cursor of a reader whose client has dropped what it had: before the kept state that a new one is sent, and
    /// before the messages that it has not read. Ids begin above its position.
    pub(crate) fn cursor_at_kept_state(&self, keys: &KeySelection, cursor: &Cursor, replay: usize) -> Cursor {
        let cursor = self.cursor_before_latest(keys, cursor);
        // Removed messages are counted between the cursor and the removal.
        if self.notices.next_removal(keys, cursor.generation).is_some() {
            return cursor;
        }
        let skip_through = self.newest_not_replayed(keys, replay).min(cursor.skip_through);
        let replayed = self.queue_count_after(keys, skip_through) - self.queue_count_after(keys, cursor.skip_through);
        Cursor { skip_through, accounted: cursor.accounted - replayed, ..cursor }
    }

    fn cursor_at(&self, keys: &KeySelection, position: Offset, skip_through: Offset, ids_after: Offset) -> Cursor {
        let accounted = self.appended_queue(keys) - self.queue_count_after(keys, position.max(skip_through));
        let extras = || Box::new(CursorExtras { expired_through: Offset::START, ephemeral: self.ephemerals.appended });
        let extras = (M::HAS_EPHEMERAL || M::HAS_LATEST_TTL).then(extras);
        Cursor { position, skip_through, ids_after, accounted, generation: self.generation(), extras }
    }

    /// Returns what the log knows of an id, for a reader of these keys.
    pub(crate) fn resume_outcome(&self, keys: &KeySelection, id: Id) -> ResumeOutcome {
        if id.epoch != self.epoch || id.offset > self.head {
            ResumeOutcome::Restarted
        } else if !self.has_seen(id.offset) || self.trimmed_through(keys) > id.offset {
            ResumeOutcome::Trimmed
        } else {
            ResumeOutcome::Known
        }
    }

    /// Returns the reason of the gap after a trimmed id: whether anything was trimmed, or all that is missing could
    /// not be read.
    pub(crate) fn gap_reason_after(&self, keys: &KeySelection, offset: Offset) -> GapReason {
        let lost = self.queue_trimmed_through(keys).max(self.generations.lost_otherwise_through());
        if self.has_seen(offset) && lost <= offset { GapReason::Unreadable } else { GapReason::Trimmed }
    }

    /// Returns whether the position above which ids are written may be written itself: an id that is not known could
    /// not be resumed from.
    pub(crate) fn is_resumable(&self, cursor: &Cursor) -> bool {
        self.has_seen(cursor.ids_after)
    }

    pub(crate) fn is_at_head(&self, keys: &KeySelection, cursor: &Cursor) -> bool {
        cursor.position == self.head
            && cursor.generation == self.generation()
            && !self.has_ephemeral_ahead(keys, cursor)
    }

    /// Returns how many messages were appended for these keys, kept or not.
    pub(crate) fn appended_total(&self, keys: &KeySelection) -> Counts {
        let latest = match keys {
            KeySelection::All => self.appended_latest,
            _ => self.per_key(keys, |log| log.appended_latest).sum(),
        };
        Counts { queue: self.appended_queue(keys), latest, ephemeral: self.appended_ephemeral(keys) }
    }

    /// Returns how many messages the reader has yet to read or to report as missing. O(n) in the unread `latest` and
    /// ephemeral messages.
    pub(crate) fn remaining(&self, keys: &KeySelection, cursor: &Cursor) -> Counts {
        let latest = match keys {
            KeySelection::All => self.latest.range(above(cursor.position)).count(),
            _ => self.per_key(keys, |log| log.latest_after(cursor.position).count()).sum(),
        };
        Counts {
            queue: self.appended_queue(keys) - cursor.accounted,
            latest: latest as u64,
            ephemeral: self.remaining_ephemeral(keys, cursor),
        }
    }

    /// Returns how many queue messages of one key the reader has yet to read, for the key of which it has the most. O(n)
    /// in the unread messages of a reader of all keys.
    pub(crate) fn most_unread_of_a_key(&self, keys: &KeySelection, cursor: &Cursor) -> usize {
        let after = cursor.owed_after();
        if !matches!(keys, KeySelection::All) {
            let most = self.per_key(keys, |log| log.queue_count_after(after)).max();
            return most.map_or(0, |most| usize::try_from(most).unwrap_or(usize::MAX));
        }
        let mut unread: HashMap<usize, usize> = HashMap::new();
        for entry in self.queue.range(above(after)).map(|(_, entry)| entry) {
            *unread.entry(entry.key_index).or_default() += 1;
        }
        unread.into_values().max().unwrap_or(0)
    }

    /// Moves a cursor past messages of other keys, to the head. Returns false, and does not move it, when there is
    /// anything that its reader has to read.
    pub(crate) fn skip_others(&self, keys: &KeySelection, cursor: &mut Cursor) -> bool {
        let has_nothing = cursor.generation == self.generation()
            && self.newest(keys) <= cursor.position
            && !self.has_finish_ahead(keys, cursor)
            && self.next_expired(keys, cursor).is_none()
            && !self.has_lost_expiry(keys, cursor)
            && !self.has_ephemeral_ahead(keys, cursor);
        if has_nothing {
            cursor.position = self.head;
        }
        has_nothing
    }

    /// Returns whether a key of a reader is finished, and the reader was not told.
    pub(crate) fn has_finish_ahead(&self, keys: &KeySelection, cursor: &Cursor) -> bool {
        !self.has_no_finish() && self.notices.next_finish(keys, cursor.position).is_some()
    }

    // --- Sums over a selection of keys -----------------------------------------------------------------------------

    /// Returns the newest offset at or below which messages of these keys were trimmed, or never arrived.
    pub(crate) fn trimmed_through(&self, keys: &KeySelection) -> Offset {
        self.queue_trimmed_through(keys).max(self.generations.lost_through())
    }

    /// Returns the newest of the queue messages of these keys that were trimmed.
    fn queue_trimmed_through(&self, keys: &KeySelection) -> Offset {
        match keys {
            KeySelection::All => self.trimmed_through,
            _ => self.per_key(keys, |log| log.trimmed_through).max().unwrap_or(Offset::START),
        }
    }

    pub(super) fn newest(&self, keys: &KeySelection) -> Offset {
        match keys {
            KeySelection::All => self.head,
            _ => self.per_key(keys, |log| log.newest).max().unwrap_or(Offset::START),
        }
    }

    pub(super) fn appended_queue(&self, keys: &KeySelection) -> u64 {
        match keys {
            KeySelection::All => self.appended_queue,
            _ => self.per_key(keys, |log| log.appended_queue).sum(),
        }
    }

    /// Returns how many queue messages are kept after an offset.
    pub(super) fn queue_count_after(&self, keys: &KeySelection, after: Offset) -> u64 {
        match keys {
            KeySelection::All => self.queue.range(above(after)).count() as u64,
            _ => self.per_key(keys, |log| log.queue_count_after(after)).sum(),
        }
    }

    /// Returns the newest kept queue message that is not among the last `replay`.
    fn newest_not_replayed(&self, keys: &KeySelection, replay: usize) -> Offset {
        let offset = |entry: &Arc<Entry<M>>| entry.offset();
        match keys {
            KeySelection::All => self.queue.keys().rev().nth(replay).copied(),
            KeySelection::One(key_index) => self.keys[*key_index].queue.iter().rev().nth(replay).map(offset),
            KeySelection::Set(_) | KeySelection::Watched(_) => {
                let newest = |log: &'_ KeyLog<M>| -> Vec<Offset> {
                    log.queue.iter().rev().take(replay.saturating_add(1)).map(offset).collect()
                };
                let mut kept: Vec<Offset> = self.per_key(keys, newest).flatten().collect();
                kept.sort_unstable();
                kept.into_iter().rev().nth(replay)
            }
        }
        .unwrap_or(Offset::START)
    }

    fn per_key<'a, T>(
        &'a self,
        keys: &'a KeySelection,
        map: impl Fn(&KeyLog<M>) -> T + 'a,
    ) -> impl Iterator<Item = T> + 'a {
        keys.key_indexes().iter().map(move |&key_index| map(&self.keys[key_index]))
    }
}

/// Returns whether readers of this type are told that a value has ended, by its age or by a tombstone. One that has lost
/// messages may have lost that too, so it is sent all values that are kept.
pub(crate) const fn values_end<M: Message>() -> bool {
    M::HAS_LATEST_TTL || M::HAS_TOMBSTONES
}

/// The range of the offsets above this one.
pub(super) fn above(offset: Offset) -> (Bound<Offset>, Bound<Offset>) {
    (Bound::Excluded(offset), Bound::Unbounded)
}
