//! A store: the handle that submits messages, reads the latest ones, subscribes and closes. The [log](log) decides
//! what is kept.

pub(crate) mod error;
pub(crate) mod entry;
pub(crate) mod ledger;
pub(crate) mod log;
pub(crate) mod end;
pub(crate) mod registry;
pub(crate) mod shared;
pub(crate) mod sum;
pub(crate) mod snapshot;
mod kept_snapshot;
pub(crate) mod reader;
pub(crate) mod subscription;
pub(crate) mod limits;
pub(crate) mod key_json;
pub(crate) mod kept_as;
pub(crate) mod gap;
pub(crate) mod decode;
mod ordered_map;
mod skip_log;
mod expired;
mod expiry;
mod sweeper;
mod undecoded;
pub(crate) mod read_back;
mod ingest;
mod append;
pub(crate) mod finish;
mod remove;
mod open;
pub(crate) mod closing;
mod send;
pub(crate) mod builder;
pub(crate) mod observers;
pub(crate) mod inspect;

use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use tokio::sync::futures::Notified;

use crate::id::Id;
use crate::message::slot::{Slotted, slot_json};
use crate::message::{Keys, Message};
use crate::store::end::{End, EndReason};
use crate::store::error::SubmitError;
use crate::store::limits::Limits;
use crate::store::shared::{Shared, State};
use crate::store::subscription::Subscription;

