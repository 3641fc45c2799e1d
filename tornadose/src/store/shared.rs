//! What the handles of a store share: the log, its readers, one lock. What they do under it is theirs.

use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::message::Message;
use crate::store::log::Log;
use crate::store::readers::Readers;

pub(crate) struct Shared<M: Message> {
    state: Mutex<State<M>>,
    /// Told when the store is closed, and again when the last connection of a closed store is gone.
    pub(crate) gone: Notify,
    /// Bit by bit, the encodings that handlers of this store ask for.
    pub(crate) encodings: AtomicUsize,
}

pub(crate) struct State<M: Message> {
    pub(crate) log: Log<M>,
    pub(crate) readers: Readers,
    pub(crate) closed: bool,
}

impl<M: Message> Shared<M> {
    pub(crate) fn new() -> Self {
        let state = State { log: Log::new(), readers: Readers::new(), closed: false };
        Self { state: Mutex::new(state), gone: Notify::new(), encodings: AtomicUsize::new(0) }
    }

    /// The state is sound after every statement that can panic (a key's own `Eq`, `Hash`, `Clone` and `Drop` can), so a
    /// poisoned lock is taken all the same.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
