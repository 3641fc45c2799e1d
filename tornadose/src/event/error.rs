//! The errors of a message that cannot become an event, and of an invalid event name.

use std::fmt;

use serde::ser;

/// The reason why a message has no event: it cannot be serialized, its name is not an
/// [`EventName`](crate::EventName), or, over a backend, it cannot be read back from its JSON.
///
/// ```
/// use tornadose::{EncodeError, EventName};
///
/// let error = EncodeError::from(EventName::try_from("open").unwrap_err());
/// assert!(error.to_string().contains("is reserved"));
/// ```
#[derive(Debug)]
pub struct EncodeError(Cause);

#[derive(Debug)]
enum Cause {
    Json(serde_json::Error),
    Name(EventNameError),
    ReadBack(String),
    UnexpectedEphemeral,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::Json(error) => write!(f, "the message cannot be written as JSON: {error}"),
            Cause::Name(error) => error.fmt(f),
            Cause::ReadBack(reason) => {
                write!(f, "the message cannot be read back from its JSON, so no process could deliver it: {reason}")
            }
            Cause::UnexpectedEphemeral => {
                f.write_str("its `retention` is `Ephemeral`, so its type needs `HAS_EPHEMERAL: bool = true`")
            }
        }
    }
}

// The text of the cause is part of this error's text, so it is not its source too.
impl std::error::Error for EncodeError {}

impl EncodeError {
    /// The message cannot be read back from the JSON that was written of it.
    pub(crate) fn read_back(reason: String) -> Self {
        Self(Cause::ReadBack(reason))
    }

    /// The message is ephemeral, and its type says that none is.
    pub(crate) fn unexpected_ephemeral() -> Self {
        Self(Cause::UnexpectedEphemeral)
    }
}

impl From<serde_json::Error> for EncodeError {
    fn from(error: serde_json::Error) -> Self {
        Self(Cause::Json(error))
    }
}

impl From<EventNameError> for EncodeError {
    fn from(error: EventNameError) -> Self {
        Self(Cause::Name(error))
    }
}

impl ser::Error for EncodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(Cause::Json(ser::Error::custom(message)))
    }
}

/// The reason why a text is not an [`EventName`](crate::EventName).
///
/// ```
/// let error = tornadose::EventName::try_from("a\nid: 9").unwrap_err();
/// assert_eq!(error.to_string(), r#"the event name "a\nid: 9" has a line break"#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventNameError {
    pub(super) name: Box<str>,
    pub(super) reason: &'static str,
}

impl fmt::Display for EventNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the event name {:?} {}", self.name, self.reason)
    }
}

impl std::error::Error for EventNameError {}
