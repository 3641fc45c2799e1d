//! The checked name of an event.

use std::fmt;
use std::str::FromStr;

use crate::event::error::EventNameError;

/// A valid name of an event: not empty, without CR or LF, and not reserved (`error`, `open`, `tornadose:*`).
///
/// The reserved names would run the handlers that a page sets on its own `EventSource`, or those of this library. The
/// field `event` ends where its line ends (WHATWG HTML §9.2.6), so CR or LF in a name would forge fields or events.
///
/// ```
/// use tornadose::EventName;
///
/// let name: EventName = "said".parse()?;
/// assert_eq!(name.to_string(), "said");
/// assert_eq!(EventName::try_from(String::from("said"))?, name);
/// let error = EventName::try_from("a\nid: 9").unwrap_err();
/// assert_eq!(error.to_string(), r#"the event name "a\nid: 9" has a line break"#);
/// # Ok::<(), tornadose::EventNameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventName(Box<str>);

impl EventName {
    /// Returns the name as text.
    ///
    /// ```
    /// # use tornadose::EventName;
    /// assert_eq!(EventName::try_from("said")?.as_str(), "said");
    /// # Ok::<(), tornadose::EventNameError>(())
    /// ```
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for EventName {
    type Error = EventNameError;

    fn try_from(name: &str) -> Result<Self, EventNameError> {
        check(name)?;
        Ok(Self(name.into()))
    }
}

impl TryFrom<String> for EventName {
    type Error = EventNameError;

    fn try_from(name: String) -> Result<Self, EventNameError> {
        check(&name)?;
        Ok(Self(name.into()))
    }
}

impl FromStr for EventName {
    type Err = EventNameError;

    fn from_str(name: &str) -> Result<Self, EventNameError> {
        Self::try_from(name)
    }
}

impl AsRef<str> for EventName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn check(name: &str) -> Result<(), EventNameError> {
    let invalid = |reason| Err(EventNameError { name: name.into(), reason });
    if name.is_empty() {
        return invalid("is empty");
    }
    if name.contains(['\r', '\n']) {
        return invalid("has a line break");
    }
    if name == "error" || name == "open" || name.starts_with("tornadose:") {
        return invalid("is reserved: `error`, `open` and `tornadose:*` are names of built-in events");
    }
    Ok(())
}
