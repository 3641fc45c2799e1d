//! The error of a submit. It returns the message.

use std::fmt;

use crate::backend::outgoing::SendOutcome;
use crate::event::error::EncodeError;

/// The reason why a message was not appended. It returns the message, whatever its type.
/// [`Store::finish`](crate::Store::finish) and [`Store::remove`](crate::Store::remove) have no message: theirs is `()`.
///
/// ```
/// # use tornadose::prelude::*;
/// # #[store(queue, memory = "1KiB")]
/// # #[derive(Serialize)]
/// # struct Line(String);
/// let store = Store::new();
/// let error = store.try_submit(Line("x".repeat(2000))).unwrap_err();
/// assert_eq!(error.to_string(), "the message takes 3026 bytes, more than the store's `memory`: raise it");
/// ```
#[non_exhaustive]
pub enum SubmitError<M> {
    /// The store is closed.
    Closed {
        /// The message.
        message: M,
    },
    /// The message or its key cannot be encoded.
    Encode {
        /// The message.
        message: M,
        /// The reason.
        error: EncodeError,
    },
    /// The message's key is finished: no message can follow.
    Finished {
        /// The message.
        message: M,
    },
    /// The `latest` values alone would exceed the store's memory.
    Full {
        /// The message.
        message: M,
    },
    /// The message's key is longer than the store allows.
    KeyTooLong {
        /// The message.
        message: M,
        /// The length of the key's JSON, in bytes.
        size: usize,
    },
    /// The message alone exceeds the store's memory.
    TooLarge {
        /// The message.
        message: M,
        /// The memory that it would take, in bytes.
        size: usize,
    },
    /// The backend's engine refused the message; it was not appended.
    Refused {
        /// The message.
        message: M,
        /// The reason, in the engine's words.
        reason: String,
    },
    /// The backend's engine cannot do this. A store in memory never returns this.
    Unsupported {
        /// The message.
        message: M,
    },
    /// The backend did not take or acknowledge the message in time. A store in memory never returns this.
    Unavailable {
        /// The message.
        message: M,
        /// Whether it may have been appended nevertheless.
        outcome: SendOutcome,
    },
}

impl<M> SubmitError<M> {
    /// Returns the message that was not appended.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(latest)]
    /// # #[derive(Serialize)]
    /// # struct Tick(f64);
    /// let store = Store::new();
    /// store.close();
    /// assert_eq!(store.try_submit(Tick(0.5)).unwrap_err().into_message().0, 0.5);
    /// ```
    pub fn into_message(self) -> M {
        match self {
            Self::Closed { message }
            | Self::Encode { message, .. }
            | Self::Finished { message }
            | Self::Full { message }
            | Self::KeyTooLong { message, .. }
            | Self::TooLarge { message, .. }
            | Self::Refused { message, .. }
            | Self::Unsupported { message }
            | Self::Unavailable { message, .. } => message,
        }
    }
}

impl<M> fmt::Display for SubmitError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed { .. } => f.write_str("the store is closed"),
            Self::Encode { error, .. } => error.fmt(f),
            Self::Finished { .. } => f.write_str("the key is finished: submit to another one, or remove it first"),
            Self::Full { .. } => {
                f.write_str("the `latest` values alone fill the store's `memory`: raise it, or forget keys")
            }
            Self::KeyTooLong { size, .. } => {
                write!(f, "the key takes {size} bytes of JSON, more than the store's `max_key`: raise it")
            }
            Self::TooLarge { size, .. } => {
                write!(f, "the message takes {size} bytes, more than the store's `memory`: raise it")
            }
            Self::Refused { reason, .. } => write!(f, "the backend refused the message: {reason}"),
            Self::Unsupported { .. } => f.write_str("the backend does not support this: use another one"),
            Self::Unavailable { outcome: SendOutcome::NotSent, .. } => {
                f.write_str("the message was not sent: the backend is unreachable, or too many messages wait for it")
            }
            Self::Unavailable { outcome: SendOutcome::Unknown, .. } => {
                f.write_str("the backend did not answer; whether the message was appended is not known")
            }
        }
    }
}

impl<M> fmt::Debug for SubmitError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubmitError({self})")
    }
}

// The text of an encoding error is part of this error's text, so it is not its source too.
impl<M> std::error::Error for SubmitError<M> {}
