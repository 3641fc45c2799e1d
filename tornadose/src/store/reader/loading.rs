//! A reader whose connection loads state from elsewhere before it reads the log.

use std::sync::Arc;
use std::task::{Poll, Waker};

use crate::id::Id;
use crate::message::Message;
use crate::metrics;
use crate::store::end::EndReason;
use crate::store::gap::{Gap, GapReason};
use crate::store::log::cursor::ResumeOutcome;
use crate::store::log::key::KeySelection;
use crate::store::log::read::ReadOutcome;
use crate::store::reader::{ReadStep, Reader};
use crate::store::shared::State;

/// Where a reader goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// That is not decided yet.
    Waits,
    /// After its client's id: everything after that is kept.
    AfterId,
    /// With kept state.
    WithKeptState,
    /// It ends before that is decided.
    Ended(EndReason),
}

impl<M: Message> Reader<M> {
    /// Returns where the reader goes on, as far as that is decided.
    pub(crate) fn placement(&self) -> Placement {
        match self.resume_outcome {
            _ if self.is_pending() => Placement::Waits,
            Some(ResumeOutcome::Known) => Placement::AfterId,
            _ => Placement::WithKeptState,
        }
    }

    /// Returns where the reader goes on, once that is decided. Until then `waker` is woken when that may be.
    pub(crate) fn poll_placement(&mut self, waker: &Waker) -> Placement {
        if self.is_pending() {
            let placed = self.poll_pending(waker);
            if placed != Placement::WithKeptState {
                return placed;
            }
            if let Some(outcome) = self.resume_outcome {
                metrics::resumed(outcome.name());
            }
        }
        self.placement()
    }

    /// Places a pending reader. `WithKeptState` means that it is placed, wherever.
    fn poll_pending(&mut self, waker: &Waker) -> Placement {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        self.live.last_active = state.readers.touch(self.id);
        if let Some(reason) = state.readers.end_of(self.id) {
            let bound = state.readers.end_bound_of(self.id);
            // A client whose pending reader ends returns with the same id, perhaps to a process that knows it.
            if bound.is_none_or(|bound| self.poll_end_due(bound, &state.log, waker)) {
                return Placement::Ended(reason);
            }
        }
        if self.try_place(&mut state, waker) { Placement::WithKeptState } else { Placement::Waits }
    }

    /// Returns the gap that is told where the reader is, if there is one. No message is read. Pending while the log is
    /// loaded again: `waker` is woken after that.
    ///
    /// The reader is not live after this: it reads the log next.
    pub(crate) fn poll_gap(&mut self, waker: &Waker) -> Poll<Option<Gap>> {
        drop(self.live.mailbox.discard());
        self.settle_counts();
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        self.live.last_active = state.readers.touch(self.id);
        if state.loading {
            state.readers.register_waker(self.id, waker, false);
            return Poll::Pending;
        }
        let expired = state.expire_now();
        let gap = self.gap.take().map(|reason| Gap { reason, missed: None });
        let gap = gap.or_else(|| self.read_gap(&mut state));
        let discarded = state.log.take_discarded();
        drop(state);
        // Dropped after unlocking: a message's own `Drop` may call the store.
        drop((expired, discarded));
        if Self::TELLS_GAPS
            && let Some(gap) = gap
        {
            metrics::gap(gap.reason.name(), gap.missed.unwrap_or(0));
        }
        Poll::Ready(gap)
    }

    /// Moves the reader back to the kept state that a new one is sent, with so many queue messages, because its client has
    /// dropped what it had.
    pub(crate) fn restart_kept_state(&mut self, replay: usize) {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        if self.uses_snapshots() {
            return self.restart_with_snapshots(&mut state.log, replay);
        }
        let cursor = state.log.cursor_at_kept_state(&self.keys, &self.cursor, replay);
        self.restart_at(&state.log, cursor);
    }

    pub(super) fn read_gap(&mut self, state: &mut State<M>) -> Option<Gap> {
        if self.is_in_pass() {
            return self.read_gap_of_pass(&mut state.log);
        }
        if let Some(reason) = self.removal_ahead(&state.log) {
            return self.begin_again(&mut state.log, reason, None);
        }
        // The log is read at a copy of the cursor first, because there may be a message instead.
        let (mut cursor, mut removed) = (self.cursor.clone(), self.removed_unread);
        match state.log.read(&self.keys, &mut cursor, &mut removed) {
            // The snapshots of a pass may be told instead of a gap. Messages are not read here.
            ReadOutcome::Lagged { .. } if self.uses_snapshots() => {
                return self.begin_again(&mut state.log, GapReason::Lagged, None);
            }
            ReadOutcome::Restarted if self.uses_snapshots() => return self.begin_restarted(&mut state.log, None),
            ReadOutcome::Lagged { .. } | ReadOutcome::Gap(_) | ReadOutcome::Restarted => {}
            ReadOutcome::Batch { .. }
            | ReadOutcome::Finished { .. }
            | ReadOutcome::Expired { .. }
            | ReadOutcome::AtHead => return None,
        }
        match self.read_locked(state, None, None, Waker::noop()) {
            ReadStep::Gap(gap) => Some(gap),
            _ => None,
        }
    }

    /// Returns whether a message of the reader's keys that came after this head of the log is not kept any more.
    pub(crate) fn has_lost_after(&self, head: Id) -> bool {
        let state = self.shared.lock();
        let lost_through = if self.uses_snapshots() {
            state.log.unsummed_trimmed_through(&self.keys)
        } else {
            state.log.trimmed_through(&self.keys)
        };
        state.log.head().epoch != head.epoch || lost_through > head.offset
    }

    /// Returns whether other processes may have a log with the same ids.
    pub(crate) fn is_fed_by_backend(&self) -> bool {
        self.shared.lock().log.is_fed_by_backend()
    }

    /// Returns the keys of the reader; `None` if it reads all keys.
    pub(crate) fn own_keys(&self) -> Option<Vec<M::Key>> {
        if matches!(self.keys, KeySelection::All) {
            return None;
        }
        let state = self.shared.lock();
        Some(self.keys.key_indexes().iter().filter_map(|&key_index| state.log.key(key_index).cloned()).collect())
    }

    /// Returns whether all of these messages are of the reader's keys.
    pub(crate) fn has_keys_of(&self, messages: &[M]) -> bool {
        if matches!(self.keys, KeySelection::All) {
            return true;
        }
        let keys: Vec<M::Key> = messages.iter().map(M::key).collect();
        let mut own = self.keys.key_indexes().to_vec();
        own.sort_unstable();
        let state = self.shared.lock();
        keys.iter().all(|key| state.log.key_index(key).is_some_and(|index| own.binary_search(&index).is_ok()))
    }
}
