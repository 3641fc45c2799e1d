//! Reads the log at a reader's cursor, while the store is locked.

use std::task::Waker;

use crate::id::Id;
use crate::message::Message;
use crate::store::end::{EndBound, EndReason};
use crate::store::gap::{Gap, GapReason};
use crate::store::log::Log;
use crate::store::log::cursor::{Cursor, values_end};
use crate::store::log::read::ReadOutcome;
use crate::store::reader::{ReadStep, Reader};
use crate::store::shared::State;

impl<M: Message> Reader<M> {
    /// Returns the next step.
    pub(super) fn poll_locked(&mut self, state: &mut State<M>, waker: &Waker) -> ReadStep<M> {
        self.live.last_active = state.readers.touch(self.id);
        let end = state.readers.end_of(self.id);
        if let Some(reason) = end
            && let Some(bound) = state.readers.end_bound_of(self.id)
        {
            return self.poll_bounded(state, reason, bound, waker);
        }
        if !self.try_place(state, waker) {
            // A client whose pending reader ends returns with the same id, perhaps to a process that knows it.
            return end.map_or(ReadStep::Pending, ReadStep::Ended);
        }
        if let Some(reason) = self.gap.take() {
            return ReadStep::Gap(Gap { reason, missed: None });
        }
        self.read_locked(state, end, None, waker)
    }

    /// Returns the next step of a reader whose end has a bound.
    #[cold]
    fn poll_bounded(&mut self, state: &mut State<M>, reason: EndReason, bound: EndBound, waker: &Waker) -> ReadStep<M> {
        if self.poll_end_due(bound, &state.log, waker) {
            return ReadStep::Ended(reason);
        }
        if !self.try_place(state, waker) {
            return ReadStep::Pending;
        }
        if let Some(reason) = self.gap.take() {
            return ReadStep::Gap(Gap { reason, missed: None });
        }
        self.read_locked(state, Some(reason), Some(bound.through), waker)
    }

    /// Returns whether the reader reads nothing any more before its end: its time is over, or the log in which its last
    /// message was is gone. Otherwise `waker` is woken at that time.
    pub(super) fn poll_end_due(&mut self, EndBound { through, due_at }: EndBound, log: &Log<M>, waker: &Waker) -> bool {
        through.epoch != log.head().epoch || self.extras.get_or_insert_default().end_timer.poll(due_at, waker)
    }

    #[expect(clippy::inline_always, reason = "the bound costs nothing where there is none")]
    #[inline(always)]
    pub(super) fn read_locked(
        &mut self,
        state: &mut State<M>,
        end: Option<EndReason>,
        bound: Option<Id>,
        waker: &Waker,
    ) -> ReadStep<M> {
        if let Some(reason) = self.removal_ahead(&state.log) {
            let gap = self.begin_again(&mut state.log, reason, bound.map(|bound| bound.offset));
            return self.read_after(gap, state, end, bound, waker);
        }
        if self.take_owed_pass() {
            let gap = self.begin_again(&mut state.log, GapReason::Lagged, bound.map(|bound| bound.offset));
            return self.read_after(gap, state, end, bound, waker);
        }
        let outcome = match bound {
            None => state.log.read(&self.keys, &mut self.cursor, &mut self.removed_unread),
            Some(bound) => state.log.read_through(&self.keys, &mut self.cursor, &mut self.removed_unread, bound.offset),
        };
        let gap = match outcome {
            ReadOutcome::Batch { batch, with_ids, counts } => {
                self.ledger.record_read(counts);
                if self.uses_snapshots() {
                    batch.entries().iter().for_each(|entry| self.record_for_sums(entry));
                }
                let position = if with_ids { self.take_position(&state.log) } else { None };
                let is_settled = end.is_none() && !self.is_first_pass && !self.is_position_due;
                let is_live = is_settled && state.log.is_at_head(&self.keys, &self.cursor);
                if is_live && state.log.last_finish(&self.keys).is_none() {
                    self.mark_live(state, waker);
                } else {
                    state.readers.record_place(self.id, self.cursor.owed_after());
                }
                return ReadStep::Batch { position, batch, with_ids };
            }
            ReadOutcome::Finished { offset, key_json, is_last } => {
                let id = state.log.id(offset);
                // The id of the last finish tells by itself that its client has everything.
                let with_id = offset > self.cursor.ids_after || is_last;
                let position = if with_id && !is_last { self.take_position(&state.log) } else { None };
                return ReadStep::Finished { position, id, with_id, key: Some(key_json).filter(|_| !is_last) };
            }
            ReadOutcome::Expired { offset, value } => {
                let with_id = offset > self.cursor.ids_after;
                let position = if with_id { self.take_position(&state.log) } else { None };
                return ReadStep::Expired { position, id: state.log.id(offset), with_id, value };
            }
            ReadOutcome::AtHead => return self.wait_at_head(state, end, bound, waker),
            ReadOutcome::Lagged { .. } if self.uses_snapshots() => {
                let gap = self.begin_again(&mut state.log, GapReason::Lagged, bound.map(|bound| bound.offset));
                return self.read_after(gap, state, end, bound, waker);
            }
            ReadOutcome::Restarted if self.uses_snapshots() => {
                let gap = self.begin_restarted(&mut state.log, bound.map(|bound| bound.offset));
                return self.read_after(gap, state, end, bound, waker);
            }
            ReadOutcome::Lagged { missed } => {
                self.ledger.record_missed(missed);
                self.cursor = state.log.cursor_after_lag(&self.keys, &self.cursor);
                self.restart_ids(&state.log);
                if values_end::<M>() {
                    self.restart_latest(&state.log);
                }
                return ReadStep::Gap(Gap { reason: GapReason::Lagged, missed: Some(missed) });
            }
            ReadOutcome::Gap(gap @ Gap { reason: GapReason::Removed, .. }) => {
                self.ledger.record_missed(gap.missed.unwrap_or(0));
                self.is_first_pass = true;
                gap
            }
            ReadOutcome::Gap(gap) => {
                self.ledger.record_missed_unappended(gap.missed.unwrap_or(0));
                self.is_first_pass = true;
                if values_end::<M>() {
                    // The end of a value may be among what was lost.
                    self.restart_latest(&state.log);
                }
                gap
            }
            ReadOutcome::Restarted => {
                // What it had not read of the former epoch is gone, whether it is reported or not.
                let cursor = state.log.cursor_at_start(&self.keys);
                let removed = u64::from(std::mem::take(&mut self.removed_unread));
                self.ledger.record_missed(cursor.accounted.saturating_sub(self.cursor.accounted) + removed);
                self.cursor = cursor;
                self.restart_ids(&state.log);
                Gap { reason: GapReason::Restarted, missed: None }
            }
        };
        ReadStep::Gap(gap)
    }

