//! The state that all handles of a store and its readers share: the log and the readers, under one lock.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::backend::engine::Features;
use crate::backend::outbox::Outbox;
use crate::event::error::EncodeError;
use crate::id::Offset;
use crate::message::Message;
use crate::metrics;
use crate::store::decode::ParseJson;
use crate::store::end::{End, EndReason};
use crate::store::entry::Entry;
use crate::store::expired::{Sweeper, ValueExpiry};
use crate::store::limits::Limits;
use crate::store::log::Log;
use crate::store::observers::Observers;
use crate::store::read_back::ReadBack;
use crate::store::registry::{ReaderRegistry, WakeList};
use crate::store::skip_log::{SkipLog, Skipped};

pub(crate) struct Shared<M: Message> {
    state: Mutex<State<M>>,
    pub(crate) limits: Limits,
    /// Notified when the store is closed, and again when the last connection of a closed store is gone, and its last
    /// hook has returned.
    pub(crate) closed_notify: Notify,
    /// Notified when readers of a key are told to end.
    pub(crate) disconnected_notify: Notify,
    /// The encodings that handlers of this store have enabled, as bits.
    encodings: AtomicUsize,
    /// Those who look at gaps and ends.
    pub(crate) observers: Observers,
    /// The backend to which messages are sent instead of being appended to the log.
    pub(crate) backend: Option<BackendHandle<M>>,
}

/// The way to a backend, which fills the log.
pub(crate) struct BackendHandle<M: Message> {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) ack_timeout: Duration,
    /// Appends the message's JSON to the buffer. Only a store with a backend requires `Serialize` of its messages.
    pub(crate) write_json: fn(&M, &mut Vec<u8>) -> Result<(), EncodeError>,
    pub(crate) parse_json: ParseJson<M>,
    /// The messages on their way to the backend and back.
    pub(crate) read_back: ReadBack<M>,
    /// Whether it was logged that a message changes when it is read back.
    pub(crate) change_logged: AtomicBool,
    pub(crate) skip_log: Arc<SkipLog>,
    pub(crate) features: Features,
    /// Notified when a snapshot becomes due, where the engine keeps them.
    pub(crate) snapshots_changed: Option<Arc<Notify>>,
}

impl<M: Message + Serialize + DeserializeOwned> BackendHandle<M> {
    pub(crate) fn new(outbox: Arc<Outbox>, ack_timeout: Duration, limits: Limits, features: Features) -> Self {
        Self {
            outbox,
            ack_timeout,
            write_json: |message, bytes| serde_json::to_writer(bytes, message).map_err(EncodeError::from),
            parse_json: |payload| serde_json::from_slice(payload),
            read_back: ReadBack::new(limits.memory),
            change_logged: AtomicBool::new(false),
            skip_log: Arc::new(SkipLog::new(M::CHANNEL, Skipped::Unreadable)),
            features,
            snapshots_changed: Self::keeps_snapshots(features).then(Arc::default),
        }
    }

    fn keeps_snapshots(features: Features) -> bool {
        M::SNAPSHOT.is_some() && features.contains(Features::SNAPSHOTS)
    }
}

pub(crate) struct State<M: Message> {
    pub(crate) log: Log<M>,
    pub(crate) readers: ReaderRegistry<M>,
    pub(crate) closed: bool,
    /// Entries of a backend up to here still go into the log of a closed store: they were acknowledged before.
    pub(crate) closed_through: Offset,
    /// How many connections have a `closed` hook that has not returned.
    pub(crate) hooks: usize,
    /// Until when [`Store::closed`](crate::Store::closed) waits for a backend to take what hooks hand off.
    pub(crate) hooks_drain_by: Option<Instant>,
    /// Whether the backend is connected; always true in memory.
    pub(crate) reachable: bool,
    /// Those who wait until keys are finished, by the keys' indexes in the log. They hold the keys.
    pub(crate) finish_waiters: BTreeMap<usize, FinishWaiter>,
    /// Whether the backend is filling the log with the messages that it has kept. Until it is done nothing is read.
    pub(crate) loading: bool,
    pub(super) sweeper: Sweeper,
    pub(super) value_expiry: ValueExpiry,
    /// The places of values that have expired by the clock of this process, to be forgotten where a store with a backend
    /// remembers them.
    pub(super) expired_places: Option<Vec<String>>,
}

