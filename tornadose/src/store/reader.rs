//! A reader of a store: where it starts, which messages it reads, its gaps and its end. The handler encodes what it
//! reads.

pub(crate) mod mailbox;
#[cfg(test)]
mod mailbox_tests;
pub(crate) mod resume;
mod live;
pub(crate) mod handle;
mod placing;
mod reading;
mod counting;
mod observing;
mod snapshots;
#[cfg(test)]
mod snapshots_tests;
mod end_timer;
mod extras;
pub(crate) mod throttled;
pub(crate) mod loading;
pub(crate) mod watching;

use std::collections::HashSet;
use std::mem::offset_of;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use crate::id::Id;
use crate::message::{Keys, Message};
use crate::metrics::{self, DeliveryCounters};
use crate::store::end::{EndReason, EndState};
use crate::store::entry::Entry;
use crate::store::gap::{Gap, GapReason};
use crate::store::ledger::Ledger;
use crate::store::log::Log;
use crate::store::log::batch::Batch;
use crate::store::log::cursor::{Cursor, ResumeOutcome};
use crate::store::log::expired_values::ExpiredValue;
use crate::store::log::key::KeySelection;
use crate::store::reader::extras::Extras;
use crate::store::reader::handle::ReaderHandle;
use crate::store::reader::live::LiveState;
use crate::store::reader::mailbox::{Mailbox, WakeFlag};
use crate::store::reader::resume::{PendingResume, Resume};
use crate::store::registry::ReaderId;
use crate::store::registry::kind::ReaderKind;
use crate::store::shared::Shared;

/// How long a message may have waited in the mailbox that is taken from there, where messages expire.
const MAILBOX_AGE_MAX: Duration = Duration::from_millis(100);

/// What a reader does next.
pub(crate) enum ReadStep<M> {
    /// Reports a loss. Whether the client is told depends on [`TELLS_GAPS`](Reader::TELLS_GAPS).
    Gap(Gap),
    /// Delivers messages. `position`: a position frame is written first. `with_ids`: the messages carry their ids.
    Batch { position: Option<Id>, batch: Batch<M>, with_ids: bool },
    /// Waits for the next message: the reader is at the head. `is_first`: for the first time since it started or lost
    /// its position.
    AtHead { head: Id, is_first: bool },
    /// Waits until the log has reached the id that it resumes from, or has taken too long to.
    Pending,
    /// Reports a finish. `position` and `with_id` are as for messages. `key`: of this key; without it all keys of the
    /// reader are finished, and it ends.
    Finished { position: Option<Id>, id: Id, with_id: bool, key: Option<Arc<str>> },
    /// Reports a value that has expired. `position` and `with_id` are as for messages.
    Expired { position: Option<Id>, id: Id, with_id: bool, value: ExpiredValue<M> },
    /// Delivers the snapshot of a key. `with_id`: it carries its id. `owed`: when it is withheld, this loss is reported.
    Snapshot { entry: Arc<Entry<M>>, with_id: bool, owed: Option<GapReason> },
    /// Ends.
    Ended(EndReason),
}

/// The options of a reader.
#[derive(Clone, Copy)]
pub(crate) struct ReaderOptions {
    /// How many queue messages a new reader is sent first.
    pub(crate) replay: usize,
    pub(crate) kind: ReaderKind,
    /// Whether it gets snapshots, if its type has them.
    pub(crate) gets_snapshots: bool,
}

/// A reader's position in the log, and its entry among the readers of the store.
///
/// The fields that each message touches come first, in few cache lines; the structs around a reader are laid out for
/// that too.
#[repr(C)]
pub(crate) struct Reader<M: Message> {
    live: LiveState<M>,
    keys: KeySelection,
    shared: Arc<Shared<M>>,
    id: ReaderId,
    cursor: Cursor,
    /// A gap to report before anything else.
    gap: Option<GapReason>,
    /// Whether a position frame with [`Cursor::ids_after`] is due before the first message that carries its id.
    is_position_due: bool,
    /// Whether it has yet to reach the head since it started or lost its position.
    is_first_pass: bool,
    resume_outcome: Option<ResumeOutcome>,
    /// How many messages it has moved past that were removed before it read them, until a gap reports them.
    removed_unread: u32,
    /// `None` for most readers.
    extras: Option<Box<Extras<M>>>,
    ledger: Ledger,
    counters: DeliveryCounters,
}