    /// Returns the step after a loss that a pass may make good. Of a pass that has begun it is `Pending`, and the next
    /// step is that of the pass.
    #[cold]
    fn read_after(
        &mut self,
        gap: Option<Gap>,
        state: &mut State<M>,
        end: Option<EndReason>,
        bound: Option<Id>,
        waker: &Waker,
    ) -> ReadStep<M> {
        match gap {
            Some(gap) => ReadStep::Gap(gap),
            None if self.is_in_pass() => ReadStep::Pending,
            None => self.read_locked(state, end, bound, waker),
        }
    }

    fn wait_at_head(
        &mut self,
        state: &mut State<M>,
        end: Option<EndReason>,
        bound: Option<Id>,
        waker: &Waker,
    ) -> ReadStep<M> {
        if let Some(bound) = bound
            && bound.offset > state.log.head().offset
        {
            // The last message before its end is on its way here.
            state.readers.register_waker(self.id, waker, true);
            state.readers.wait_for_offset(self.id, bound.offset);
            return ReadStep::Pending;
        }
        // It has resumed from an id above them.
        if let Some(finish) = state.log.last_finish(&self.keys)
            && self.cursor.has_read_through(finish)
        {
            return ReadStep::Finished { position: None, id: state.log.id(finish), with_id: true, key: None };
        }
        if let (Some(end), false) = (end, self.is_first_pass) {
            return ReadStep::Ended(end);
        }
        state.readers.register_waker(self.id, waker, true);
        state.readers.forget_place(self.id);
        self.is_position_due = false;
        self.live.head = bound.unwrap_or_else(|| state.log.head());
        let is_first = std::mem::take(&mut self.is_first_pass);
        ReadStep::AtHead { head: self.live.head, is_first }
    }

    /// Makes the reader read all `latest` values that are kept, which it may have read before. After a gap its client
    /// drops those that it has.
    fn restart_latest(&mut self, log: &Log<M>) {
        self.restart_at(log, log.cursor_before_latest(&self.keys, &self.cursor));
    }

    /// Moves to a cursor from which messages are read again.
    pub(super) fn restart_at(&mut self, log: &Log<M>, cursor: Cursor) {
        let again = log.remaining(&self.keys, &cursor) - log.remaining(&self.keys, &self.cursor);
        self.ledger.record_owed_again(again);
        self.cursor = cursor;
        self.restart_ids(log);
    }

    /// Returns the position that is due before the first message with an id.
    fn take_position(&mut self, log: &Log<M>) -> Option<Id> {
        std::mem::take(&mut self.is_position_due).then(|| log.id(self.cursor.ids_after))
    }

    /// Marks the reader as live, under the lock under which it read everything: the store is not locked for its
    /// next message.
    fn mark_live(&mut self, state: &mut State<M>, waker: &Waker) {
        state.readers.mark_live(self.id, state.log.generation(), waker);
        self.live.begin(state.log.head(), waker);
    }
}
