//! The state of a key's snapshot. [`snapshot`](crate::store::snapshot) has the code that changes it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::message::Message;

/// The state of a key's snapshot.
pub(crate) struct SharedSum<M: Message> {
    key: Arc<M::Key>,
    /// `None` before the first message is applied.
    state: Mutex<Option<Arc<M>>>,
}

impl<M: Message> SharedSum<M> {
    pub(crate) fn new(key: Arc<M::Key>) -> Self {
        Self { key, state: Mutex::new(None) }
    }

    pub(crate) fn key(&self) -> &Arc<M::Key> {
        &self.key
    }

    /// Returns a sum with a state to which messages were applied before.
    pub(crate) fn with_state(key: Arc<M::Key>, state: Arc<M>) -> Self {
        Self { key, state: Mutex::new(Some(state)) }
    }

    /// Locks the state. What a panic has left is dropped with the sum.
    pub(super) fn lock(&self) -> MutexGuard<'_, Option<Arc<M>>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) use self::faults::Fault;

/// Faults that a test plants, to see that a model finds them.
#[cfg(test)]
mod faults {
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<Fault>> = const { Cell::new(None) };
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Fault {
        /// A message is applied twice.
        AppliedTwice,
        /// A snapshot does not contain the newest message up to its place.
        OneTooOld,
        /// An id is told although a key was left out.
        SkippedKey,
        /// A message that is trimmed is not applied.
        NeverApplied,
        /// A message is sent that the snapshot contains.
        SentTwice,
    }

    impl Fault {
        pub(crate) fn is_planted(self) -> bool {
            PLANTED.get() == Some(self)
        }

        /// Plants a fault in this thread, or none.
        pub(crate) fn plant(fault: Option<Self>) {
            PLANTED.set(fault);
        }
    }
}