/// The messages of one type, their log and their readers. A cheap clone: all clones are the same store.
///
/// A store is created in memory ([`new`](Self::new)), over a backend ([`open`](Self::open)), or with a capacity and a
/// memory of its own ([`builder`](Self::builder)).
///
/// # Ordering
///
/// All messages have one order, whatever their key, retention or reader.
///
/// # Lagging
///
/// A submit never waits for a reader and writes to no socket. A reader that is too slow for the messages that are
/// kept is sent a gap.
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
    /// Creates an empty store in memory.
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
        Self { shared: Arc::new(Shared::new(Limits::of::<M>(), None)) }
    }

    /// Appends a message and returns its id. In memory this never waits for a reader, but takes part in tokio's
    /// cooperative budget, so that a loop of submits lets readers run. With a backend it waits for the
    /// acknowledgement.
    ///
    /// # Errors
    ///
    /// [`SubmitError`], which returns the message. Nothing was appended, except possibly after `Unavailable` with
    /// [`SendOutcome::Unknown`](crate::backend::SendOutcome::Unknown). With a backend, a message that cannot be read back
    /// from its JSON is an `Encode` error.
    ///
    /// # Cancel safety
    ///
    /// In memory, a future that is dropped before it is ready has appended nothing. With a backend the message
    /// appears once or never; it never appears when the backend has not taken it yet.
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
        match &self.shared.backend {
            None => self.append(message),
            // Boxed, so that the future of a submit in memory is small.
            Some(backend) => Box::pin(self.send(backend, message)).await,
        }
    }

    /// Appends a message without `await`, from any thread, and returns its id. With a backend the result is `None`:
    /// the id is not known yet. The backend sends the message when it can, in order; the messages on their way are
    /// bounded by the store's `memory`.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit). With a backend, `Unavailable` with `NotSent` when the messages on their way leave no
    /// room.
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
        match &self.shared.backend {
            None => self.append(message).map(Some),
            Some(backend) => self.send_without_ack(backend, message).map(|()| None),
        }
    }

    /// Returns the newest `latest` message of this key.
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
        let mut state = self.shared.lock();
        let expired = state.expire_now();
        let newest = state.log.newest_latest(key).map(|entry| Arc::clone(&entry.message));
        drop(state);
        drop(expired);
        newest
    }

    /// Returns the `latest` message in this slot of this key, see [`Slotted`].
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(latest)]
    /// # #[derive(Serialize)]
    /// # struct Reading { #[key] device: u32, #[slot] sensor: String, value: f64 }
    /// let store = Store::new();
    /// let reading = |sensor: &str, value| Reading { device: 7, sensor: sensor.into(), value };
    /// store.try_submit(reading("heat", 20.0)).unwrap();
    /// store.try_submit(reading("wind", 3.0)).unwrap();
    /// let heat = ReadingSlot { sensor: "heat".into() };
    /// assert_eq!(store.latest_in(&ReadingKey { device: 7 }, &heat).unwrap().value, 20.0);
    /// ```
    pub fn latest_in(&self, key: &M::Key, slot: &M::Slot) -> Option<Arc<M>>
    where
        M: Slotted,
    {
        // No message has a slot that cannot be serialized.
        let slot = slot_json(slot).ok()?;
        let mut state = self.shared.lock();
        let expired = state.expire_now();
        let newest = state.log.latest_in(key, &slot).map(|entry| Arc::clone(&entry.message));
        drop(state);
        drop(expired);
        newest
    }

    /// Returns the id of the newest message, whatever its key. Read it first, then read the database and render the
    /// page, and let the page connect with `?last_event_id=`: no message is missed between the page and its stream.
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

    /// Subscribes to the messages of all keys, for code on the server.
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

    /// Subscribes to the messages of one key, for code on the server. No message has a key that is longer than
    /// [`Message::MAX_KEY`]: a subscription to one waits until the store is closed.
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

    /// Returns the number of readers: connections and subscriptions.
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

    /// Returns the number of readers that hold this key. Readers of all keys do not count, and a key that is longer than
    /// [`Message::MAX_KEY`] has none.
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
        state.log.key_index(key).map_or(0, |key_index| state.readers.count_of_key(key_index))
    }

    /// Ends every reader of this process that holds this key, a WebSocket with code 1008. Readers of all keys stay.
    ///
    /// Messages that were submitted before are delivered first, and none that are submitted afterwards. With a backend
    /// those before are the messages that were delivered in this process, and those whose submit in this process was
    /// acknowledged. A reader that has not read them within 5 s is ended nevertheless.
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
    /// store.try_submit(Note { user: 7 }).unwrap();
    /// store.disconnect(&NoteKey { user: 7 });
    /// assert!(notes.next().await.is_some());
    /// assert!(notes.next().await.is_none());
    /// # }
    /// ```
    pub fn disconnect(&self, key: &M::Key) {
        let mut state = self.shared.lock();
        let Some(key_index) = state.log.key_index(key) else { return };
        let acknowledged = self.shared.backend.as_ref().map(|backend| backend.outbox.send_log().newest_appended());
        let head = state.log.head();
        let through = state.log.id(acknowledged.map_or(head.offset, |acknowledged| acknowledged.max(head.offset)));
        let wakers = state.readers.end_key(key_index, End::after(through, EndReason::Disconnected));
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        self.shared.disconnected_notify.notify_waiters();
    }

    /// Drops the `latest` values of this key; its queue messages stay. With a backend this is sent to every process,
    /// without waiting for it. If the messages on their way leave no room for it, it is logged and dropped.
    ///
    /// Readers are not told: what a page shows stays there. To tell them, submit a message with
    /// [`#[tombstone]`](macro@crate::store#slots-and-tombstones).
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
        if let Some(backend) = &self.shared.backend {
            return Self::send_forget(backend, key, None);
        }
        let forgotten = self.shared.lock().forget(key, |_| true);
        drop(forgotten);
    }

    /// Drops the `latest` value in this slot of this key, see [`Slotted`]. As after [`forget`](Self::forget), readers are
    /// not told; a `#[tombstone]` tells them. With a backend it is sent as `forget` is.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(latest)]
    /// # #[derive(Serialize)]
    /// # struct Reading { #[key] device: u32, #[slot] sensor: String, value: f64 }
    /// let store = Store::new();
    /// let (device, heat) = (ReadingKey { device: 7 }, ReadingSlot { sensor: "heat".into() });
    /// for sensor in ["heat", "wind"] {
    ///     store.try_submit(Reading { device: 7, sensor: sensor.into(), value: 1.0 }).unwrap();
    /// }
    /// store.forget_slot(&device, &heat);
    /// assert!(store.latest_in(&device, &heat).is_none());
    /// assert_eq!(store.latest(&device).unwrap().sensor, "wind");
    /// ```
    pub fn forget_slot(&self, key: &M::Key, slot: &M::Slot)
    where
        M: Slotted,
    {
        // No message has a slot that cannot be serialized.
        let Ok(slot) = slot_json(slot) else { return };
        if let Some(backend) = &self.shared.backend {
            return Self::send_forget(backend, key, Some(&slot));
        }
        let forgotten = self.shared.lock().forget_slot(key, &slot);
        drop(forgotten);
    }

    /// Ends every reader, a WebSocket with code 1001, and rejects every later submit and connection.
    ///
    /// Readers get what the log has first. With a backend they also get, within 5 s, what was acknowledged to this process
    /// before, and is on its way back.
    ///
    /// What the [`closed`](crate::Subscriber::closed) hooks of its connections submit is taken until the last of them
    /// has returned: what the hook itself submits, by any handle, and not what a task submits that it has spawned.
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
        self.shared.close();
    }

    /// Resolves when the store is closed, its last connection is gone, and the last [`closed`](crate::Subscriber::closed)
    /// hook has returned. A backend has then what these hooks submitted.
    ///
    /// That is at most 5 s after [`close`](Self::close) for connections and hooks that end in time. A connection that is
    /// aborted then has its hook run afterwards, for 5 s at most.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
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
        self.wait_until(|state| state.closed && state.readers.connections() == 0 && state.hooks == 0).await;
        self.drain_hooks().await;
    }

    /// Resolves when the store is closed, even if connections are still open.
    pub(crate) async fn closing(&self) {
        self.wait_until(|state| state.closed).await;
    }

    /// Returns a future that resolves at the next [`disconnect`](Self::disconnect) after it was enabled.
    pub(crate) fn next_disconnect(&self) -> Notified<'_> {
        self.shared.disconnected_notify.notified()
    }

    async fn wait_until(&self, is_reached: impl Fn(&State<M>) -> bool) {
        loop {
            let notified = self.shared.closed_notify.notified();
            if is_reached(&self.shared.lock()) {
                return;
            }
            notified.await;
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }

    pub(crate) fn shared(&self) -> &Arc<Shared<M>> {
        &self.shared
    }

    /// Makes `memory` count this encoding too from now on.
    pub(crate) fn enable_encoding(&self, slot: usize) {
        self.shared.enable_encoding(slot);
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
