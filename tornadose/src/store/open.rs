//! A store whose log is filled by a backend: how it is opened, and how a submit goes to the backend instead of into the log. How the
//! log is filled is `inlet`'s affair.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout, timeout_at};

use crate::backend::outbox::{Kind, Outbox, Outcome, Room};
use crate::backend::{Backend, Inlet, Link, OpenError};
use crate::event::Event;
use crate::event::error::EncodeError;
use crate::id::Id;
use crate::message::{Message, Retention};
use crate::metrics;
use crate::store::Store;
use crate::store::error::SubmitError;
use crate::store::ingest::{Inflow, names_of};
use crate::store::log::Refused;
use crate::store::shared::{Remote, Shared};

impl<M: Message + Serialize + DeserializeOwned> Store<M> {
    /// A store whose log comes from a [`Backend`], so that several processes show the same messages. It resolves when all that is
    /// kept there has been loaded.
    ///
    /// A submit resolves when the backend has acknowledged it; the log, and with it readers, [`latest`](Self::latest) and
    /// [`head`](Self::head), follow as soon as the backend tells of it, which is how they hear of other processes' messages too.
    ///
    /// It needs a tokio runtime with time and, for a backend that needs it, I/O enabled; the backend lives in a task of its own,
    /// until the store is closed or its last handle and reader are gone.
    ///
    /// # Errors
    ///
    /// [`OpenError`], when the backend cannot be reached or refuses the store.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped before it is ready leaves nothing behind.
    pub async fn open(backend: impl Backend) -> Result<Self, OpenError> {
        let (outbox, deadline) = (Arc::new(Outbox::new(M::MEMORY)), backend.deadline());
        let write = |message: &M, bytes: &mut Vec<u8>| serde_json::to_writer(bytes, message).map_err(EncodeError::from);
        let remote = Remote { outbox: Arc::clone(&outbox), deadline, write };
        let shared = Arc::new(Shared::new(Some(remote)));
        let inflow = Arc::new(Inflow::new(&shared));
        let mut opened = inflow.opened();
        let link = Link::new(Arc::clone(&inflow) as Arc<dyn Inlet>, Arc::clone(&outbox), deadline);
        let failed = Arc::new(Mutex::new(None));
        tokio::spawn(carry(backend, link, outbox, inflow, Arc::clone(&failed)));
        // Resolves with an error when the task has ended.
        if opened.wait_for(|opened| *opened).await.is_err() {
            let error = failed.lock().unwrap_or_else(PoisonError::into_inner).take();
            return Err(
                error.unwrap_or_else(|| OpenError::new("the backend ended before it had told of what there is"))
            );
        }
        Ok(Self { shared })
    }
}

