//! The handle of a store: submit, latest, subscribe, close. What is kept, and for whom, is the log's affair.

pub(crate) mod error;
pub(crate) mod entry;
pub(crate) mod ledger;
pub(crate) mod log;
pub(crate) mod registry;
pub(crate) mod shared;
pub(crate) mod reader;
pub(crate) mod subscription;
mod ingest;
mod open;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use crate::id::Id;
use crate::message::{Keys, Message, Retention};
use crate::metrics;
use crate::store::error::SubmitError;
use crate::store::log::Refused;
use crate::store::registry::End;
use crate::store::shared::{Shared, State};
use crate::store::subscription::Subscription;

/// Messages of one type, their log and their readers. A cheap clone: all clones are the same store.
///
/// # Ordering
///
/// One order for all messages, whatever their key, kind or reader.
///
/// # Lagging
///
/// A submit never waits for a reader and writes no socket. A reader that is too slow for what is kept is told what it missed.
///
/// # Closing
///
/// [`close`](Self::close) ends every reader; [`closed`](Self::closed) resolves when the last connection is gone.
///
/// ```
/// use tornadose::prelude::*;
///
/// #[store(latest)]
/// #[derive(Serialize)]
/// struct Tick(f64);
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let store = Store::new();
/// store.submit(Tick(0.5)).await.unwrap();
/// assert_eq!(store.latest(&tornadose::NoKey).unwrap().0, 0.5);
/// # }
/// ```
pub struct Store<M: Message> {
    shared: Arc<Shared<M>>,
}

impl<M: Message> Store<M> {
    /// An empty store in memory.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(latest)]
    /// # #[derive(Serialize)]
    /// # struct Tick(f64);
    /// let store: Store<Tick> = Store::new();
    /// assert_eq!(store.subscribers(), 0);
    /// ```
    pub fn new() -> Self {
        Self { shared: Arc::new(Shared::new(None)) }
    }