/// Those who wait until a key is finished.
pub(crate) struct FinishWaiter {
    pub(crate) notify: Arc<Notify>,
    pub(crate) count: usize,
}

/// What has to be woken when a key is finished, after unlocking the store.
#[must_use = "those who wait have to be woken"]
pub(crate) struct FinishWaker {
    readers: Vec<Waker>,
    waiting: Option<Arc<Notify>>,
}

impl FinishWaker {
    /// Wakes the readers, and those who wait for the finish. The store must not be locked.
    pub(crate) fn wake(self) {
        self.readers.into_iter().for_each(Waker::wake);
        if let Some(waiting) = &self.waiting {
            waiting.notify_waiters();
        }
        metrics::finished();
    }
}

impl<M: Message> State<M> {
    /// Pushes an entry that was appended to its readers. They are woken by the list, after unlocking.
    pub(crate) fn push_to_readers(&mut self, entry: &Arc<Entry<M>>) -> WakeList<M> {
        // An ephemeral message is read in the log, where it is dropped when it is too old. So a mailbox has none.
        let is_ephemeral = M::HAS_EPHEMERAL && entry.is_ephemeral();
        self.readers.push(entry, if is_ephemeral { u64::MAX } else { self.log.live_generation() })
    }

    /// Finishes a key that is not finished, at the next offset. Returns the finish's offset, and what has to be woken
    /// after unlocking.
    pub(crate) fn finish(&mut self, key_index: usize) -> (Offset, FinishWaker) {
        let offset = self.log.next();
        self.log.finish(offset, key_index);
        (offset, self.wake_finished(key_index))
    }

    /// Returns what has to be woken because a key is finished.
    pub(crate) fn wake_finished(&mut self, key_index: usize) -> FinishWaker {
        let waiting = self.finish_waiters.get(&key_index).map(|waiter| Arc::clone(&waiter.notify));
        FinishWaker { readers: self.readers.wake_to_reread(key_index), waiting }
    }

    /// Returns whether an entry of a backend at this offset goes into the log.
    pub(crate) fn takes(&self, offset: Offset) -> bool {
        (self.takes_messages() || offset <= self.closed_through) && offset > self.log.head().offset
    }

    /// Returns whether the store is closed, and its log has everything that still goes into it.
    pub(crate) fn is_drained(&self) -> bool {
        self.closed && self.log.head().offset >= self.closed_through
    }

    /// Drops the `latest` values of a key that are wanted, also in the mailboxes of its readers. Drop the result after
    /// unlocking.
    pub(crate) fn forget(&mut self, key: &M::Key, is_wanted: impl Fn(&Entry<M>) -> bool) -> Vec<Arc<Entry<M>>> {
        if let Some(key_index) = self.log.key_index(key) {
            self.readers.retract(key_index);
        }
        self.log.forget(key, is_wanted)
    }

    /// As [`forget`](Self::forget), for the value in one slot.
    pub(crate) fn forget_slot(&mut self, key: &M::Key, slot: &str) -> Option<Arc<Entry<M>>> {
        if let Some(key_index) = self.log.key_index(key) {
            self.readers.retract(key_index);
        }
        self.log.forget_slot(key, slot)
    }
}

impl<M: Message> Shared<M> {
    pub(crate) fn new(limits: Limits, backend: Option<BackendHandle<M>>) -> Self {
        let mut log = Log::new(limits, backend.is_some());
        if backend.as_ref().is_some_and(|backend| backend.features.contains(Features::FINISH)) {
            log.leave_finishes_to_engine();
        }
        if let Some(backend) = backend.as_ref().filter(|backend| backend.snapshots_changed.is_some()) {
            log.keep_snapshots_in_engine(backend.outbox.sender_id());
        }
        let by_engine = backend.as_ref().is_some_and(|backend| backend.features.contains(Features::EXPIRE));
        let value_expiry = if by_engine { ValueExpiry::ByEngine } else { ValueExpiry::Told };
        let state = State {
            log,
            readers: ReaderRegistry::new(),
            closed: false,
            closed_through: Offset::START,
            hooks: 0,
            hooks_drain_by: None,
            reachable: backend.is_none(),
            finish_waiters: BTreeMap::new(),
            loading: false,
            sweeper: Sweeper::Absent,
            value_expiry,
            expired_places: backend.is_some().then(Vec::new),
        };
        Self {
            state: Mutex::new(state),
            limits,
            closed_notify: Notify::new(),
            disconnected_notify: Notify::new(),
            encodings: AtomicUsize::new(0),
            observers: Observers::default(),
            backend,
        }
    }

