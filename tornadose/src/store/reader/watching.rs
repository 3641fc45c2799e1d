//! A reader whose keys change while it reads: it begins to read keys at its place, and later reads them no more.

use std::sync::Arc;
use std::task::{Poll, Waker};

use crate::id::{Id, Offset};
use crate::message::Message;
use crate::metrics;
use crate::store::gap::{Gap, GapReason};
use crate::store::ledger::Counts;
use crate::store::log::Log;
use crate::store::log::cursor::ResumeOutcome;
use crate::store::log::key::KeySelection;
use crate::store::log::pass::PassTerms;
use crate::store::log::past::{Past, PastStep};
use crate::store::reader::Reader;
use crate::store::reader::extras::Extras;
use crate::store::reader::placing::Start;
use crate::store::reader::resume::{PendingResume, Resume};
use crate::store::shared::State;
use crate::store::snapshot::{EncodingId, SnapshotAt};
use crate::store::sum::SharedSum;

/// The pasts of keys that a reader has begun to read.
pub(crate) struct Pasts<M: Message> {
    /// In the order in which the keys were given.
    pub(crate) of_keys: Vec<Past<M>>,
    /// The place of the reader, which reads what is above it after the pasts.
    pub(crate) place: Id,
}

impl<M: Message> Reader<M> {
    /// Makes the reader one whose keys change. Unless it reads all keys, it does not end when those that it has are
    /// finished.
    pub(crate) fn allow_key_changes(&mut self) {
        if !matches!(self.keys, KeySelection::All) {
            self.keys = KeySelection::Watched(self.keys.key_indexes().into());
        }
    }

    /// Returns where a key is among those that it reads, in the order in which they were added. A reader of all keys has
    /// each at the first place.
    pub(crate) fn index_of_key(&self, key: &M::Key) -> Option<usize> {
        if matches!(self.keys, KeySelection::All) {
            return Some(0);
        }
        let key_index = self.shared.lock().log.key_index(key)?;
        self.keys.key_indexes().iter().position(|own| *own == key_index)
    }

    /// Begins to read keys that it does not read. Returns `None` while that has to wait: the reader has yet to read what
    /// comes before, or the message of the id has yet to arrive, for which `waker` is woken.
    ///
    /// The reader is not live after this: it reads the log next.
    pub(crate) fn poll_watch(&mut self, keys: &[M::Key], since: &mut PendingResume, waker: &Waker) -> Option<Pasts<M>> {
        drop(self.live.mailbox.discard());
        self.settle_counts();
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        self.live.last_active = state.readers.touch(self.id);
        // What comes before the reader reads again wakes it, so that no request waits for what is there already.
        state.readers.register_waker(self.id, waker, true);
        let (expired, mut expired_later) = (state.expire_now(), None);
        let mut place = self.place_for_keys(&mut state, since, waker);
        let mut added = Vec::new();
        if place.is_some() {
            added.extend(keys.iter().filter_map(|key| state.log.acquire(key.clone())));
            state = shared.decode_for(&KeySelection::Set(added.as_slice().into()), state);
            // The state was unlocked if there was anything to decode.
            expired_later = state.expire_now();
            place = self.place_for_keys(&mut state, since, waker);
        }
        let mut of_keys = Vec::new();
        if let Some(begun_at) = place {
            of_keys = self.begin_pasts(&mut state.log, &added, since, begun_at);
            if M::SNAPSHOT.is_some() && of_keys.iter().any(|past| past.to_sum().is_some()) {
                let generation = state.log.generation();
                drop(state);
                let are_made = self.make_snapshots(&mut of_keys);
                state = shared.lock();
                // A key may have been removed meanwhile.
                place = if are_made && state.log.generation() == generation {
                    self.place_for_keys(&mut state, since, waker)
                } else {
                    None
                };
                if place.is_none() {
                    // The reader reads on, and then begins again.
                    waker.wake_by_ref();
                }
            }
        }
        let begun = if let Some(place) = place {
            self.live.last_active = state.readers.touch(self.id);
            self.add_keys(&mut state, &added);
            for past in &mut of_keys {
                past.end_at(place, &state.log);
            }
            Some(Pasts { of_keys, place })
        } else {
            for key_index in added {
                state.log.release(key_index);
            }
            None
        };
        drop(state);
        // Dropped after unlocking: a message's own `Drop` may call the store.
        drop((expired, expired_later));
        begun
    }