    /// Appends a message, and answers its id once it is in the log. In memory that is at once: it never waits for a reader,
    /// but takes part in tokio's cooperative budget, so that a loop of submits lets readers run.
    ///
    /// # Errors
    ///
    /// [`SubmitError`], which gives the message back; then nothing was appended, but for `Unavailable` with
    /// [`Outcome::Unknown`](crate::Outcome::Unknown).
    ///
    /// # Cancel safety
    ///
    /// In memory, a future that is dropped before it is ready has appended nothing. Over a backend the message appears once or
    /// never; when the backend has not taken it yet, never.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tornadose::SubmitError<Line>> {
    /// let store = Store::new();
    /// let id = store.submit(Line("hi".into())).await?;
    /// assert_eq!(id, store.head());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn submit(&self, message: M) -> Result<Id, SubmitError<M>> {
        tokio::task::coop::consume_budget().await;
        match &self.shared.remote {
            None => self.append(message),
            // In a box, so that who submits in memory does not carry its size.
            Some(remote) => Box::pin(self.send(remote, message)).await,
        }
    }

    /// Appends a message without `await`, from any thread. `None` stands for an id that is not known yet, because the
    /// message was handed to a backend; in memory there is always one. The backend sends it whenever it can, in order; what is on
    /// its way is bounded by the store's `memory`.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit).
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// let store = Store::new();
    /// assert_eq!(store.try_submit(Line("hi".into())).unwrap(), Some(store.head()));
    /// ```
    pub fn try_submit(&self, message: M) -> Result<Option<Id>, SubmitError<M>> {
        match &self.shared.remote {
            None => self.append(message).map(Some),
            Some(remote) => self.leave(remote, message).map(|()| None),
        }
    }

    fn append(&self, message: M) -> Result<Id, SubmitError<M>> {
        let event = match message.event() {
            Ok(event) => event,
            Err(error) => return Err(SubmitError::Encode { message, error }),
        };
        let retention = if M::HAS_QUEUE { message.retention() } else { Retention::Latest };
        let (key, message) = (message.key(), Arc::new(message));
        let mut state = self.shared.lock();
        let appended = if state.closed {
            Err(None)
        } else {
            let (offset, copies) = (state.log.next(), self.shared.copies());
            state.log.append(offset, key, Arc::clone(&message), event, retention, copies).map_err(Some)
        };
        let appended = match appended {
            Ok(appended) => appended,
            Err(refused) => {
                drop(state);
                let message = Arc::into_inner(message).expect("a refused message is held by nobody else");
                return Err(match refused {
                    None => SubmitError::Closed { message },
                    Some(Refused::Full) => SubmitError::Full { message },
                    Some(Refused::TooLarge { size }) => SubmitError::TooLarge { message, size },
                });
            }
        };
        let woken = state.hand(&appended.entry);
        // Wake and drop after unlocking: a woken reader's first act may be to take this lock, and a message's `Drop` may be.
        drop(state);
        woken.wake();
        drop(appended.displaced);
        metrics::submitted();
        Ok(appended.entry.id)
    }

    /// The newest message of this key that is kept as `latest`.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(latest)]
    /// # #[derive(Serialize)]
    /// # struct Quote { #[key] symbol: String, bid: f64 }
    /// let store = Store::new();
    /// store.try_submit(Quote { symbol: "AAPL".into(), bid: 10.0 }).unwrap();
    /// assert_eq!(store.latest(&QuoteKey { symbol: "AAPL".into() }).unwrap().bid, 10.0);
    /// assert!(store.latest(&QuoteKey { symbol: "MSFT".into() }).is_none());
    /// ```
    pub fn latest(&self, key: &M::Key) -> Option<Arc<M>> {
        self.shared.lock().log.newest_latest(key).map(|entry| Arc::clone(&entry.message))
    }

    /// The id of the newest message, whatever its key. Read it, then read the database and render the page, and let the page
    /// connect with `?last_event_id=`: no message is missed between page and stream.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// let store = Store::new();
    /// let before = store.head();
    /// store.try_submit(Line("hi".into())).unwrap();
    /// assert_ne!(store.head(), before);
    /// ```
    pub fn head(&self) -> Id {
        self.shared.lock().log.head()
    }

    /// The messages of all keys, for code on the server.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(latest)]
    /// # #[derive(Serialize)]
    /// # struct Tick(f64);
    /// let store: Store<Tick> = Store::new();
    /// let ticks = store.subscribe();
    /// assert_eq!(store.subscribers(), 1);
    /// # drop(ticks);
    /// ```
    pub fn subscribe(&self) -> Subscription<M> {
        Subscription::new(&self.shared, Keys::All)
    }

    /// The messages of one key, for code on the server.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(latest)]
    /// # #[derive(Serialize)]
    /// # struct Quote { #[key] symbol: String, bid: f64 }
    /// let store: Store<Quote> = Store::new();
    /// let apple = store.subscribe_to(QuoteKey { symbol: "AAPL".into() });
    /// assert_eq!(store.subscribers_of(&QuoteKey { symbol: "AAPL".into() }), 1);
    /// # drop(apple);
    /// ```
    pub fn subscribe_to(&self, key: M::Key) -> Subscription<M> {
        Subscription::new(&self.shared, Keys::One(key))
    }

    /// How many readers there are, connections and subscriptions.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(latest)]
    /// # #[derive(Serialize)]
    /// # struct Tick(f64);
    /// assert_eq!(Store::<Tick>::new().subscribers(), 0);
    /// ```
    pub fn subscribers(&self) -> usize {
        self.shared.lock().readers.count()
    }

    /// How many readers hold this key; those of all keys do not count.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(latest)]
    /// # #[derive(Serialize)]
    /// # struct Quote { #[key] symbol: String, bid: f64 }
    /// let store: Store<Quote> = Store::new();
    /// let all = store.subscribe();
    /// assert_eq!(store.subscribers_of(&QuoteKey { symbol: "AAPL".into() }), 0);
    /// # drop(all);
    /// ```
    pub fn subscribers_of(&self, key: &M::Key) -> usize {
        let state = self.shared.lock();
        state.log.topic_of(key).map_or(0, |topic| state.readers.count_of(topic))
    }

    /// Ends every reader that holds this key, a WebSocket with 1008; those of all keys stay.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Note { #[key] user: u64 }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use futures_util::StreamExt;
    ///
    /// let store: Store<Note> = Store::new();
    /// let mut notes = store.subscribe_to(NoteKey { user: 7 });
    /// store.disconnect(&NoteKey { user: 7 });
    /// assert!(notes.next().await.is_none());
    /// # }
    /// ```
    pub fn disconnect(&self, key: &M::Key) {
        let mut state = self.shared.lock();
        let Some(topic) = state.log.topic_of(key) else { return };
        let waiting = state.readers.end_topic(topic, End::Disconnected);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Drops the `latest` values of this key; its queue messages stay. Over a backend every process does, as soon as it hears of it.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(latest)]
    /// # #[derive(Serialize)]
    /// # struct Quote { #[key] symbol: String, bid: f64 }
    /// let store = Store::new();
    /// let apple = QuoteKey { symbol: "AAPL".into() };
    /// store.try_submit(Quote { symbol: "AAPL".into(), bid: 10.0 }).unwrap();
    /// store.forget(&apple);
    /// assert!(store.latest(&apple).is_none());
    /// ```
    pub fn forget(&self, key: &M::Key) {
        if let Some(remote) = &self.shared.remote {
            return Self::send_forget(remote, key);
        }
        let forgotten = self.shared.lock().forget(key);
        drop(forgotten);
    }

    /// Ends every reader, a WebSocket with 1001, and refuses every later submit and connection.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(latest)]
    /// # #[derive(Serialize)]
    /// # struct Tick(f64);
    /// let store = Store::new();
    /// store.close();
    /// let error = store.try_submit(Tick(0.5)).unwrap_err();
    /// assert_eq!(error.to_string(), "the store is closed");
    /// assert_eq!(error.into_message().0, 0.5);
    /// ```
    pub fn close(&self) {
        let mut state = self.shared.lock();
        state.closed = true;
        let waiting = state.readers.end_all(End::Closed);
        let readers = state.readers.count();
        drop(state);
        if let Some(remote) = &self.shared.remote {
            remote.outbox.close();
        }
        tracing::debug!(target: "tornadose", channel = M::CHANNEL, readers, "store closes");
        waiting.into_iter().for_each(Waker::wake);
        self.shared.gone.notify_waiters();
    }

    /// Resolves when the store is closed and its last connection is gone: at most 5 s after [`close`](Self::close).
    ///
    /// # Cancel safety
    ///
    /// It can be dropped and asked again.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(latest)]
    /// # #[derive(Serialize)]
    /// # struct Tick(f64);
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let store: Store<Tick> = Store::new();
    /// store.close();
    /// store.closed().await;
    /// # }
    /// ```
    pub async fn closed(&self) {
        self.wait_until(|state| state.closed && state.readers.connections() == 0).await;
    }

    /// Resolves when the store is closed, its connections gone or not.
    pub(crate) async fn closing(&self) {
        self.wait_until(|state| state.closed).await;
    }

    async fn wait_until(&self, reached: impl Fn(&State<M>) -> bool) {
        loop {
            let told = self.shared.gone.notified();
            if reached(&self.shared.lock()) {
                return;
            }
            told.await;
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }

    pub(crate) fn shared(&self) -> &Arc<Shared<M>> {
        &self.shared
    }

    /// Has `memory` count this encoding too from now on.
    pub(crate) fn will_encode(&self, slot: usize) {
        self.shared.encodings.fetch_or(1 << slot, Ordering::Relaxed);
    }
}

impl<M: Message> Default for Store<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Message> Clone for Store<M> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<M: Message> fmt::Debug for Store<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("channel", &M::CHANNEL).finish_non_exhaustive()
    }
}
