//! Why nothing of what a `load` hook was to return is delivered.

use salvo::http::StatusError;

use crate::handler::connection::record::CloseReason;

/// Why a connection gets nothing that its `load` hook returns.
pub(crate) enum LoadFailure {
    /// The hook returned an error.
    Refused(StatusError),
    TimedOut,
    Panicked,
    /// The hook returned a message that the connection cannot receive. This is logged already.
    InvalidMessage,
}

impl LoadFailure {
    pub(crate) fn close_reason(&self) -> CloseReason {
        match self {
            Self::Refused(_) => CloseReason::Refused,
            Self::TimedOut => CloseReason::TimedOut,
            Self::Panicked => CloseReason::Panicked,
            Self::InvalidMessage => CloseReason::InvalidMessage,
        }
    }
}
