//! A store that a backend fills: how it is opened, and the task that runs the backend.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout, timeout_at};

use crate::backend::engine::{Backend, OpenError};
use crate::backend::incoming::LogSink;
use crate::backend::link::BackendLink;
use crate::backend::outbox::{Outbox, is_valid_sender_id};
use crate::message::Message;
use crate::store::Store;
use crate::store::end::DRAIN_TIMEOUT;
use crate::store::ingest::Ingest;
use crate::store::limits::Limits;
use crate::store::shared::{BackendHandle, Shared};
use crate::task;

impl<M: Message + Serialize + DeserializeOwned> Store<M> {
    /// Opens a store whose log is filled by a [`Backend`], so that several processes show the same messages. Resolves
    /// when everything that the backend has kept is loaded.
    ///
    /// A submit resolves when the backend has acknowledged it. The log follows when the backend returns the message,
    /// as it returns those of other processes; readers, [`latest`](Self::latest) and [`head`](Self::head) follow the
    /// log.
    ///
    /// The backend runs in a task of its own, until the store is closed or its last handle and reader are dropped. When
    /// the backend or the runtime ends before, the store is closed.
    ///
    /// Readers receive a message as it was read back from its JSON. A submit reads it back before it is sent, so that
    /// every process can deliver it. A message of another process is decoded when it arrives, or, if this process has no
    /// reader of its key, by the task that opens the first one.
    ///
    /// # Errors
    ///
    /// [`OpenError`], when the backend cannot be reached or rejects the store.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime. The runtime needs time enabled, and I/O for a backend that needs it.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped before it is ready has no effect: the backend is dropped too.
    ///
    /// ```
    /// use tornadose::backend::{Backend, BackendLink, Epoch, Offset, OpenError};
    /// use tornadose::prelude::*;
    ///
    /// #[store(queue)]
    /// #[derive(Serialize, Deserialize)]
    /// struct Line(String);
    ///
    /// /// An engine without messages, which takes none.
    /// struct Empty;
    ///
    /// impl Backend for Empty {
    ///     async fn run(self, link: BackendLink) -> Result<(), OpenError> {
    ///         link.reset(Epoch::fresh(), Offset::START);
    ///         link.caught_up();
    ///         std::future::pending().await
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), OpenError> {
    /// let store = Store::<Line>::open(Empty).await?;
    /// assert!(store.head().to_string().ends_with("-0"));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn open(backend: impl Backend) -> Result<Self, OpenError> {
        Self::open_with(backend, Limits::of::<M>()).await
    }

    pub(super) async fn open_with<B: Backend>(backend: B, limits: Limits) -> Result<Self, OpenError> {
        let sender_id = backend.sender_id();
        if let Some(invalid) = sender_id.as_deref().filter(|sender_id| !is_valid_sender_id(sender_id)) {
            let rule = "a sender id has 1 to 64 ASCII letters and digits";
            return Err(OpenError::new(format!("{rule}, and this is {invalid:?}")));
        }
        let outbox = Arc::new(Outbox::new(limits.memory, M::CHANNEL, sender_id));
        let ack_timeout = backend.ack_timeout();
        let handle = BackendHandle::new(Arc::clone(&outbox), ack_timeout, limits, B::SUPPORTS);
        let shared = Arc::new(Shared::new(limits, Some(handle)));
        let ingest = Arc::new(Ingest::new(&shared));
        let mut opened = ingest.opened();
        let link = BackendLink::new(Arc::clone(&ingest) as Arc<dyn LogSink>, Arc::clone(&outbox), ack_timeout);
        let open_error = Arc::new(Mutex::new(None));
        // Made before the task, so that the store is closed also when the runtime drops the task unpolled.
        let running = Running { ingest, outbox, open_error: Arc::clone(&open_error) };
        task::spawn(Box::pin(run_backend(backend, link, running)));
        // Resolves with an error when the task has ended.
        if opened.wait_for(|opened| *opened).await.is_err() {
            let error = open_error.lock().unwrap_or_else(PoisonError::into_inner).take();
            let stopped = "the backend stopped before it was ready (`caught_up` was never called)";
            return Err(error.unwrap_or_else(|| OpenError::new(stopped)));
        }
        Ok(Self { shared })
    }
}

#[cfg(feature = "redis")]
impl<M: Message + Serialize + DeserializeOwned> Store<M> {
    /// Opens a store whose log is a Redis Stream, which all processes that open it share. This is
    /// `Store::open(Redis::streams(url))`, which has options.
    ///
    /// # Errors
    ///
    /// [`OpenError`], when Redis cannot be reached, rejects the password, is older than 7.0, or holds messages of
    /// another type on this channel.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with time and I/O enabled.
    ///
    /// ```
    /// use tornadose::prelude::*;
    ///
    /// #[store(queue)]
    /// #[derive(Serialize, Deserialize)]
    /// struct Line(String);
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// // Nothing listens at this port.
    /// let error = Store::<Line>::redis("redis://:secret@127.0.0.1:1/").await.unwrap_err();
    /// assert!(error.to_string().starts_with("Redis at 127.0.0.1:1, database 0: "));
    /// # }
    /// ```
    pub async fn redis(url: impl Into<String>) -> Result<Self, OpenError> {
        Self::open(crate::backend::redis::Redis::streams(url)).await
    }
}

/// A store while its backend runs. The store is closed when this is dropped, however the backend ends.
struct Running<M: Message> {
    ingest: Arc<Ingest<M>>,
    outbox: Arc<Outbox>,
    open_error: Arc<Mutex<Option<OpenError>>>,
}

impl<M: Message> Drop for Running<M> {
    fn drop(&mut self) {
        self.outbox.close_and_discard();
        self.ingest.close();
    }
}

/// Runs a backend until the store is closed and the messages on their way are sent, or that takes too long.
async fn run_backend<M: Message>(backend: impl Backend, link: BackendLink, running: Running<M>) {
    let (outbox, ack_timeout) = (&running.outbox, link.ack_timeout());
    let drained = async {
        outbox.closed().await;
        let due_at = Instant::now() + DRAIN_TIMEOUT;
        let _is_sent = timeout(ack_timeout, outbox.drained()).await;
        // Readers still get what was acknowledged before the store was closed.
        let _is_read = timeout_at(due_at, running.ingest.drained()).await;
    };
    let result = tokio::select! {
        biased;
        result = AssertUnwindSafe(backend.run(link)).catch_unwind() => {
            result.unwrap_or_else(|_| Err(OpenError::new("the backend panicked")))
        }
        () = drained => return,
    };
    if !running.ingest.is_opened() {
        *running.open_error.lock().unwrap_or_else(PoisonError::into_inner) = result.err();
        return;
    }
    let returned = || OpenError::new("it returned while the store was open");
    if let Some(error) = result.err().or_else(|| running.outbox.is_open().then(returned)) {
        tracing::error!(target: "tornadose", channel = M::CHANNEL, %error, "backend stopped");
    }
}
