//! A reader that gets snapshots: when it begins a pass (`log/pass.rs`), and how it reads one.

use std::sync::Arc;
use std::task::Waker;

use crate::id::Offset;
use crate::message::{Message, Retention};
use crate::metrics;
use crate::store::end::EndReason;
use crate::store::entry::Entry;
use crate::store::gap::{Gap, GapReason};
use crate::store::ledger::Counts;
use crate::store::log::Log;
use crate::store::log::cursor::{ResumeOutcome, values_end};
use crate::store::log::key::KeySelection;
use crate::store::log::pass::{Interruption, PassKey, PassStep, PassTerms, Unsummed};
use crate::store::reader::extras::Extras;
use crate::store::reader::placing::Start;
use crate::store::reader::resume::Resume;
use crate::store::reader::{ReadStep, Reader};
use crate::store::shared::State;
use crate::store::snapshot::{EncodingId, SnapshotAt};
#[cfg(test)]
use crate::store::sum::Fault;

impl Start {
    /// Returns how a reader that begins here gets snapshots, and whether it is told a gap beside them; `None` when it needs
    /// none. Moves the cursor of a new reader to where it begins then.
    pub(super) fn pass_terms<M: Message>(
        &mut self,
        log: &Log<M>,
        keys: &KeySelection,
        resume: Resume,
        replay: usize,
    ) -> Option<(PassTerms, bool)> {
        let is_all = matches!(keys, KeySelection::All);
        let (since, needs_gap) = match (self.outcome, resume) {
            (Some(ResumeOutcome::Known | ResumeOutcome::Pending), _) => return None,
            (None, _) => {
                let skip_through = log.newest_other_not_replayed(keys, replay);
                self.cursor = log.cursor_for_new_after(keys, skip_through);
                (Offset::START, false)
            }
            (Some(ResumeOutcome::Trimmed), Resume::After(id)) => (id.offset, log.has_lost_unsummed(keys, id.offset)),
            (Some(_), _) => (Offset::START, is_all || !log.sums_restarts(keys)),
        };
        let terms = PassTerms {
            since,
            may_have_state: self.outcome.is_some(),
            reason: self.gap.filter(|_| !needs_gap),
            finishes_through: self.cursor.position(),
            place_min: Offset::START,
            bound: None,
        };
        Some((terms, needs_gap))
    }
}

impl<M: Message> Reader<M> {
    /// Returns whether the reader gets snapshots.
    #[inline]
    pub(super) fn uses_snapshots(&self) -> bool {
        M::SNAPSHOT.is_some() && self.extras.as_ref().is_some_and(|extras| extras.sums.is_some())
    }

    /// Returns whether the reader is in a pass, so that snapshots are next.
    #[inline]
    pub(super) fn is_in_pass(&self) -> bool {
        let sums = || self.extras.as_ref()?.sums.as_ref();
        M::SNAPSHOT.is_some() && sums().is_some_and(|sums| sums.pass.is_some())
    }

    /// Records a queue message that was read outside of a pass.
    #[inline]
    pub(super) fn record_for_sums(&mut self, entry: &Entry<M>) {
        if let Some(sums) = Extras::sums_of(&mut self.extras)
            && entry.retention == Retention::Queue
            && !entry.role.is_summed()
        {
            sums.accounted_others += 1;
        }
    }

    // --- Beginning a pass ------------------------------------------------------------------------------------------

    /// Begins the pass of a reader that was just placed, if it needs one.
    #[cold]
    pub(super) fn begin_placed(&mut self, log: &mut Log<M>, resume: Resume, replay: usize) {
        let mut start = Start { cursor: self.cursor.clone(), outcome: self.resume_outcome, gap: self.gap };
        let terms = start.pass_terms(log, &self.keys, resume, replay);
        self.cursor = start.cursor;
        let Some((terms, needs_gap)) = terms else { return self.recount_others(log) };
        if self.begin(log, terms) && !needs_gap {
            self.gap = None;
        }
    }

    /// Begins a pass at the reader's cursor. Returns false when it gets no snapshot.
    fn begin(&mut self, log: &mut Log<M>, terms: PassTerms) -> bool {
        let pass = log.begin_pass(&self.keys, &mut self.cursor, terms);
        let has_begun = pass.is_some();
        if let Some(sums) = Extras::sums_of(&mut self.extras) {
            (sums.pass, sums.has_told_place) = (pass, false);
        }
        self.recount_others(log);
        has_begun
    }

    pub(super) fn recount_others(&mut self, log: &Log<M>) {
        if let Some(sums) = Extras::sums_of(&mut self.extras) {
            sums.accounted_others = log.accounted_others(&self.keys, &self.cursor);
        }
    }