impl<M: Message> Reader<M> {
    /// Opens a reader. It is registered and placed under one lock, so that no message is lost or repeated between
    /// those that are kept and the next. What was kept of its keys as bytes is decoded before.
    pub(crate) fn open(shared: &Arc<Shared<M>>, keys: Keys<M::Key>, resume: Resume, options: ReaderOptions) -> Self {
        const { assert!(offset_of!(Self, keys) <= 88, "a message in the mailbox touches only `live`") };
        let mut state = shared.lock();
        let keys = select(&mut state.log, keys);
        let mut state = shared.decode_for(&keys, state);
        let expired = state.expire_now();
        state.log.forget_old_finishes(&keys);
        let end = state.closed.then_some(EndReason::Closed);
        let mailbox = Arc::new(Mailbox::new(state.readers.age_tenths()));
        let id = state.readers.insert(&keys, options.kind, end, &mailbox);
        // Until it is placed it is at the head, and is owed the messages that follow.
        let cursor = state.log.cursor_after(&keys, state.log.head().offset);
        let ledger = Ledger::open(state.log.appended_total(&keys), state.log.remaining(&keys, &cursor));
        let mut reader = Self {
            live: LiveState::new(mailbox, state.log.head()),
            keys,
            shared: Arc::clone(shared),
            id,
            cursor,
            gap: None,
            is_position_due: false,
            is_first_pass: true,
            resume_outcome: None,
            removed_unread: 0,
            extras: Extras::new(options.gets_snapshots),
            ledger,
            counters: DeliveryCounters::new(),
        };
        if state.loading || resume.may_arrive(&state.log) {
            reader.resume_outcome = Some(ResumeOutcome::Pending).filter(|_| resume != Resume::New);
            reader.extras.get_or_insert_default().resume = Some(PendingResume::new(resume, options.replay));
        } else {
            reader.place(&mut state.log, resume, options.replay);
        }
        drop(state);
        drop(expired);
        if let Some(outcome) = reader.resume_outcome {
            metrics::resumed(outcome.name());
        }
        reader
    }

    /// Returns the next step, without waiting. When the reader has to wait, `waker` is woken for the next step.
    pub(crate) fn poll(&mut self, waker: &Waker) -> ReadStep<M> {
        self.flush_metrics();
        if self.try_park(waker) {
            return ReadStep::AtHead { head: self.live.head, is_first: false };
        }
        match self.poll_mailbox(waker) {
            Some(entry) => ReadStep::Batch { position: None, batch: Batch::One(entry), with_ids: true },
            None => self.poll_log(waker),
        }
    }

    /// Parks the reader if it has read everything. Returns true when it is parked: there is nothing to read. The
    /// store is not locked.
    pub(crate) fn try_park(&self, waker: &Waker) -> bool {
        self.live.uses_waker(waker) && self.live.mailbox.try_park()
    }

    /// Takes the next message from the mailbox, as most steps do. The store is not locked. `None`: the step is to be
    /// found by [`poll_log`](Self::poll_log).
    pub(crate) fn poll_mailbox(&mut self, waker: &Waker) -> Option<Arc<Entry<M>>> {
        if let Some(ttl) = M::QUEUE_TTL
            && self.live.mailbox.unread_since().is_some_and(|since| since.elapsed() >= ttl.min(MAILBOX_AGE_MAX))
        {
            // It may have expired, which the log knows.
            return None;
        }
        let entry = self.live.pop(waker)?;
        self.record_for_sums(&entry);
        Some(entry)
    }

    /// As [`poll`](Self::poll), but always reads the log. This also moves the reader's position, past messages of
    /// other keys.
    pub(crate) fn poll_log(&mut self, waker: &Waker) -> ReadStep<M> {
        drop(self.live.mailbox.discard());
        self.settle_counts();
        loop {
            if self.is_in_pass()
                && let Some(step) = self.poll_pass(waker)
            {
                return step;
            }
            let step = self.poll_log_once(waker);
            if !self.is_in_pass() || !matches!(step, ReadStep::Pending) {
                return step;
            }
        }
    }

