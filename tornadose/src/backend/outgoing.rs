//! A submitted message on its way to a backend's engine, and what becomes of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use crate::backend::send_log::SendLog;
use crate::id::Offset;

/// The outcome of a message that was not acknowledged.
///
/// ```
/// use tornadose::backend::SendOutcome;
///
/// assert_ne!(SendOutcome::NotSent, SendOutcome::Unknown);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendOutcome {
    /// It was not sent, and never will be.
    NotSent,
    /// It was sent, and no reply arrived. It appears once, or never.
    Unknown,
}

/// The kind of an outgoing message.
///
/// ```
/// use tornadose::backend::OutgoingKind;
///
/// let quote = OutgoingKind::Latest { slot: "AAPL".into() };
/// assert_ne!(quote, OutgoingKind::Queue);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutgoingKind {
    /// A `queue` message.
    Queue,
    /// A `latest` message, which replaces the one before it in the same slot.
    Latest {
        /// A text that is equal for the messages which replace each other: of their key, and of their slot or their event's
        /// name.
        slot: String,
    },
    /// An ephemeral message. The engine keeps it for a moment, and acknowledges it with the offset of the entry that it
    /// follows. Only an engine that supports [`Features::EPHEMERAL`](crate::backend::Features::EPHEMERAL) gets it.
    Ephemeral,
    /// A request to drop the `latest` values of a key, or of one of its slots.
    Forget {
        /// The text of the key, or of the key and the slot.
        key: String,
    },
    /// A request to finish a key, unless it is [finished](Outgoing::finished). Only an engine that supports
    /// [`Features::FINISH`](crate::backend::Features::FINISH) gets it.
    Finish {
        /// The text of the key.
        key: String,
    },
    /// A request to remove everything of a key, also its finish. Only an engine that supports
    /// [`Features::REMOVE`](crate::backend::Features::REMOVE) gets it.
    Remove {
        /// The text of the key.
        key: String,
    },
    /// A request to expire the `latest` value in a slot: if the engine has kept it at or below an offset, and it is as old
    /// as its ttl by the engine's clock, the engine drops it and appends an entry with its offset and its payload, in one
    /// step. Otherwise it [does nothing](Outgoing::completed). Every process asks, and again when nothing comes of it; the
    /// first request does it. Only an engine that supports [`Features::EXPIRE`](crate::backend::Features::EXPIRE) gets it.
    Expire {
        /// The slot of the value, as in [`Latest`](Self::Latest).
        slot: String,
        /// The newest offset that this process has read. A value above it may be a newer one.
        through: Offset,
        /// How long the value is kept.
        ttl: Duration,
        /// The offset of the value, when the engine was asked about it before. An engine that keeps nothing in the slot any
        /// more, because it has lost it, appends the entry for this value then, without a payload.
        missing: Option<Offset>,
    },
}

/// A share of the outbox's bytes for one message. Dropping it frees them.
pub(crate) type ByteReservation = OwnedSemaphorePermit;

/// The reason why a message was not acknowledged.
#[derive(Debug)]
pub(crate) enum SendFailure {
    Failed(SendOutcome),
    /// The engine refused it, in these words.
    Refused(String),
    /// Its key is finished, at this offset.
    Finished(Offset),
}

pub(super) type AckResult = Result<Offset, SendFailure>;