#[cfg(feature = "redis")]
impl<M: Message + Serialize + DeserializeOwned> Store<M> {
    /// A store whose log is a Redis Stream, shared by all processes that open it: the same as
    /// `Store::open(Redis::streams(url))`, where what can be set is set.
    ///
    /// # Errors
    ///
    /// When Redis cannot be reached, refuses the password, is older than 7.0, or holds messages of another type on this channel.
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

/// Runs a backend until the store is closed and what was handed off has left, or that takes too long.
async fn carry<M: Message>(
    backend: impl Backend,
    link: Link,
    outbox: Arc<Outbox>,
    inflow: Arc<Inflow<M>>,
    failed: Arc<Mutex<Option<OpenError>>>,
) {
    let deadline = link.deadline();
    let closing = async {
        outbox.closed().await;
        timeout(deadline, outbox.emptied()).await
    };
    let ended = tokio::select! {
        biased;
        ended = AssertUnwindSafe(backend.run(link)).catch_unwind() => {
            ended.unwrap_or_else(|_| Err(OpenError::new("the backend panicked")))
        }
        _ = closing => Ok(()),
    };
    outbox.give_up();
    if let Err(error) = ended {
        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
        if inflow.is_opened() {
            tracing::error!(target: "tornadose", channel = M::CHANNEL, %error, "the backend has ended; the store is cut off");
        } else {
            *failed = Some(error);
        }
    }
    inflow.lost("the backend has ended");
}

/// A message that may go.
struct Ready {
    kind: Kind,
    payload: Vec<u8>,
}

impl<M: Message> Store<M> {
    /// Hands a message off, and waits for its acknowledgement.
    pub(super) async fn send(&self, remote: &Remote<M>, message: M) -> Result<Id, SubmitError<M>> {
        let until = Instant::now() + remote.deadline;
        let (message, Ready { kind, payload }) = self.ready(remote, message)?;
        let room = match remote.outbox.room_now(payload.len()) {
            Some(room) => Some(room),
            None => match timeout_at(until, remote.outbox.room(payload.len())).await {
                Ok(room) => room,
                Err(_) => return Err(SubmitError::Unavailable { message, outcome: Outcome::NotSent }),
            },
        };
        let Some(room) = room else { return Err(SubmitError::Closed { message }) };
        let Some(mut receipt) = remote.outbox.hand_off(kind, payload, room) else {
            return Err(SubmitError::Closed { message });
        };
        let answer = match timeout_at(until, receipt.answer()).await {
            Ok(answer) => answer,
            Err(_) => Err(receipt.withdraw()),
        };
        match answer {
            Ok(offset) => {
                metrics::submitted();
                Ok(self.shared().lock().log.id(offset))
            }
            Err(outcome) => Err(SubmitError::Unavailable { message, outcome }),
        }
    }

    /// Hands a message off for good, when there is room.
    pub(super) fn leave(&self, remote: &Remote<M>, message: M) -> Result<(), SubmitError<M>> {
        let (message, Ready { kind, payload }) = self.ready(remote, message)?;
        let Some(room) = remote.outbox.room_now(payload.len()) else {
            return Err(SubmitError::Unavailable { message, outcome: Outcome::NotSent });
        };
        if remote.outbox.leave(kind, payload, room) {
            metrics::submitted();
            Ok(())
        } else {
            Err(SubmitError::Closed { message })
        }
    }

    pub(super) fn send_forget(remote: &Remote<M>, key: &M::Key) {
        if !M::HAS_LATEST {
            return;
        }
        let (key, _) = names_of(key, None);
        let room: Option<Room> = remote.outbox.room_now(key.len());
        let left = room.is_some_and(|room| remote.outbox.leave(Kind::Forget { key }, Vec::new(), room));
        if !left {
            tracing::warn!(target: "tornadose", channel = M::CHANNEL, "no room to send that a key is to be forgotten");
        }
    }

    /// What is to be sent of a message, unless it would not fit.
    fn ready(&self, remote: &Remote<M>, message: M) -> Result<(M, Ready), SubmitError<M>> {
        let encoded = message.event().and_then(|event| {
            // As much as the event, and its name if it has one.
            let mut payload = Vec::with_capacity(event.data().len() + 64);
            (remote.write)(&message, &mut payload)?;
            Ok((event, payload))
        });
        let (event, payload): (Event, Vec<u8>) = match encoded {
            Ok(encoded) => encoded,
            Err(error) => return Err(SubmitError::Encode { message, error }),
        };
        let retention = if M::HAS_QUEUE { message.retention() } else { Retention::Latest };
        let key = message.key();
        let kind = match retention {
            Retention::Queue => Kind::Queue,
            Retention::Latest => Kind::Latest { field: names_of(&key, event.name()).1 },
        };
        let copies = self.shared().copies();
        let state = self.shared().lock();
        if state.closed {
            drop(state);
            return Err(SubmitError::Closed { message });
        }
        let room = state.log.check_room(&key, &message, &event, retention, copies);
        drop(state);
        match room {
            Ok(_) => Ok((message, Ready { kind, payload })),
            Err(Refused::Full) => Err(SubmitError::Full { message }),
            Err(Refused::TooLarge { size }) => Err(SubmitError::TooLarge { message, size }),
        }
    }
}
