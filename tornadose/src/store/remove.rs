//! The removal of what a store keeps of a key.

use std::sync::Arc;
use std::task::Waker;

use crate::backend::engine::Features;
use crate::backend::outgoing::OutgoingKind;
use crate::id::{Id, Offset};
use crate::message::Message;
use crate::metrics;
use crate::store::Store;
use crate::store::entry::Entry;
use crate::store::error::SubmitError;
use crate::store::finish::key_error;
use crate::store::shared::State;

impl<M: Message> Store<M> {
    /// Removes everything that the store keeps of a key: its messages, its `latest` values and its finish. The key is
    /// open then. Readers of the key get the gap `removed`, with the number of messages that they had not read, and
    /// stay. A client that resumes from an earlier id gets the gap `trimmed`. Readers of a type with
    /// [snapshots](crate::Message::SNAPSHOT) get the first snapshot of a new key, and the gap only for messages that no
    /// snapshot contains.
    ///
    /// Returns the id of the removal.
    ///
    /// # Errors
    ///
    /// `Closed`, `KeyTooLong`, `Encode`, `Refused` and `Unavailable`, as [`submit`](Self::submit); `Unsupported` by a backend
    /// that cannot.
    ///
    /// # Cancel safety
    ///
    /// As [`submit`](Self::submit).
    ///
    /// ```
    /// use futures_util::StreamExt;
    /// use tornadose::{GapReason, Received, prelude::*};
    ///
    /// #[store(queue)]
    /// #[derive(Serialize)]
    /// struct Line { #[key] run: u64, text: String }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let (store, run) = (Store::new(), LineKey { run: 7 });
    /// let mut lines = store.subscribe_to(run.clone());
    /// store.submit(Line { run: 7, text: "a secret".into() }).await.unwrap();
    /// store.remove(&run).await.unwrap();
    /// let removed = Received::Gap { reason: GapReason::Removed, missed: Some(1) };
    /// assert!(lines.next().await == Some(removed));
    /// # }
    /// # impl PartialEq for Line { fn eq(&self, _: &Self) -> bool { false } }
    /// ```
    pub async fn remove(&self, key: &M::Key) -> Result<Id, SubmitError<()>> {
        tokio::task::coop::consume_budget().await;
        if let Some(backend) = &self.shared().backend {
            if !backend.features.contains(Features::REMOVE) {
                return Err(SubmitError::Unsupported { message: () });
            }
            return Box::pin(self.send_notice(backend, key, |key| OutgoingKind::Remove { key })).await;
        }
        let mut state = self.shared().lock();
        if !state.takes_submit() {
            return Err(SubmitError::Closed { message: () });
        }
        let key_index = state.log.index_for_notice(key).map_err(key_error)?;
        let offset = state.log.next();
        let removed = state.remove(offset, key_index);
        let id = state.log.id(offset);
        drop(state);
        removed.wake();
        Ok(id)
    }
}

/// What a removal has dropped, and the readers that have to read the log. Both are used after unlocking the store.
#[must_use = "the readers have to be woken"]
pub(crate) struct Removed<M> {
    dropped: Vec<Arc<Entry<M>>>,
    readers: Vec<Waker>,
}

impl<M> Removed<M> {
    /// Wakes the readers. The store must not be locked.
    pub(crate) fn wake(self) {
        self.readers.into_iter().for_each(Waker::wake);
        drop(self.dropped);
        metrics::removed();
    }
}

impl<M: Message> State<M> {
    /// Removes what is kept of a key, at an offset above the head.
    pub(crate) fn remove(&mut self, offset: Offset, key_index: usize) -> Removed<M> {
        let has_readers = self.readers.has_readers_of(key_index);
        let dropped = self.log.remove(offset, key_index, has_readers);
        Removed { dropped, readers: self.readers.wake_to_reread(key_index) }
    }
}
