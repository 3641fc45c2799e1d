//! What the handles of a store share: the log, its readers, one lock. What they do under it is theirs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::backend::outbox::Outbox;
use crate::event::error::EncodeError;
use crate::message::Message;
use crate::store::entry::Entry;
use crate::store::log::Log;
use crate::store::registry::{Readers, Woken};

pub(crate) struct Shared<M: Message> {
    state: Mutex<State<M>>,
    /// Told when the store is closed, and again when the last connection of a closed store is gone.
    pub(crate) gone: Notify,
    /// Bit by bit, the encodings that handlers of this store ask for.
    pub(crate) encodings: AtomicUsize,
    /// Where messages go instead of into the log.
    pub(crate) remote: Option<Remote<M>>,
}

/// The way to a backend, from which the log is filled.
pub(crate) struct Remote<M> {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) deadline: Duration,
    /// Appends the message's JSON: its `Serialize`, which only such a store asks of it.
    pub(crate) write: fn(&M, &mut Vec<u8>) -> Result<(), EncodeError>,
}

pub(crate) struct State<M: Message> {
    pub(crate) log: Log<M>,
    pub(crate) readers: Readers<M>,
    pub(crate) closed: bool,
    /// Whether what there is can be heard; a store in memory hears itself.
    pub(crate) reachable: bool,
    /// Whether the log is being filled with what was there before; until then it is nothing to read.
    pub(crate) loading: bool,
}

impl<M: Message> State<M> {
    /// Hands what was appended to its readers; who is woken by it is woken after unlocking.
    pub(crate) fn hand(&mut self, entry: &Arc<Entry<M>>) -> Woken<M> {
        self.readers.hand(entry, self.log.turn())
    }

    /// Drops the `latest` values of a key, also where they lie ready for a reader. They are dropped after unlocking.
    pub(crate) fn forget(&mut self, key: &M::Key) -> Vec<Arc<Entry<M>>> {
        if let Some(topic) = self.log.topic_of(key) {
            self.readers.take_back(topic);
        }
        self.log.forget(key)
    }
}

impl<M: Message> Shared<M> {
    pub(crate) fn new(remote: Option<Remote<M>>) -> Self {
        let reachable = remote.is_none();
        let state = State { log: Log::new(), readers: Readers::new(), closed: false, reachable, loading: false };
        Self { state: Mutex::new(state), gone: Notify::new(), encodings: AtomicUsize::new(0), remote }
    }

    /// How many forms of an event are kept.
    pub(crate) fn copies(&self) -> usize {
        1 + self.encodings.load(Ordering::Relaxed).count_ones() as usize
    }

    /// The state is sound after every statement that can panic (a key's own `Eq`, `Hash`, `Clone` and `Drop` can), so a
    /// poisoned lock is taken all the same.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody holds the store any more: neither handles nor readers.
impl<M: Message> Drop for Shared<M> {
    fn drop(&mut self) {
        if let Some(remote) = &self.remote {
            remote.outbox.close();
        }
    }
}