    fn poll_log_once(&mut self, waker: &Waker) -> ReadStep<M> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        let was_pending = self.is_pending();
        let expired = state.expire_now();
        let step = self.poll_locked(&mut state, waker);
        if Self::TELLS_GAPS
            && let ReadStep::Gap(gap) = &step
        {
            state.readers.record_gap(self.id, gap.reason);
        }
        let discarded = state.log.take_discarded();
        let end = state.readers.end_of(self.id);
        drop(state);
        // Dropped after unlocking: a message's own `Drop` may call the store.
        drop((discarded, expired));
        if let (true, false, Some(outcome)) = (was_pending, self.is_pending(), self.resume_outcome) {
            metrics::resumed(outcome.name());
        }
        if Self::TELLS_GAPS
            && let ReadStep::Gap(gap) = &step
        {
            metrics::gap(gap.reason.name(), gap.missed.unwrap_or(0));
        }
        if matches!(step, ReadStep::AtHead { .. }) && end.is_some() {
            // Wake again: the end is reported on the next poll.
            waker.wake_by_ref();
        }
        step
    }

    /// Returns the end that the reader was told, whether or not it has read everything. Unless that is due, `waker` is
    /// woken when the reader is told to end and when its end is due, but not for messages: this serves a connection
    /// whose socket accepts no data.
    ///
    /// The reader is not live after this: it discards the message in its mailbox, and reads the log next.
    pub(crate) fn poll_ended(&mut self, waker: &Waker) -> Option<EndState> {
        drop(self.live.mailbox.discard());
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        let end = state.readers.end_of(self.id);
        if let Some(reason) = end
            && let Some(bound) = state.readers.end_bound_of(self.id)
            && self.poll_end_due(bound, &state.log, waker)
        {
            return Some(EndState::Due(reason));
        }
        self.record_place(&mut state);
        // A reader that drains before it ends reads on when its socket wakes it.
        state.readers.register_waker(self.id, waker, false);
        end.map(EndState::Draining)
    }

    /// Returns whether it is not decided yet where the reader starts.
    fn is_pending(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.resume.is_some())
    }

    /// Returns how many keys the reader has; `None` when it reads all keys.
    pub(crate) fn key_count(&self) -> Option<usize> {
        (!matches!(self.keys, KeySelection::All)).then(|| self.keys.key_indexes().len())
    }

    /// Returns how many queue messages of each key the store keeps, at least 1.
    pub(crate) fn capacity(&self) -> usize {
        self.shared.limits.capacity
    }

    /// Returns what became of the id that the reader resumes from; `None` when it was opened without one.
    pub(crate) fn resume_outcome(&self) -> Option<ResumeOutcome> {
        self.resume_outcome
    }

    /// Returns the position of the reader when it is at the head.
    pub(crate) fn head(&self) -> Id {
        self.live.head
    }

    /// Returns when the reader last read.
    pub(crate) fn last_active(&self) -> Instant {
        self.live.last_active
    }

    /// Records that the reader's connection accepts data now, from which its stall timeout counts. The reader waits
    /// no more: its waker is dropped, and it reads the log next.
    pub(crate) fn mark_active(&self) {
        self.shared.lock().readers.touch(self.id);
    }

    pub(crate) fn handle(&self) -> ReaderHandle<M> {
        ReaderHandle::new(Arc::clone(&self.shared), self.id)
    }

    /// Returns the waker of this flag: it sets the flag and wakes the reader's task.
    pub(crate) fn waker_for(&self, flag: impl Into<WakeFlag>) -> Waker {
        self.live.mailbox.waker_for(flag.into())
    }

    /// Returns whether this flag's waker has woken the task since the flag was last taken.
    #[inline]
    pub(crate) fn was_woken_by(&self, flag: impl Into<WakeFlag>) -> bool {
        self.live.mailbox.was_woken_by(flag.into())
    }

    /// As [`was_woken_by`](Self::was_woken_by), and clears the flag. Call this before polling the source, or a wake
    /// may be lost.
    #[inline]
    pub(crate) fn take_wake(&self, flag: impl Into<WakeFlag>) -> bool {
        self.live.mailbox.take_wake(flag.into())
    }
}

/// Selects keys, each once. Their indexes stay theirs until they are released. A key that no message can have is left
/// out.
fn select<M: Message>(log: &mut Log<M>, keys: Keys<M::Key>) -> KeySelection {
    match keys {
        Keys::All => {
            log.acquire_all();
            KeySelection::All
        }
        Keys::One(key) => log.acquire(key).map_or_else(|| KeySelection::Set(Box::default()), KeySelection::One),
        Keys::Set(keys) => {
            let (mut seen, mut distinct) = (HashSet::with_capacity(keys.len()), Vec::with_capacity(keys.len()));
            for key in keys {
                let Some(key_index) = log.acquire(key) else { continue };
                if seen.insert(key_index) {
                    distinct.push(key_index);
                } else {
                    log.release(key_index);
                }
            }
            KeySelection::Set(distinct.into())
        }
    }
}

impl<M: Message> Drop for Reader<M> {
    fn drop(&mut self) {
        self.flush_metrics();
        let mut state = self.shared.lock();
        let balance = cfg!(feature = "metrics").then(|| self.balance_locked(&state));
        state.readers.remove(&self.keys, self.id);
        for &key_index in self.keys.key_indexes() {
            state.log.release(key_index);
        }
        if matches!(self.keys, KeySelection::All) {
            state.log.release_all();
        }
        let is_last = state.closed && state.readers.connections() == 0;
        drop(state);
        if let Some(balance) = balance {
            metrics::conflated(balance.conflated);
            metrics::ephemeral_missed(balance.ephemeral_missed);
            metrics::summed(balance.summed);
        }
        if is_last {
            self.shared.closed_notify.notify_waiters();
        }
    }
}

#[cfg(test)]
mod model;