    /// Returns the place at which the reader can begin to read further keys, of which the client has everything up to an id.
    fn place_for_keys(&mut self, state: &mut State<M>, since: &mut PendingResume, waker: &Waker) -> Option<Id> {
        let is_ending = state.readers.end_of(self.id).is_some();
        let is_elsewhere = self.is_pending() || self.is_in_pass();
        if is_ending || state.loading || is_elsewhere || self.gap.is_some() || self.removed_unread > 0 {
            return None;
        }
        let place = state.log.place_for_keys(&self.keys, &mut self.cursor)?;
        let Resume::After(id) = since.resume else { return Some(place) };
        if state.log.may_arrive(id) && !since.poll_timeout(state.reachable, waker) {
            state.readers.wait_for_offset(self.id, id.offset);
            return None;
        }
        let is_ahead = id.epoch == place.epoch && id.offset > place.offset && id.offset <= state.log.head().offset;
        (!is_ahead).then_some(place)
    }

    /// Begins the pasts of keys, up to a place.
    fn begin_pasts(&self, log: &mut Log<M>, added: &[usize], since: &PendingResume, place: Id) -> Vec<Past<M>> {
        log.forget_old_finishes(&KeySelection::Set(added.into()));
        added.iter().map(|&key_index| self.begin_past(log, key_index, since.resume, since.replay, place)).collect()
    }

    fn begin_past(&self, log: &mut Log<M>, key_index: usize, resume: Resume, replay: usize, place: Id) -> Past<M> {
        let key = KeySelection::One(key_index);
        let mut start = Self::start(log, &key, resume, replay);
        let terms = self.uses_snapshots().then(|| start.pass_terms(log, &key, resume, replay)).flatten();
        let Start { cursor, gap, outcome } = start;
        let mut past = log.past(key_index, cursor, gap, place);
        past.is_kept_state = !matches!(outcome, Some(ResumeOutcome::Known));
        if let Some((terms, needs_gap)) = terms {
            log.begin_past_pass(&mut past, PassTerms { bound: Some(place.offset), ..terms }, needs_gap);
        }
        past
    }

    /// Moves the past of a key back to the kept state that a new reader is sent, because its client drops what it had.
    pub(crate) fn restart_past(&mut self, past: &mut Past<M>, replay: usize) {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        let place = past.through();
        if let Some(key_index) = past.key_index()
            && place.epoch == state.log.head().epoch
        {
            *past = self.begin_past(&mut state.log, key_index, Resume::New, replay, place);
        }
    }

    /// Makes the snapshots of pasts. The store must not be locked. Returns false when the state of a key contains messages
    /// above the place of its past already.
    fn make_snapshots(&self, pasts: &mut [Past<M>]) -> bool {
        for past in pasts {
            let Some((sum, place)) = past.to_sum() else { continue };
            let Some(key_index) = past.key_index() else { continue };
            match self.shared.snapshot_at(key_index, &sum, place, EncodingId::OfPlace) {
                SnapshotAt::Encoded(entry) => past.set_snapshot(entry),
                SnapshotAt::Ahead => return false,
                // It is told as a gap where the past is read.
                SnapshotAt::Unknown => {}
            }
        }
        true
    }

    fn add_keys(&mut self, state: &mut State<M>, added: &[usize]) {
        let selection = KeySelection::Set(added.into());
        let before = self.counts_of_keys(state);
        state.log.add_keys(&selection, &mut self.cursor);
        self.keys = KeySelection::Watched(self.keys.key_indexes().iter().chain(added).copied().collect());
        let after = self.counts_of_keys(state);
        self.recount_others(&state.log);
        self.ledger.record_key_added(after.appended - before.appended, after.remaining - before.remaining);
        for key_index in added {
            state.readers.add_key(self.id, *key_index);
        }
        // The place is written before the next message.
        self.is_position_due = false;
    }

    fn counts_of_keys(&self, state: &State<M>) -> KeyCounts {
        KeyCounts {
            appended: state.log.appended_total(&self.keys),
            remaining: state.log.remaining(&self.keys, &self.cursor),
        }
    }