    /// Moves the reader back to the kept state that a new one is sent, because its client has dropped what it had.
    pub(super) fn restart_with_snapshots(&mut self, log: &mut Log<M>, replay: usize) {
        let before = log.remaining(&self.keys, &self.cursor);
        let place_min = self.cursor.position();
        self.take_pass();
        let skip_through = log.newest_other_not_replayed(&self.keys, replay).min(self.cursor.owed_after());
        let cursor = log.cursor_before_latest(&self.keys, &self.cursor);
        self.cursor = log.cursor_skipping(&self.keys, cursor, skip_through);
        let terms = PassTerms {
            since: Offset::START,
            may_have_state: false,
            reason: None,
            finishes_through: self.cursor.position(),
            place_min,
            bound: None,
        };
        self.begin(log, terms);
        self.ledger.record_owed_again(log.remaining(&self.keys, &self.cursor) - before);
        self.restart_ids(log);
    }

    /// Returns whether a key was removed ahead of a reader that gets snapshots, which begins a pass then: the reason of a
    /// gap that it is told beside.
    #[inline]
    pub(super) fn removal_ahead(&self, log: &Log<M>) -> Option<GapReason> {
        if !self.uses_snapshots() {
            return None;
        }
        match log.interruption(&self.keys, &self.cursor)? {
            Interruption::Removed(reason) => Some(reason),
            Interruption::Restarted | Interruption::Lost(_) => None,
        }
    }

    /// Returns whether the reader reads on with a pass, because a key that it has begun to read has a snapshot above its
    /// place. It does not again.
    #[inline]
    pub(super) fn take_owed_pass(&mut self) -> bool {
        Extras::sums_of(&mut self.extras).is_some_and(|sums| std::mem::take(&mut sums.owes_pass))
    }

    /// Begins a pass from the reader's position, because it has lost messages. Returns the gap that it is told first, if
    /// there is one.
    #[cold]
    pub(super) fn begin_again(&mut self, log: &mut Log<M>, reason: GapReason, bound: Option<Offset>) -> Option<Gap> {
        // A pass goes beyond a gap of the log that is ahead.
        let ahead = match log.interruption(&self.keys, &self.cursor) {
            Some(Interruption::Lost(lost)) => Some(lost),
            _ => None,
        };
        let generation = self.cursor.generation;
        let sums = Extras::sums_of(&mut self.extras)?;
        let interrupted = sums.pass.take();
        let was_interrupted = interrupted.is_some();
        let interrupted_gap = interrupted.as_ref().and_then(|pass| pass.gap);
        let unsummed = log.missed_unsummed(&self.keys, &self.cursor, sums.accounted_others, interrupted.as_ref());
        // No snapshot contains the end of a value.
        let loses_values = log.has_lost_expiry(&self.keys, &self.cursor);
        let lost = log.lost_of(&self.keys, &self.cursor, interrupted.as_ref());
        let position = self.cursor.position();
        let mut terms = PassTerms {
            since: position,
            may_have_state: true,
            reason: Some(reason),
            finishes_through: position,
            place_min: position,
            bound,
        };
        if let Some(pass) = interrupted {
            let is_known = pass.is_incomplete && pass.has_sent_all();
            terms.since = if is_known { pass.place } else { pass.terms.since };
            terms.finishes_through = pass.terms.finishes_through;
            terms.may_have_state = is_known || pass.terms.may_have_state || pass.has_sent_any();
            terms.reason = if is_known { terms.reason } else { pass.terms.reason.and(terms.reason) };
        }
        // Beside a gap of the log itself nothing is known.
        let of_log = ahead.map(|reason| Gap { reason, missed: None }).or(interrupted_gap);
        let is_told = loses_values
            || !unsummed.is_nothing()
            || of_log.is_some()
            || !matches!(reason, GapReason::Lagged | GapReason::Removed);
        if is_told {
            terms.reason = None;
        }
        let before = log.remaining(&self.keys, &self.cursor);
        self.cursor = log.cursor_after_loss(&self.keys, &self.cursor);
        if values_end::<M>() {
            self.cursor = log.cursor_before_latest(&self.keys, &self.cursor);
            let latest = log.remaining(&self.keys, &self.cursor).latest.saturating_sub(before.latest);
            self.ledger.record_owed_again(Counts { latest, ..Counts::default() });
        }
        self.is_first_pass = true;
        let has_begun = self.begin(log, terms);
        if !has_begun {
            self.restart_ids(log);
        }
        let Unsummed { missed, recorded } = if has_begun || !terms.may_have_state {
            unsummed
        } else {
            // No snapshot contains anything of it.
            Unsummed { missed: Some(lost), recorded: lost }
        };
        self.ledger.record_missed(recorded);
        if let (true, Some(gap)) = (has_begun, of_log) {
            if let Some(pass) = Extras::sums_of(&mut self.extras).and_then(|sums| sums.pass.as_mut()) {
                pass.gap = Some(gap);
            }
            return None;
        }
        if let Some(lost) = ahead {
            // It is told where the reader comes to it, and here that it gets no snapshot.
            self.cursor.generation = generation;
            let (reason, missed) = if was_interrupted { (lost, None) } else { (GapReason::Lagged, missed) };
            return (missed != Some(0)).then_some(Gap { reason, missed });
        }
        if interrupted_gap.is_some() {
            return interrupted_gap;
        }
        let loses_state = terms.may_have_state && reason == GapReason::Removed;
        let is_told = is_told || missed != Some(0) || (loses_state && !self.is_in_pass());
        let missed = missed.filter(|_| matches!(reason, GapReason::Lagged | GapReason::Removed));
        is_told.then_some(Gap { reason, missed })
    }

