//! A one-slot mailbox between the store and one of its readers. While the reader is live, the next message is
//! delivered through it, and the store's lock is not taken to read it.
//!
//! # Threads
//!
//! Two sides use a mailbox at once: the reader's task, and threads that change the store and hold its lock. The methods
//! under "The reader's side" do not hold the store's lock, those under "The store's side" do. Of the latter,
//! [`touch`](Mailbox::touch), [`register_waker`](Mailbox::register_waker) and
//! [`mark_live`](Mailbox::mark_live) are called by the reader's task.
//!
//! # Invariants
//!
//! - In [`Empty`](MailboxState::Empty) and [`Parked`](MailboxState::Parked) a waker is registered, and the reader
//!   was given every message of its keys.
//! - In [`HasMessage`](MailboxState::HasMessage) the slot holds the one message of its keys that the reader was not
//!   given.
//! - In [`ReadLog`](MailboxState::ReadLog) the slot is meaningless: what it holds was read from the log, or will be.
//! - A thread that changes the state to `ReadLog` or `HasMessage` for the reader takes the waker and wakes it after
//!   unlocking. When no waker is registered, the task is running or was woken, and looks at the state before it waits.
//!   A retracted message needs no waker: it was taken when the message was pushed.
//! - The reader reads the log and registers its waker in one critical section of the store's lock, so no message is
//!   appended in between.
//!
//! # Transitions
//!
//! | from | to | by |
//! |---|---|---|
//! | `Empty` | `Parked` | the reader, without a lock: [`try_park`](Mailbox::try_park) |
//! | `HasMessage` | `Empty` | the reader, under the mailbox's lock: [`pop`](Mailbox::pop) |
//! | `Empty`, `Parked` | `HasMessage` | the store: [`push`](Mailbox::push) |
//! | `HasMessage` | `ReadLog` | the store: [`retract`](Mailbox::retract), or `push` of a second message |
//! | any | `ReadLog` | the store: [`take_waker_to_reread`](Mailbox::take_waker_to_reread) |
//! | any | `ReadLog` | the reader, under the store's lock: `touch`, `register_waker` |
//! | `ReadLog` | `Empty` | the reader, under the store's lock, after `register_waker`: `mark_live` |

use std::sync::Arc;
use std::task::{Wake, Waker};

use tokio::time::Instant;

use crate::store::entry::Entry;
use crate::sync::{AtomicU8, Mutex, MutexGuard, Ordering, PoisonError};

/// What the reader finds when it looks for the next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum MailboxState {
    /// There may be something new, which the reader reads from the log. It may wait until it is woken to do so.
    ReadLog,
    /// The reader was given everything, and has not polled since.
    Empty,
    /// The reader has polled again, and waits for its waker.
    Parked,
    /// The slot holds the one message that it was not given.
    HasMessage,
}

struct AtomicState(AtomicU8);

impl AtomicState {
    fn new(state: MailboxState) -> Self {
        Self(AtomicU8::new(state as u8))
    }

    #[inline]
    fn load(&self) -> MailboxState {
        match self.0.load(Ordering::Acquire) {
            0 => MailboxState::ReadLog,
            1 => MailboxState::Empty,
            2 => MailboxState::Parked,
            _ => MailboxState::HasMessage,
        }
    }

    #[inline]
    fn store(&self, state: MailboxState) {
        self.0.store(state as u8, Ordering::Release);
    }