    /// Reads what is next of the past of a key. The reader reads nothing else until all pasts are read.
    pub(crate) fn read_past(&mut self, past: &mut Past<M>) -> PastStep<M> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        self.live.last_active = state.readers.touch(self.id);
        let expired = state.expire_now();
        let step = state.log.read_past(past);
        let discarded = state.log.take_discarded();
        drop(state);
        // Dropped after unlocking: a message's own `Drop` may call the store.
        drop((discarded, expired));
        let step = match step {
            PastStep::ToSum { sum, place, owed } => self.read_sum(past, &sum, place, owed),
            step => step,
        };
        // What is never read of a past is not owed.
        match &step {
            PastStep::Batch { counts, .. } => {
                self.ledger.record_owed_again(*counts);
                self.ledger.record_read(*counts);
            }
            PastStep::Gap(gap) => {
                self.record_missed_of_past(gap.missed.unwrap_or(0));
                if Self::TELLS_GAPS {
                    metrics::gap(gap.reason.name(), gap.missed.unwrap_or(0));
                }
            }
            PastStep::Restarted { missed } => self.record_missed_of_past(*missed),
            PastStep::AtEnd { removed } => {
                self.ledger.record_owed_again(Counts { queue: (*removed).into(), ..Counts::default() });
                self.removed_unread = self.removed_unread.saturating_add(*removed);
            }
            PastStep::Snapshot { .. }
            | PastStep::ToSum { .. }
            | PastStep::Finished { .. }
            | PastStep::Expired { .. } => {}
        }
        step
    }

    /// Makes the snapshot of a past that has lost messages since it was begun, or tells the loss.
    fn read_sum(
        &mut self,
        past: &Past<M>,
        sum: &Arc<SharedSum<M>>,
        place: Offset,
        owed: Option<GapReason>,
    ) -> PastStep<M> {
        let snapshot = past.key_index().map(|index| self.shared.snapshot_at(index, sum, place, EncodingId::OfPlace));
        match (snapshot, owed) {
            (Some(SnapshotAt::Encoded(entry)), _) => PastStep::Snapshot { entry, owed },
            (Some(SnapshotAt::Ahead), _) => {
                // The reader gets it when it reads on.
                if let Some(sums) = Extras::sums_of(&mut self.extras) {
                    sums.owes_pass = true;
                }
                PastStep::ToSum { sum: Arc::clone(sum), place, owed }
            }
            (_, Some(reason)) => PastStep::Gap(Gap { reason, missed: None }),
            // Nothing was owed.
            (_, None) => PastStep::ToSum { sum: Arc::clone(sum), place, owed },
        }
    }

    fn record_missed_of_past(&mut self, missed: u64) {
        self.ledger.record_owed_again(Counts { queue: missed, ..Counts::default() });
        self.ledger.record_missed(missed);
    }

    /// Reads a key no more, if it reads it. Returns the gap that has to be reported before, if there is one: the key stays
    /// then. Pending while the log is loaded, and while the reader gets snapshots: `waker` is woken after that, or the
    /// reader has something to read.
    ///
    /// The reader is not live after this: it reads the log next.
    pub(crate) fn poll_unwatch(&mut self, key: &M::Key, waker: &Waker) -> Poll<Result<(), Gap>> {
        drop(self.live.mailbox.discard());
        self.settle_counts();
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        self.live.last_active = state.readers.touch(self.id);
        let own = self.keys.key_indexes();
        let Some(key_index) = state.log.key_index(key).filter(|key_index| own.contains(key_index)) else {
            return Poll::Ready(Ok(()));
        };
        if state.loading || self.is_in_pass() {
            state.readers.register_waker(self.id, waker, false);
            return Poll::Pending;
        }
        // Which key the missing messages are of is not known, so they are reported while the reader has all keys.
        if let Some(gap) = self.read_gap(&mut state) {
            drop(state);
            if Self::TELLS_GAPS {
                metrics::gap(gap.reason.name(), gap.missed.unwrap_or(0));
            }
            return Poll::Ready(Err(gap));
        }
        if self.is_in_pass() {
            state.readers.register_waker(self.id, waker, false);
            return Poll::Pending;
        }
        let before = self.counts_of_keys(&state);
        state.log.remove_key(&KeySelection::One(key_index), &mut self.cursor);
        let rest = self.keys.key_indexes().iter().copied().filter(|own| *own != key_index);
        self.keys = KeySelection::Watched(rest.collect());
        let after = self.counts_of_keys(&state);
        self.recount_others(&state.log);
        self.ledger.record_key_removed(before.appended - after.appended, before.remaining - after.remaining);
        state.readers.remove_key(self.id, key_index);
        state.log.release(key_index);
        let discarded = state.log.take_discarded();
        drop(state);
        // Dropped after unlocking: a message's own `Drop` may call the store.
        drop(discarded);
        Poll::Ready(Ok(()))
    }
}

/// How many messages of a reader's keys were appended, and how many of them it has yet to read.
struct KeyCounts {
    appended: Counts,
    remaining: Counts,
}
