//! The error of a message that cannot become an event.

use std::fmt;

use serde::ser;

/// The reason why a message has no event: it cannot be serialized, or its name is not an
/// [`EventName`](crate::EventName).
///
/// ```
/// let error = tornadose::EventName::try_from("open").unwrap_err();
/// assert!(error.to_string().contains("is reserved"));
/// ```
#[derive(Debug)]
pub struct EncodeError(pub(super) Cause);

#[derive(Debug)]
pub(super) enum Cause {
    Json(serde_json::Error),
    Name { name: Box<str>, reason: &'static str },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::Json(error) => write!(f, "the message cannot be written as JSON: {error}"),
            Cause::Name { name, reason } => write!(f, "the event name {name:?} {reason}"),
        }
    }
}

impl std::error::Error for EncodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Cause::Json(error) => Some(error),
            Cause::Name { .. } => None,
        }
    }
}

impl From<serde_json::Error> for EncodeError {
    fn from(error: serde_json::Error) -> Self {
        Self(Cause::Json(error))
    }
}

impl ser::Error for EncodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(Cause::Json(ser::Error::custom(message)))
    }
}