    /// Begins a pass in another epoch. Returns the gap that it is told first, if there is one.
    #[cold]
    pub(super) fn begin_restarted(&mut self, log: &mut Log<M>, bound: Option<Offset>) -> Option<Gap> {
        self.take_pass();
        let cursor = log.cursor_at_start(&self.keys);
        let missed = cursor.accounted.saturating_sub(self.cursor.accounted);
        self.cursor = cursor;
        let needs_gap = matches!(self.keys, KeySelection::All) || !log.sums_restarts(&self.keys);
        let terms = PassTerms {
            since: Offset::START,
            may_have_state: true,
            reason: Some(GapReason::Restarted).filter(|_| !needs_gap),
            finishes_through: Offset::START,
            place_min: Offset::START,
            bound,
        };
        self.restart_ids(log);
        if self.begin(log, terms) && !needs_gap {
            return None;
        }
        self.ledger.record_missed(missed);
        Some(Gap { reason: GapReason::Restarted, missed: None })
    }

    fn take_pass(&mut self) {
        if let Some(sums) = Extras::sums_of(&mut self.extras) {
            sums.pass = None;
        }
    }

    // --- Reading a pass --------------------------------------------------------------------------------------------

    /// Returns the next step of a pass; `None` when there is none, or it is over.
    #[cold]
    pub(super) fn poll_pass(&mut self, waker: &Waker) -> Option<ReadStep<M>> {
        let step = self.next_of_pass(waker);
        if Self::TELLS_GAPS
            && let Some(ReadStep::Gap(gap)) = &step
        {
            metrics::gap(gap.reason.name(), gap.missed.unwrap_or(0));
        }
        step
    }

    fn next_of_pass(&mut self, waker: &Waker) -> Option<ReadStep<M>> {
        if let Some(reason) = self.gap.take() {
            return Some(ReadStep::Gap(Gap { reason, missed: None }));
        }
        let shared = Arc::clone(&self.shared);
        while self.is_in_pass() {
            let mut state = shared.lock();
            self.live.last_active = state.readers.touch(self.id);
            if let Some(reason) = self.end_of_pass(&mut state, waker) {
                return Some(ReadStep::Ended(reason));
            }
            if state.loading {
                state.readers.register_waker(self.id, waker, false);
                return Some(ReadStep::Pending);
            }
            let expired = state.expire_now();
            let next = self.read_pass(&mut state);
            let discarded = state.log.take_discarded();
            drop(state);
            // Dropped after unlocking: a message's own `Drop` may call the store.
            drop((expired, discarded));
            match next {
                Next::Step(step) => return Some(step),
                Next::Snapshot(key, place, id) => {
                    let step = self.send_snapshot(&key, place, id);
                    if step.is_some() {
                        return step;
                    }
                }
                Next::Again => {}
            }
        }
        None
    }

    /// Returns the reason of an end that is due.
    fn end_of_pass(&mut self, state: &mut State<M>, waker: &Waker) -> Option<EndReason> {
        let reason = state.readers.end_of(self.id)?;
        let bound = state.readers.end_bound_of(self.id)?;
        self.poll_end_due(bound, &state.log, waker).then_some(reason)
    }

