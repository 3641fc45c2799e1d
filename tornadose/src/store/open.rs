//! A store that a backend fills: how it is opened, and how a submit goes to the backend instead of into the log.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout, timeout_at};

use crate::backend::engine::{Backend, OpenError};
use crate::backend::incoming::LogSink;
use crate::backend::link::BackendLink;
use crate::backend::outbox::{ByteReservation, Outbox, OutgoingKind, SendOutcome};
use crate::event::error::EncodeError;
use crate::id::Id;
use crate::message::{Message, Retention};
use crate::metrics;
use crate::store::Store;
use crate::store::error::SubmitError;
use crate::store::ingest::{Ingest, key_text, latest_field};
use crate::store::limits::Limits;
use crate::store::log::AppendError;
use crate::store::shared::{BackendHandle, Shared};

impl<M: Message + Serialize + DeserializeOwned> Store<M> {
    /// Opens a store whose log is filled by a [`Backend`], so that several processes show the same messages. Resolves
    /// when everything that the backend has kept is loaded.
    ///
    /// A submit resolves when the backend has acknowledged it. The log follows when the backend returns the message, as
    /// it returns those of other processes; readers, [`latest`](Self::latest) and [`head`](Self::head) follow the log.
    ///
    /// The backend runs in a task of its own, until the store is closed or its last handle and reader are dropped.
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

    pub(super) async fn open_with(backend: impl Backend, limits: Limits) -> Result<Self, OpenError> {
        let (outbox, deadline) = (Arc::new(Outbox::new(limits.memory)), backend.deadline());
        let write_json =
            |message: &M, bytes: &mut Vec<u8>| serde_json::to_writer(bytes, message).map_err(EncodeError::from);
        let handle = BackendHandle { outbox: Arc::clone(&outbox), deadline, write_json };
        let shared = Arc::new(Shared::new(limits, Some(handle)));
        let ingest = Arc::new(Ingest::new(&shared));
        let mut opened = ingest.opened();
        let link = BackendLink::new(Arc::clone(&ingest) as Arc<dyn LogSink>, Arc::clone(&outbox), deadline);
        let open_error = Arc::new(Mutex::new(None));
        tokio::spawn(run_backend(backend, link, outbox, ingest, Arc::clone(&open_error)));
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

/// Runs a backend until the store is closed and the messages on their way are sent, or that takes too long.
async fn run_backend<M: Message>(
    backend: impl Backend,
    link: BackendLink,
    outbox: Arc<Outbox>,
    ingest: Arc<Ingest<M>>,
    open_error: Arc<Mutex<Option<OpenError>>>,
) {
    let deadline = link.deadline();
    let drained = async {
        outbox.closed().await;
        timeout(deadline, outbox.drained()).await
    };
    let result = tokio::select! {
        biased;
        result = AssertUnwindSafe(backend.run(link)).catch_unwind() => {
            result.unwrap_or_else(|_| Err(OpenError::new("the backend panicked")))
        }
        _ = drained => Ok(()),
    };
    outbox.close_and_discard();
    if let Err(error) = result {
        if ingest.is_opened() {
            tracing::error!(target: "tornadose", channel = M::CHANNEL, %error, "backend stopped");
        } else {
            *open_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    }
    ingest.report_disconnected("the backend has stopped");
}

/// A message as it is sent to a backend.
struct Encoded {
    kind: OutgoingKind,
    payload: Vec<u8>,
}

impl<M: Message> Store<M> {
    /// Sends a message to the backend, and waits for its acknowledgement.
    pub(super) async fn send(&self, backend: &BackendHandle<M>, message: M) -> Result<Id, SubmitError<M>> {
        let deadline = Instant::now() + backend.deadline;
        let (message, Encoded { kind, payload }) = self.encode(backend, message)?;
        let reservation = match backend.outbox.try_reserve(payload.len()) {
            Some(reservation) => Some(reservation),
            None => match timeout_at(deadline, backend.outbox.reserve(payload.len())).await {
                Ok(reservation) => reservation,
                Err(_) => return Err(SubmitError::Unavailable { message, outcome: SendOutcome::NotSent }),
            },
        };
        let Some(reservation) = reservation else { return Err(SubmitError::Closed { message }) };
        let Some(mut ack) = backend.outbox.enqueue(kind, payload, reservation) else {
            return Err(SubmitError::Closed { message });
        };
        let result = match timeout_at(deadline, ack.wait()).await {
            Ok(result) => result,
            Err(_) => Err(ack.withdraw()),
        };
        match result {
            Ok(offset) => {
                metrics::submitted();
                Ok(self.shared().lock().log.id(offset))
            }
            Err(outcome) => Err(SubmitError::Unavailable { message, outcome }),
        }
    }

    /// Sends a message to the backend if there is room, without waiting for its acknowledgement.
    pub(super) fn send_without_ack(&self, backend: &BackendHandle<M>, message: M) -> Result<(), SubmitError<M>> {
        let (message, Encoded { kind, payload }) = self.encode(backend, message)?;
        let Some(reservation) = backend.outbox.try_reserve(payload.len()) else {
            return Err(SubmitError::Unavailable { message, outcome: SendOutcome::NotSent });
        };
        if backend.outbox.enqueue_without_ack(kind, payload, reservation) {
            metrics::submitted();
            Ok(())
        } else {
            Err(SubmitError::Closed { message })
        }
    }

    /// Sends that the `latest` values of a key are to be dropped, if there is room.
    pub(super) fn send_forget(backend: &BackendHandle<M>, key: &M::Key) {
        if !M::HAS_LATEST {
            return;
        }
        let key = key_text(key);
        let reservation: Option<ByteReservation> = backend.outbox.try_reserve(key.len());
        let is_sent = reservation.is_some_and(|reservation| {
            backend.outbox.enqueue_without_ack(OutgoingKind::Forget { key }, Vec::new(), reservation)
        });
        if !is_sent {
            let reason = "the store is closed, or there is no room for more messages on their way";
            tracing::warn!(target: "tornadose", channel = M::CHANNEL, reason, "forget dropped");
        }
    }

    /// Encodes a message for the backend, unless the log would not have room for it.
    fn encode(&self, backend: &BackendHandle<M>, message: M) -> Result<(M, Encoded), SubmitError<M>> {
        let encoded = message.event().and_then(|event| {
            // The payload is about as long as the event, with its name if it has one.
            let mut payload = Vec::with_capacity(event.data().len() + 64);
            (backend.write_json)(&message, &mut payload)?;
            Ok((event, payload))
        });
        let (event, payload) = match encoded {
            Ok(encoded) => encoded,
            Err(error) => return Err(SubmitError::Encode { message, error }),
        };
        let retention = if M::HAS_QUEUE { message.retention() } else { Retention::Latest };
        let key = message.key();
        let kind = match retention {
            Retention::Queue => OutgoingKind::Queue,
            Retention::Latest => OutgoingKind::Latest { field: latest_field(&key, event.name()) },
        };
        let encoding_count = self.shared().encoding_count();
        let state = self.shared().lock();
        if state.closed {
            drop(state);
            return Err(SubmitError::Closed { message });
        }
        let room = state.log.check_room(&key, &message, &event, retention, encoding_count);
        drop(state);
        match room {
            Ok(_) => Ok((message, Encoded { kind, payload })),
            Err(AppendError::Full) => Err(SubmitError::Full { message }),
            Err(AppendError::TooLarge { size }) => Err(SubmitError::TooLarge { message, size }),
        }
    }
}
