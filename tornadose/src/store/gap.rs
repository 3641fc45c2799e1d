//! A loss of messages that is reported to a reader.

use std::fmt;

/// A loss of messages, and how many are missing when that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) reason: GapReason,
    pub(crate) missed: Option<u64>,
}

/// The reason why messages are missing.
///
/// ```
/// assert_eq!(tornadose::GapReason::Lagged.to_string(), "lagged");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GapReason {
    /// Messages after the reader's id were dropped to make room.
    Trimmed,
    /// The reader was slower than the store can keep messages for it.
    Lagged,
    /// The log began a new epoch, or the client's id is of another one. The messages that follow may repeat some that
    /// were seen.
    Restarted,
    /// The store was cut off from its backend for a while.
    Outage,
    /// What the store kept of the reader's key was removed by [`Store::remove`](crate::Store::remove).
    Removed,
    /// An entry of the backend is not a message that this process can read: another version of the program, or another
    /// program, has appended it. Another process may have delivered it.
    Unreadable,
}

impl GapReason {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Trimmed => "trimmed",
            Self::Lagged => "lagged",
            Self::Restarted => "restarted",
            Self::Outage => "outage",
            Self::Removed => "removed",
            Self::Unreadable => "unreadable",
        }
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