    fn read_pass(&mut self, state: &mut State<M>) -> Next<M> {
        let bound = state.readers.end_bound_of(self.id).map(|bound| bound.through.offset);
        let Some(sums) = Extras::sums_of(&mut self.extras) else { return Next::Again };
        let Some(pass) = &mut sums.pass else { return Next::Again };
        let log = &mut state.log;
        match log.read_pass(&self.keys, &mut self.cursor, sums.accounted_others, pass) {
            PassStep::Batch { batch, counts } => {
                sums.accounted_others += batch.entries().iter().filter(|entry| is_other(entry)).count() as u64;
                self.ledger.record_read(counts);
                Next::Step(ReadStep::Batch { position: None, batch, with_ids: false })
            }
            PassStep::Expired { offset, value } => {
                Next::Step(ReadStep::Expired { position: None, id: log.id(offset), with_id: false, value })
            }
            PassStep::Lost { missed } => {
                sums.accounted_others += missed;
                self.ledger.record_missed(missed);
                Next::Step(ReadStep::Gap(Gap { reason: GapReason::Lagged, missed: Some(missed) }))
            }
            PassStep::Gap(gap) => Next::Step(ReadStep::Gap(gap)),
            PassStep::Interrupted => {
                let gap = self.interrupt(log, bound);
                gap.map_or(Next::Again, |gap| Next::Step(ReadStep::Gap(gap)))
            }
            PassStep::Snapshot => {
                if let Some(entry) = pass.ready.take() {
                    pass.unsent.clear();
                    sums.has_told_place = true;
                    return Next::Step(ReadStep::Snapshot { entry, with_id: true, owed: pass.terms.reason });
                }
                let Some(key) = pass.unsent.pop() else { return Next::Again };
                #[cfg(test)]
                let key = if Fault::SkippedKey.is_planted() { pass.unsent.pop().unwrap_or(key) } else { key };
                let id = if pass.has_one_key { EncodingId::OfPlace } else { EncodingId::Any };
                Next::Snapshot(key, pass.place, id)
            }
            PassStep::Finished { offset, key_json, is_last } => {
                let (id, key) = (log.id(offset), Some(key_json).filter(|_| !is_last));
                Next::Step(ReadStep::Finished { position: None, id, with_id: is_last, key })
            }
            PassStep::Over if pass.is_incomplete => {
                let gap = self.begin_again(log, GapReason::Lagged, bound);
                gap.map_or(Next::Again, |gap| Next::Step(ReadStep::Gap(gap)))
            }
            PassStep::Over => {
                let tells_place = !sums.has_told_place;
                sums.pass = None;
                self.restart_ids(&state.log);
                self.is_position_due &= tells_place;
                Next::Again
            }
        }
    }

    /// Begins again after another generation of the log has begun.
    fn interrupt(&mut self, log: &mut Log<M>, bound: Option<Offset>) -> Option<Gap> {
        match log.interruption(&self.keys, &self.cursor) {
            Some(Interruption::Restarted) => self.begin_restarted(log, bound),
            Some(Interruption::Removed(reason) | Interruption::Lost(reason)) => self.begin_again(log, reason, bound),
            None => self.begin_again(log, GapReason::Lagged, bound),
        }
    }

    /// Returns the gap that is told where the reader is in its pass, if there is one.
    pub(super) fn read_gap_of_pass(&mut self, log: &mut Log<M>) -> Option<Gap> {
        let sums = Extras::sums_of(&mut self.extras)?;
        let pass = sums.pass.as_mut()?;
        match log.check_pass(&self.keys, &mut self.cursor, sums.accounted_others, pass)? {
            PassStep::Lost { missed } => {
                sums.accounted_others += missed;
                self.ledger.record_missed(missed);
                Some(Gap { reason: GapReason::Lagged, missed: Some(missed) })
            }
            _ => self.interrupt(log, None),
        }
    }

    /// Makes a snapshot. Returns `None` when it is left out.
    fn send_snapshot(&mut self, key: &PassKey<M>, place: Offset, id: EncodingId) -> Option<ReadStep<M>> {
        let snapshot = self.shared.snapshot_at(key.key_index, &key.sum, place, id);
        let sums = Extras::sums_of(&mut self.extras)?;
        let pass = sums.pass.as_mut()?;
        match snapshot {
            SnapshotAt::Encoded(entry) => {
                let with_id = id == EncodingId::OfPlace;
                sums.has_told_place = with_id;
                Some(ReadStep::Snapshot { entry, with_id, owed: pass.terms.reason })
            }
            // A later place is found, unless the log is not as far: one that is closed takes none of the messages in the
            // snapshots that another epoch begins with.
            SnapshotAt::Ahead if pass.terms.bound.is_none() && place < self.shared.lock().log.head().offset => {
                pass.is_incomplete = true;
                None
            }
            SnapshotAt::Ahead | SnapshotAt::Unknown => {
                let shared = Arc::clone(&self.shared);
                let state = shared.lock();
                if state.log.interruption(&self.keys, &self.cursor).is_some() {
                    // It was removed meanwhile, and the pass begins again.
                    return None;
                }
                let reason = pass.terms.reason?;
                Some(ReadStep::Gap(Gap { reason, missed: None }))
            }
        }
    }
}

/// What a reader does next in its pass.
enum Next<M: Message> {
    Step(ReadStep<M>),
    /// It makes this snapshot, without the store's lock.
    Snapshot(PassKey<M>, Offset, EncodingId),
    Again,
}

fn is_other<M: Message>(entry: &Entry<M>) -> bool {
    entry.retention == Retention::Queue && !entry.role.is_summed()
}