    /// Returns false when the state was not `from`.
    #[inline]
    fn change(&self, from: MailboxState, to: MailboxState) -> bool {
        self.0.compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// See the [module](self).
pub(crate) struct Mailbox<M> {
    state: AtomicState,
    /// The [`WakeFlag`]s that are set, as bits.
    wakes: AtomicU8,
    /// When the reader opened. It is in what would be padding.
    opened_at: u32,
    inner: Mutex<Inner<M>>,
}

struct Inner<M> {
    next: Option<Arc<Entry<M>>>,
    /// When the reader last read, or was woken to.
    last_active: Instant,
    /// Registered by a reader that waits or is live, and taken by the store when it wakes the reader.
    waker: Option<Waker>,
}

/// What became of a message that was pushed.
pub(crate) struct Pushed<M> {
    /// Whether it is in the slot. Otherwise the reader has to read the log.
    pub(crate) is_accepted: bool,
    /// The reader's waker, unless it was taken before.
    pub(crate) waker: Option<Waker>,
    /// What the slot held before, to be dropped without a lock.
    pub(crate) replaced: Option<Arc<Entry<M>>>,
}

/// A flag that is set by its waker, so that the reader's task knows that it was woken by another source than its store.
/// The owner of the reader decides which source has which flag.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum WakeFlag {
    /// The mailbox itself is its waker, which saves an allocation.
    First = 1,
    Second = 2,
}

impl<M> Mailbox<M> {
    /// Creates the mailbox of a reader that opens, at a time that its store counts.
    pub(crate) fn new(opened_at: u32) -> Self {
        let inner = Inner { next: None, last_active: Instant::now(), waker: None };
        let state = AtomicState::new(MailboxState::ReadLog);
        Self { state, wakes: AtomicU8::new(0), opened_at, inner: Mutex::new(inner) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<M>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // --- The reader's side -------------------------------------------------------------------------------------------

    /// Parks the reader if it is live and has no message. Returns true when it is parked: there is nothing to read,
    /// and the next message wakes it.
    #[inline]
    pub(crate) fn try_park(&self) -> bool {
        match self.state.load() {
            MailboxState::Parked => true,
            MailboxState::Empty => self.state.change(MailboxState::Empty, MailboxState::Parked),
            MailboxState::ReadLog | MailboxState::HasMessage => false,
        }
    }

    /// Takes the message and returns it with the current time. The reader is then live again, and the waker is
    /// registered for the next message.
    pub(crate) fn pop(&self, waker: &Waker) -> Option<(Arc<Entry<M>>, Instant)> {
        if self.state.load() != MailboxState::HasMessage {
            return None;
        }
        let mut inner = self.lock();
        if !self.state.change(MailboxState::HasMessage, MailboxState::Empty) {
            return None;
        }
        inner.waker = Some(waker.clone());
        inner.last_active = Instant::now();
        Some((inner.next.take()?, inner.last_active))
    }

    /// Empties the slot of a reader that reads the log instead. The message is to be dropped without a lock.
    pub(crate) fn discard(&self) -> Option<Arc<Entry<M>>> {
        self.lock().next.take()
    }

    /// Returns whether this flag's waker has woken the task since the flag was last taken.
    #[inline]
    pub(crate) fn was_woken_by(&self, flag: WakeFlag) -> bool {
        // A flag that is not visible here has not woken the task yet. The task will run again and see it.
        self.wakes.load(Ordering::Relaxed) & flag as u8 != 0
    }

    /// As `was_woken_by`, and clears the flag. Call this before polling the source, or a wake may be lost.
    #[inline]
    pub(crate) fn take_wake(&self, flag: WakeFlag) -> bool {
        let bit = flag as u8;
        self.was_woken_by(flag) && self.wakes.fetch_and(!bit, Ordering::AcqRel) & bit != 0
    }

    /// Sets the flag, and wakes the reader's task, whichever that is now.
    fn record_wake(&self, flag: WakeFlag) {
        // The flag is set before the waker is read. Without a waker the task is running or was woken, and looks at the
        // flags after it has registered one.
        self.wakes.fetch_or(flag as u8, Ordering::Release);
        let waker = self.lock().waker.clone();
        waker.iter().for_each(Waker::wake_by_ref);
    }

    // --- The store's side --------------------------------------------------------------------------------------------

    /// Pushes a message. It is accepted if the reader is live in the current generation of the log.
    pub(crate) fn push(
        &self,
        entry: &Arc<Entry<M>>,
        is_same_generation: bool,
        now: impl FnOnce() -> Instant,
    ) -> Pushed<M> {
        let mut inner = self.lock();
        let waker = inner.waker.take();
        // A reader that was woken before keeps that time.
        if waker.is_some() {
            inner.last_active = now();
        }
        if is_same_generation && matches!(self.state.load(), MailboxState::Empty | MailboxState::Parked) {
            let replaced = inner.next.replace(Arc::clone(entry));
            self.state.store(MailboxState::HasMessage);
            return Pushed { is_accepted: true, waker, replaced };
        }
        self.state.store(MailboxState::ReadLog);
        Pushed { is_accepted: false, waker, replaced: None }
    }

    /// Makes a reader that has not taken its message read the log instead.
    pub(crate) fn retract(&self) {
        // Fails when there is no message, or the reader has just taken it.
        self.state.change(MailboxState::HasMessage, MailboxState::ReadLog);
    }

    /// Makes the reader read the log, and takes the waker to be woken for that.
    pub(crate) fn take_waker_to_reread(&self) -> Option<Waker> {
        let mut inner = self.lock();
        self.state.store(MailboxState::ReadLog);
        let waker = inner.waker.take();
        if waker.is_some() {
            inner.last_active = Instant::now();
        }
        waker
    }

    /// Registers the waker of a reader that reads the log when it is woken.
    pub(crate) fn register_waker(&self, waker: &Waker) {
        let mut inner = self.lock();
        self.state.store(MailboxState::ReadLog);
        match &mut inner.waker {
            Some(registered) => registered.clone_from(waker),
            None => inner.waker = Some(waker.clone()),
        }
    }

    /// Marks a reader whose waker was just registered as live.
    pub(crate) fn mark_live(&self) {
        self.state.store(MailboxState::Empty);
    }

    /// Records that the reader is reading the log, and returns the time.
    pub(crate) fn touch(&self) -> Instant {
        let mut inner = self.lock();
        self.state.store(MailboxState::ReadLog);
        inner.waker = None;
        inner.last_active = Instant::now();
        inner.last_active
    }

    /// Returns when the reader opened, as its store counts time.
    pub(crate) fn opened_at(&self) -> u32 {
        self.opened_at
    }

    /// Looks at the state, at the message in the slot, and at whether a waker is registered. The message may have been taken
    /// or given up.
    pub(crate) fn look<R>(&self, look: impl FnOnce(MailboxState, Option<&Entry<M>>, bool) -> R) -> R {
        let inner = self.lock();
        look(self.state.load(), inner.next.as_deref(), inner.waker.is_some())
    }

    /// Returns since when there is something that the reader has not read, or has read and may not have written. `None`
    /// while it waits.
    pub(crate) fn unread_since(&self) -> Option<Instant> {
        let inner = self.lock();
        let was_given = matches!(self.state.load(), MailboxState::Empty | MailboxState::HasMessage);
        (inner.waker.is_none() || was_given).then_some(inner.last_active)
    }
}

impl<M: Send + Sync + 'static> Mailbox<M> {
    /// Returns the waker of this flag: it sets the flag and wakes the reader's task.
    pub(crate) fn waker_for(self: &Arc<Self>, flag: WakeFlag) -> Waker {
        let mailbox = Arc::clone(self);
        match flag {
            WakeFlag::First => Waker::from(mailbox),
            WakeFlag::Second => Waker::from(Arc::new(SecondWaker(mailbox))),
        }
    }
}

impl<M: Send + Sync + 'static> Wake for Mailbox<M> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.record_wake(WakeFlag::First);
    }
}

struct SecondWaker<M>(Arc<Mailbox<M>>);

impl<M: Send + Sync + 'static> Wake for SecondWaker<M> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.record_wake(WakeFlag::Second);
    }
}

/// A waker that does nothing. `Waker::noop()` compares as another waker at each call, and so does its clone; this one
/// is always the same.
#[cfg(test)]
pub(crate) static NOOP_WAKER: std::sync::LazyLock<Waker> = std::sync::LazyLock::new(|| Waker::noop().clone());