/// A message for a backend to send, and to resolve by [`appended`](Self::appended), [`completed`](Self::completed),
/// [`refused`](Self::refused) or [`failed`](Self::failed). If it is dropped unresolved, its outcome is `Unknown`.
///
/// A backend that does not know whether a message has arrived may send it again: the message is numbered, and stores
/// drop duplicates.
///
/// ```
/// use tornadose::backend::{Backend, BackendLink, Epoch, Offset, OpenError, OutgoingKind};
/// use tornadose::prelude::*;
///
/// /// An engine that refuses every message.
/// struct Full;
///
/// impl Backend for Full {
///     async fn run(self, link: BackendLink) -> Result<(), OpenError> {
///         link.reset(Epoch::fresh(), Offset::START);
///         link.caught_up();
///         while let Some(messages) = link.next_outgoing(100).await {
///             for outgoing in messages {
///                 assert_eq!((outgoing.kind(), outgoing.payload()), (&OutgoingKind::Queue, &br#""hi""#[..]));
///                 // The first comes from `submit`, the second from `try_submit`.
///                 assert_eq!(outgoing.is_fire_and_forget(), outgoing.number() == 2);
///                 assert!(outgoing.needs_sending());
///                 outgoing.refused("the disk is full");
///             }
///         }
///         Ok(())
///     }
/// }
///
/// #[store(queue)]
/// #[derive(Serialize, Deserialize)]
/// struct Line(String);
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), OpenError> {
/// let store = Store::<Line>::open(Full).await?;
/// let error = store.submit(Line("hi".into())).await.unwrap_err();
/// assert_eq!(error.to_string(), "the backend refused the message: the disk is full");
/// assert!(store.try_submit(Line("hi".into())).unwrap().is_none());
/// # tokio::task::yield_now().await;
/// # Ok(())
/// # }
/// ```
pub struct Outgoing {
    pub(super) kind: OutgoingKind,
    pub(super) payload: Vec<u8>,
    pub(super) key: Option<String>,
    pub(super) open_key: Option<String>,
    pub(super) finishes: bool,
    /// When it is too old to be sent, if it is ephemeral.
    pub(super) stale_at: Option<Instant>,
    pub(super) number: u64,
    pub(super) reply_to: Option<oneshot::Sender<AckResult>>,
    pub(super) is_fire_and_forget: bool,
    pub(super) is_resolved: bool,
    pub(super) send_log: Arc<SendLog>,
    pub(super) _reservation: ByteReservation,
}

impl Outgoing {
    /// Returns the message, as `serde_json` writes it. Empty for a request, such as [`OutgoingKind::Forget`].
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Returns the JSON of the message's key, which the engine carries beside the payload for
    /// [`IncomingEntry::with_key`](crate::backend::IncomingEntry::with_key). `None` for `latest` messages and for a
    /// type without keys, which are always decoded.
    ///
    /// ```
    /// # use tornadose::backend::{Backend, BackendLink, Epoch, Offset, OpenError};
    /// # use tornadose::prelude::*;
    /// # struct Engine;
    /// # impl Backend for Engine {
    /// #     async fn run(self, link: BackendLink) -> Result<(), OpenError> {
    /// #         link.reset(Epoch::fresh(), Offset::START);
    /// #         link.caught_up();
    /// for outgoing in link.next_outgoing(100).await.into_iter().flatten() {
    ///     assert_eq!(outgoing.key(), Some(r#"{"room":7}"#));
    ///     outgoing.appended(Offset::new(1, 0));
    /// }
    /// #         std::future::pending().await
    /// #     }
    /// # }
    /// #[store(queue)]
    /// #[derive(Serialize, Deserialize)]
    /// struct Said {
    ///     #[key]
    ///     room: u32,
    ///     text: String,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), OpenError> {
    /// let store = Store::<Said>::open(Engine).await?;
    /// store.submit(Said { room: 7, text: "hi".into() }).await.unwrap();
    /// # Ok(())
    /// # }
    /// ```
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Returns the JSON of the key that has to be open: a message to a finished key is not appended, but
    /// [finished](Self::finished). `None` for a type whose keys cannot be finished, and for an engine that does not support
    /// [`Features::FINISH`](crate::backend::Features::FINISH).
    pub fn open_key(&self) -> Option<&str> {
        self.open_key.as_deref()
    }

    /// Returns whether the message finishes its key: the engine appends it, and finishes the key in the same step, at an
    /// offset of its own.
    pub fn finishes(&self) -> bool {
        self.finishes
    }

    /// Returns the kind of the message.
    pub fn kind(&self) -> &OutgoingKind {
        &self.kind
    }

    /// Returns the message's number, which increases with every message of this
    /// [sender](crate::backend::BackendLink::sender_id).
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Returns whether the message still needs to be sent: its submit waits for the outcome, or
    /// [no caller ever waits](Self::is_fire_and_forget). Any other need not be sent again, and neither need an ephemeral
    /// message that has waited for 5 s.
    pub fn needs_sending(&self) -> bool {
        if self.is_stale() {
            return false;
        }
        self.is_fire_and_forget || self.reply_to.as_ref().is_some_and(|reply_to| !reply_to.is_closed())
    }

    /// Returns whether it is ephemeral and has waited for so long that no reader would get it.
    pub(super) fn is_stale(&self) -> bool {
        self.stale_at.is_some_and(|stale_at| stale_at <= Instant::now())
    }

    /// Returns whether the message comes from `try_submit` or `forget`, whose callers do not wait for the outcome.
    pub fn is_fire_and_forget(&self) -> bool {
        self.is_fire_and_forget
    }

    /// Acknowledges the message: the engine has appended it at this offset.
    pub fn appended(mut self, offset: Offset) {
        self.send_log.record_accepted(Some(offset));
        self.resolve(Ok(offset));
    }

    /// Resolves an [`OutgoingKind::Forget`] for which the engine has no offset, or an [`OutgoingKind::Expire`] of a value that
    /// the engine does not keep, or keeps for now.
    pub fn completed(mut self) {
        self.send_log.record_accepted(None);
        self.resolve(Ok(Offset::START));
    }

    /// Fails the message with [`SubmitError::Refused`](crate::SubmitError::Refused): the engine has not appended it,
    /// and says why.
    ///
    /// A message [for which no caller waits](Self::is_fire_and_forget) is dropped. When the refusal may pass, keep
    /// such a message, call [`BackendLink::report_refused`](crate::backend::BackendLink::report_refused), and send it
    /// again later, before the messages after it.
    pub fn refused(mut self, reason: &str) {
        self.send_log.record_refused(reason, 1);
        if self.is_fire_and_forget {
            self.send_log.record_dropped(reason);
        }
        self.resolve(Err(SendFailure::Refused(reason.to_owned())));
    }

    /// Fails the message with [`SubmitError::Finished`](crate::SubmitError::Finished): its key is finished, and the finish
    /// has this offset. A request to finish the key returns it.
    pub fn finished(mut self, offset: Offset) {
        if self.is_fire_and_forget {
            self.send_log.record_dropped("the key is finished");
        }
        self.resolve(Err(SendFailure::Finished(offset)));
    }

    /// Fails the message. Use [`SendOutcome::Unknown`] unless it is certain that the engine has not taken it.
    pub fn failed(mut self, outcome: SendOutcome) {
        if self.is_fire_and_forget {
            self.send_log.record_dropped(match outcome {
                SendOutcome::NotSent => "not sent",
                SendOutcome::Unknown => "not acknowledged",
            });
        }
        self.resolve(Err(SendFailure::Failed(outcome)));
    }

    fn resolve(&mut self, result: AckResult) {
        self.is_resolved = true;
        if let Some(reply_to) = self.reply_to.take() {
            // A submit that has given up needs no reply.
            reply_to.send(result).ok();
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if self.is_fire_and_forget && !self.is_resolved {
            self.send_log.record_dropped("not acknowledged");
        }
    }
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing").field("kind", &self.kind).field("number", &self.number).finish_non_exhaustive()
    }
}
