//! Builds a store whose bounds are not those that the type of its messages declares.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::backend::engine::{Backend, OpenError};
use crate::message::Message;
use crate::store::Store;
use crate::store::limits::Limits;
use crate::store::shared::Shared;

/// Builds a [`Store`] with its own capacity, memory and longest key, for example from the configuration of a server.
///
/// | option | default | unit | 0 means |
/// |---|---|---|---|
/// | [`capacity`](Self::capacity) | [`Message::CAPACITY`] | queue messages of each key | 1 |
/// | [`memory`](Self::memory) | [`Message::MEMORY`] | encoded bytes | no message fits |
/// | [`max_key`](Self::max_key) | [`Message::MAX_KEY`] | bytes of a key's JSON | no key fits, except one without fields |
///
/// ```
/// use tornadose::prelude::*;
///
/// #[store(queue, capacity = 1024)]
/// #[derive(Serialize)]
/// struct Line(String);
///
/// let store = Store::<Line>::builder().capacity(16).memory(1 << 20).build();
/// store.try_submit(Line("hi".into())).unwrap();
/// ```
#[must_use = "a builder does nothing until `build`, `open` or `redis` is called"]
pub struct StoreBuilder<M> {
    limits: Limits,
    message: PhantomData<fn() -> M>,
}

impl<M: Message> Store<M> {
    /// Returns a builder, for a store whose bounds are not those that the type of its messages declares.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// let store: Store<Line> = Store::builder().memory(512 << 20).build();
    /// ```
    pub fn builder() -> StoreBuilder<M> {
        StoreBuilder { limits: Limits::of::<M>(), message: PhantomData }
    }
}

impl<M: Message> StoreBuilder<M> {
    /// Sets how many queue messages of each key are kept; 0 counts as 1.
    ///
    /// ```
    /// use futures_util::{FutureExt, StreamExt};
    /// use tornadose::{GapReason, Received, prelude::*};
    ///
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// let store = Store::builder().capacity(1).build();
    /// let mut lines = store.subscribe();
    /// for text in ["one", "two", "three"] {
    ///     store.try_submit(Line(text.into())).unwrap();
    /// }
    /// let first = lines.next().now_or_never().flatten();
    /// assert!(matches!(first, Some(Received::Gap { reason: GapReason::Lagged, missed: Some(2) })));
    /// ```
    pub fn capacity(mut self, messages: usize) -> Self {
        self.limits = self.limits.with_capacity(messages);
        self
    }

    /// Sets how many encoded bytes the store keeps, counted as in [`Message::MEMORY`]. With a backend, messages that are
    /// not acknowledged yet have a bound of their own of as many bytes.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// let store = Store::builder().memory(4096).build();
    /// let error = store.try_submit(Line("x".repeat(5000))).unwrap_err();
    /// assert_eq!(error.to_string(), "the message takes 6026 bytes, more than the store's `memory`: raise it");
    /// ```
    pub fn memory(mut self, bytes: usize) -> Self {
        self.limits.memory = bytes;
        self
    }

    /// Sets the longest JSON of a key, in bytes. A submit with a longer key fails, and a connection with one gets the
    /// status 400.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Note { #[key] user: String }
    /// let store = Store::builder().max_key(20).build();
    /// assert!(store.try_submit(Note { user: "ada".into() }).is_ok());
    /// let error = store.try_submit(Note { user: "ada lovelace".into() }).unwrap_err();
    /// assert_eq!(error.to_string(), "the key takes 23 bytes of JSON, more than the store's `max_key`: raise it");
    /// ```
    pub fn max_key(mut self, bytes: usize) -> Self {
        self.limits.max_key = bytes;
        self
    }

    /// Creates an empty store in memory.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(latest)]
    /// # #[derive(Serialize)]
    /// # struct Tick(f64);
    /// let store: Store<Tick> = Store::builder().build();
    /// assert_eq!(store.subscribers(), 0);
    /// ```
    pub fn build(self) -> Store<M> {
        Store { shared: Arc::new(Shared::new(self.limits, None)) }
    }
}

impl<M: Message + Serialize + DeserializeOwned> StoreBuilder<M> {
    /// Opens a store whose log is filled by a [`Backend`], as [`Store::open`] does.
    ///
    /// # Errors
    ///
    /// [`OpenError`], when the backend cannot be reached or rejects the store.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, as [`Store::open`] does.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped before it is ready has no effect: the backend is dropped too.
    ///
    /// ```
    /// # use tornadose::backend::{Backend, BackendLink, Epoch, Offset, OpenError};
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Line(String);
    /// # struct Empty;
    /// # impl Backend for Empty {
    /// #     async fn run(self, link: BackendLink) -> Result<(), OpenError> {
    /// #         link.reset(Epoch::fresh(), Offset::START);
    /// #         link.caught_up();
    /// #         std::future::pending().await
    /// #     }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), OpenError> {
    /// let store = Store::<Line>::builder().memory(4096).open(Empty).await?;
    /// let error = store.submit(Line("x".repeat(5000))).await.unwrap_err();
    /// assert_eq!(error.to_string(), "the message takes 6026 bytes, more than the store's `memory`: raise it");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn open(self, backend: impl Backend) -> Result<Store<M>, OpenError> {
        Store::open_with(backend, self.limits).await
    }

    /// Opens a store whose log is a Redis Stream, as `Store::redis` does.
    ///
    /// # Errors
    ///
    /// [`OpenError`], as `Store::redis` returns it.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with time and I/O enabled.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Line(String);
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// // Nothing listens at this port.
    /// let opened = Store::<Line>::builder().memory(1 << 30).redis("redis://127.0.0.1:1/").await;
    /// assert!(opened.is_err());
    /// # }
    /// ```
    #[cfg(feature = "redis")]
    pub async fn redis(self, url: impl Into<String>) -> Result<Store<M>, OpenError> {
        self.open(crate::backend::redis::Redis::streams(url)).await
    }
}

impl<M> Clone for StoreBuilder<M> {
    fn clone(&self) -> Self {
        Self { limits: self.limits, message: PhantomData }
    }
}

impl<M> fmt::Debug for StoreBuilder<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Limits { capacity, memory, max_key } = self.limits;
        let mut builder = f.debug_struct("StoreBuilder");
        builder.field("capacity", &capacity).field("memory", &memory).field("max_key", &max_key).finish()
    }
}
