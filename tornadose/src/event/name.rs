//! Names that an event may carry.

use crate::event::error::{Cause, EncodeError};

/// A name that an event may carry: not empty, without CR or LF, and none of those that a page's own `EventSource` handlers
/// or ours listen to (`error`, `open`, `tornadose:*`).
///
/// The field `event` ends at a line's end (WHATWG HTML §9.2.6), so CR or LF in a name would forge fields or events.
///
/// ```
/// use tornadose::EventName;
///
/// assert_eq!(EventName::try_from("said")?.as_str(), "said");
/// assert_eq!(EventName::try_from("a\nid: 9").unwrap_err().to_string(), r#"the event name "a\nid: 9" has a line break"#);
/// # Ok::<(), tornadose::EncodeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventName(Box<str>);

impl EventName {
    /// The name as text.
    ///
    /// ```
    /// # use tornadose::EventName;
    /// assert_eq!(EventName::try_from("said")?.as_str(), "said");
    /// # Ok::<(), tornadose::EncodeError>(())
    /// ```
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for EventName {
    type Error = EncodeError;

    fn try_from(name: &str) -> Result<Self, EncodeError> {
        let refused = |why| Err(EncodeError(Cause::Name { name: name.into(), why }));
        if name.is_empty() {
            return refused("is empty");
        }
        if name.contains(['\r', '\n']) {
            return refused("has a line break");
        }
        if name == "error" || name == "open" || name.starts_with("tornadose:") {
            return refused("would fire a handler that is not meant: `error`, `open` and `tornadose:*` are taken");
        }
        Ok(Self(name.into()))
    }
}
