//! Finishes: the last word of a key, after which nothing is submitted to it.

use std::sync::Arc;

use futures_core::future::BoxFuture;
use tokio::sync::Notify;

use crate::backend::engine::Features;
use crate::backend::outgoing::OutgoingKind;
use crate::id::Id;
use crate::message::{Finish, Keys, Message};
use crate::store::Store;
use crate::store::error::SubmitError;
use crate::store::log::AppendError;
use crate::store::shared::{FinishWaiter, Shared};

/// What a store knows of a key.
///
/// ```
/// # use tornadose::prelude::*;
/// # #[store(queue)]
/// # #[derive(Serialize)]
/// # struct Line(String);
/// let store: Store<Line> = Store::new();
/// assert_eq!(store.key_state(&tornadose::NoKey), tornadose::KeyState::Unknown);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyState {
    /// Nothing: no message was submitted to it, or it was forgotten.
    Unknown,
    /// Messages of it are kept, or were, and more may follow.
    Open,
    /// It is finished.
    Finished,
}

impl<M: Message> Store<M> {
    /// Finishes a key: connections that read it alone get everything that was submitted before, then the event
    /// `tornadose:finished`, and end for good; a WebSocket with code 1000. So does a connection of several keys with the
    /// last of them. Others get the event with the key, and stay. Later submits to the key fail with
    /// [`Finished`](SubmitError::Finished).
    ///
    /// Returns the id of the finish; of a key that is finished already, that of its finish. A key without messages can
    /// be finished too.
    ///
    /// The store remembers a finish until 24 hours, or the `ttl` of its messages, have passed and nothing is kept of its key, and takes at most a
    /// tenth of its `memory` for all of them; beyond that it forgets the oldest. A key that was forgotten is new.
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
    /// # use tornadose::prelude::*;
    /// # use tornadose::{KeyState, SubmitError};
    /// #[store(queue, finish)]
    /// #[derive(Serialize)]
    /// struct Line { #[key] run: u64, text: String }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let (store, run) = (Store::new(), LineKey { run: 7 });
    /// store.submit(Line { run: 7, text: "hi".into() }).await.unwrap();
    /// assert_eq!(store.key_state(&run), KeyState::Open);
    /// let finish = store.finish(&run).await.unwrap();
    /// assert_eq!(store.finished(&run).await, Some(finish));
    /// let error = store.submit(Line { run: 7, text: "late".into() }).await.unwrap_err();
    /// assert!(matches!(error, SubmitError::Finished { .. }));
    /// # }
    /// ```
    // Rustc would report the bound of an `async fn` three times.
    pub fn finish(&self, key: &M::Key) -> BoxFuture<'_, Result<Id, SubmitError<()>>>
    where
        M: Finish,
    {
        const { assert!(M::CAN_FINISH, "set `CAN_FINISH` of the message to `true`") }
        let key = key.clone();
        Box::pin(async move { self.finish_key(&key).await })
    }

    async fn finish_key(&self, key: &M::Key) -> Result<Id, SubmitError<()>> {
        tokio::task::coop::consume_budget().await;
        if let Some(backend) = &self.shared().backend {
            if !backend.features.contains(Features::FINISH) {
                return Err(SubmitError::Unsupported { message: () });
            }
            return Box::pin(self.send_notice(backend, key, |key| OutgoingKind::Finish { key })).await;
        }
        let mut state = self.shared().lock();
        if !state.takes_submit() {
            return Err(SubmitError::Closed { message: () });
        }
        // A finish that is old is forgotten here, and its key may be too.
        if let Some(finish) = state.log.finish_of_key(key) {
            return Ok(state.log.id(finish));
        }
        let key_index = state.log.index_for_notice(key).map_err(key_error)?;
        let (offset, finished) = state.finish(key_index);
        let id = state.log.id(offset);
        drop(state);
        finished.wake();
        Ok(id)
    }

    /// Resolves when the key is finished, by any process, and returns the id of its finish: at once when it is finished
    /// already. Returns `None` when the store is closed before.
    ///
    /// A producer waits for it beside its work, so that anybody can stop it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// #[store(queue)]
    /// #[derive(Serialize)]
    /// enum Answer {
    ///     Token { #[key] run: u64, text: String },
    ///     #[finish]
    ///     Stopped { #[key] run: u64 },
    /// }
    ///
    /// async fn answer(store: Store<Answer>, run: u64) {
    ///     let tokens = async {
    ///         // Each token of the model is submitted.
    ///         # std::future::pending::<()>().await
    ///     };
    ///     tokio::select! {
    ///         biased;
    ///         _ = store.finished(&AnswerKey { run }) => {}
    ///         () = tokens => {}
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let store = Store::new();
    /// let producer = tokio::spawn(answer(store.clone(), 7));
    /// store.submit(Answer::Stopped { run: 7 }).await.unwrap();
    /// producer.await.unwrap();
    /// # }
    /// ```
    // The key is cloned, so that it can be written in place in a `select!`.
    pub fn finished(&self, key: &M::Key) -> BoxFuture<'_, Option<Id>>
    where
        M: Finish,
    {
        let key = key.clone();
        Box::pin(async move { self.wait_until_finished(&key).await })
    }

