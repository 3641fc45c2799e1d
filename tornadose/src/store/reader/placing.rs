//! Places a reader in the log: by the id that it resumes from, or as a new one.

use std::task::Waker;

use crate::id::Offset;
use crate::message::Message;
use crate::store::gap::GapReason;
use crate::store::ledger::Ledger;
use crate::store::log::Log;
use crate::store::log::cursor::{Cursor, ResumeOutcome};
use crate::store::log::key::KeySelection;
use crate::store::reader::Reader;
use crate::store::reader::end_timer::EndTimer;
use crate::store::reader::resume::Resume;
use crate::store::shared::State;

/// Where a reader begins.
pub(super) struct Start {
    pub(super) cursor: Cursor,
    pub(super) outcome: Option<ResumeOutcome>,
    /// A gap to report before anything else.
    pub(super) gap: Option<GapReason>,
}

impl<M: Message> Reader<M> {
    /// Whether clients of this type are told of gaps. Those of a store without queue messages get the newest values,
    /// whatever was lost, but an expiry may be lost.
    pub(crate) const TELLS_GAPS: bool = M::HAS_QUEUE || M::HAS_LATEST_TTL;

    /// Returns where a reader of these keys begins, by what the log knows of the id that it resumes from.
    pub(super) fn start(log: &Log<M>, keys: &KeySelection, resume: Resume, replay: usize) -> Start {
        let (cursor, outcome) = match resume {
            Resume::New => (log.cursor_for_new(keys, replay), None),
            Resume::Unknown => (log.cursor_at_start(keys), Some(ResumeOutcome::Restarted)),
            Resume::After(id) => match log.resume_outcome(keys, id) {
                ResumeOutcome::Restarted => (log.cursor_at_start(keys), Some(ResumeOutcome::Restarted)),
                ResumeOutcome::Trimmed => (log.cursor_after_trimmed(keys, id.offset), Some(ResumeOutcome::Trimmed)),
                outcome => (log.cursor_after_known(keys, id.offset), Some(outcome)),
            },
        };
        let gap = match (outcome, resume) {
            (Some(ResumeOutcome::Trimmed), Resume::After(id)) => Some(log.gap_reason_after(keys, id.offset)),
            (Some(ResumeOutcome::Restarted), _) => Some(GapReason::Restarted),
            _ => None,
        };
        Start { cursor, outcome, gap: gap.filter(|_| Self::TELLS_GAPS) }
    }

    /// Places the reader, by what the log knows of the id that it resumes from.
    pub(super) fn place(&mut self, log: &mut Log<M>, resume: Resume, replay: usize) {
        let keys = &self.keys;
        let Start { cursor, outcome, gap } = Self::start(log, keys, resume, replay);
        (self.cursor, self.resume_outcome, self.gap) = (cursor, outcome, gap);
        if self.uses_snapshots() {
            self.begin_placed(log, resume, replay);
        }
        let keys = &self.keys;
        let is_known = matches!(self.resume_outcome, Some(ResumeOutcome::Known));
        let has_position = self.gap.is_some() || (!is_known && self.cursor.ids_after > Offset::START);
        self.is_position_due = has_position && log.is_resumable(&self.cursor);
        self.is_first_pass = !is_known;
        self.ledger = Ledger::open(log.appended_total(keys), log.remaining(keys, &self.cursor));
    }

    /// Places a pending reader once the log has reached its id, or has taken too long to. Returns false while it has
    /// to wait.
    pub(super) fn try_place(&mut self, state: &mut State<M>, waker: &Waker) -> bool {
        if state.loading {
            state.readers.register_waker(self.id, waker, false);
            return false;
        }
        let Some(extras) = &mut self.extras else { return true };
        let Some(pending) = &mut extras.resume else { return true };
        if let Resume::After(id) = pending.resume
            && state.log.may_arrive(id)
            && !pending.poll_timeout(state.reachable, waker)
        {
            state.readers.register_waker(self.id, waker, false);
            state.readers.wait_for_offset(self.id, id.offset);
            return false;
        }
        if let Some(pending) = extras.resume.take() {
            // A timer among them is made again when it is needed.
            extras.end_timer = EndTimer::default();
            self.extras.take_if(|extras| extras.sums.is_none());
            self.place(&mut state.log, pending.resume, pending.replay);
        }
        true
    }

    /// What follows begins as for a new reader, with the position above which messages carry ids.
    pub(super) fn restart_ids(&mut self, log: &Log<M>) {
        self.is_position_due = log.is_resumable(&self.cursor);
        self.is_first_pass = true;
    }
}