    /// Ends every reader, and rejects every later submit and connection. What `closed` hooks submit is taken until the
    /// last of them has returned.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        let Some(waits_for_hooks) = state.begin_close() else { return };
        // Of a backend that has ended nothing comes any more.
        let backend = self.backend.as_ref().filter(|backend| backend.outbox.is_open());
        let acknowledged = backend.map(|backend| backend.outbox.send_log().newest_appended());
        let coming = acknowledged.filter(|offset| *offset > state.log.head().offset);
        state.closed_through = coming.unwrap_or_default();
        let end = coming.map_or_else(
            || End::after_everything(EndReason::Closed),
            |offset| End::after(state.log.id(offset), EndReason::Closed),
        );
        let wakers = state.readers.end_all(end);
        let readers = state.readers.count();
        let waiting: Vec<_> = state.finish_waiters.values().map(|waiter| Arc::clone(&waiter.notify)).collect();
        drop(state);
        if !waits_for_hooks {
            self.end_submits();
        }
        tracing::debug!(target: "tornadose", channel = M::CHANNEL, readers, "store closed");
        wakers.into_iter().for_each(Waker::wake);
        for notify in waiting {
            notify.notify_waiters();
        }
        self.closed_notify.notify_waiters();
    }

    /// Wakes the backend, which keeps snapshots, when one may be due earlier.
    pub(crate) fn notify_snapshots(&self) {
        if let Some(changed) = self.backend.as_ref().and_then(|backend| backend.snapshots_changed.as_ref()) {
            changed.notify_one();
        }
    }

    /// Lets the backend end once it has sent what was submitted.
    pub(crate) fn end_submits(&self) {
        if let Some(backend) = &self.backend {
            backend.outbox.close();
        }
    }

    /// Resolves when the log of a closed store has everything that still goes into it.
    pub(crate) async fn drained(&self) {
        loop {
            let notified = self.closed_notify.notified();
            if self.lock().is_drained() {
                return;
            }
            notified.await;
        }
    }

    /// Returns in how many encodings an event is kept: its own text, and those that are enabled.
    pub(crate) fn encoding_count(&self) -> usize {
        1 + self.encodings.load(Ordering::Relaxed).count_ones() as usize
    }

    pub(crate) fn enable_encoding(&self, slot: usize) {
        self.encodings.fetch_or(1 << slot, Ordering::Relaxed);
    }

    /// Locks the state. A poisoned lock is ignored: the state is valid after each statement that can panic, as the
    /// `Eq`, `Hash`, `Clone` and `Drop` of a key can.
    pub(crate) fn lock(&self) -> StateGuard<'_, M> {
        StateGuard { shared: self, state: Some(self.lock_only()) }
    }

    /// As [`lock`](Self::lock), but what is trimmed meanwhile is not applied to snapshots.
    pub(crate) fn lock_only(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The locked state of a store. After unlocking it, messages that were trimmed meanwhile are applied to the snapshots of
/// their keys.
pub(crate) struct StateGuard<'a, M: Message> {
    shared: &'a Shared<M>,
    /// `None` only while it is dropped.
    state: Option<MutexGuard<'a, State<M>>>,
}

impl<M: Message> Deref for StateGuard<'_, M> {
    type Target = State<M>;

    #[inline]
    fn deref(&self) -> &State<M> {
        self.state.as_deref().expect("the state is locked until the guard is dropped")
    }
}

impl<M: Message> DerefMut for StateGuard<'_, M> {
    #[inline]
    fn deref_mut(&mut self) -> &mut State<M> {
        self.state.as_deref_mut().expect("the state is locked until the guard is dropped")
    }
}

impl<M: Message> Drop for StateGuard<'_, M> {
    #[inline]
    fn drop(&mut self) {
        if M::SNAPSHOT.is_some() {
            let has_due = self.state.as_mut().is_some_and(|state| state.log.snapshots_mut().has_due());
            self.state = None;
            if has_due {
                self.shared.apply_trimmed();
            }
        }
    }
}

/// The last handle and the last reader are gone.
impl<M: Message> Drop for Shared<M> {
    fn drop(&mut self) {
        self.end_submits();
    }
}