    async fn wait_until_finished(&self, key: &M::Key) -> Option<Id> {
        let Some(waiting) = Waiting::start(self.shared(), key) else {
            // No message can have the key, and it cannot be finished.
            self.closing().await;
            return None;
        };
        loop {
            let notified = waiting.notify.notified();
            {
                let mut state = self.shared().lock();
                if let Some(finish) = state.log.finish_of(waiting.key_index) {
                    return Some(state.log.id(finish));
                }
                if state.closed {
                    return None;
                }
            }
            notified.await;
        }
    }

    /// Returns what the store knows of a key.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # use tornadose::KeyState;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line { #[key] run: u64 }
    /// let store = Store::new();
    /// store.try_submit(Line { run: 7 }).unwrap();
    /// let states = [7, 8].map(|run| store.key_state(&LineKey { run }));
    /// assert_eq!(states, [KeyState::Open, KeyState::Unknown]);
    /// ```
    pub fn key_state(&self, key: &M::Key) -> KeyState {
        let mut state = self.shared().lock();
        match state.log.find(key) {
            Some(key_index) if state.log.finish_of(key_index).is_some() => KeyState::Finished,
            // A finish that was old is forgotten now, and its key may be too.
            Some(_) if state.log.find(key).is_some_and(|key_index| state.log.is_known(key_index)) => KeyState::Open,
            _ => KeyState::Unknown,
        }
    }
}

impl<M: Message> Store<M> {
    /// Returns whether a client with this id has seen all that there will be of these keys: all of them are finished.
    pub(crate) fn has_seen_all(&self, keys: &Keys<M::Key>, id: Id) -> bool {
        let keys = match keys {
            Keys::All => return false,
            Keys::One(key) => std::slice::from_ref(key),
            Keys::Set(keys) => keys.as_slice(),
        };
        let mut state = self.shared().lock();
        if state.loading {
            return false;
        }
        let key_indexes: Option<Vec<usize>> = keys.iter().map(|key| state.log.find(key)).collect();
        let finish = key_indexes.and_then(|key_indexes| state.log.newest_finish_of(&key_indexes));
        let head = state.log.head();
        // Whether the log knows the id does not matter: nothing follows the finishes.
        finish.is_some_and(|finish| id.epoch == head.epoch && (finish..=head.offset).contains(&id.offset))
    }
}

/// Converts the reason why a key can have no message.
pub(super) fn key_error(error: AppendError) -> SubmitError<()> {
    let message = ();
    match error {
        AppendError::Key(error) => SubmitError::Encode { message, error },
        AppendError::KeyTooLong { size } => SubmitError::KeyTooLong { message, size },
        AppendError::TooLarge { size } => SubmitError::TooLarge { message, size },
        AppendError::Finished => SubmitError::Finished { message },
        AppendError::Full => SubmitError::Full { message },
    }
}

/// One who waits until a key is finished, and holds the key meanwhile.
struct Waiting<'a, M: Message> {
    shared: &'a Shared<M>,
    key_index: usize,
    notify: Arc<Notify>,
}

impl<'a, M: Message> Waiting<'a, M> {
    fn start(shared: &'a Shared<M>, key: &M::Key) -> Option<Self> {
        let mut state = shared.lock();
        let key_index = state.log.acquire(key.clone())?;
        let new = || FinishWaiter { notify: Arc::new(Notify::new()), count: 0 };
        let waiter = state.finish_waiters.entry(key_index).or_insert_with(new);
        waiter.count += 1;
        let notify = Arc::clone(&waiter.notify);
        Some(Self { shared, key_index, notify })
    }
}

impl<M: Message> Drop for Waiting<'_, M> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if let Some(waiter) = state.finish_waiters.get_mut(&self.key_index) {
            waiter.count -= 1;
            if waiter.count == 0 {
                state.finish_waiters.remove(&self.key_index);
            }
        }
        state.log.release(self.key_index);
    }
}
