//! How a WebSocket session ends: what the client is sent, and what is logged.

use crate::handler::connection::record::CloseReason;
use crate::handler::lifecycle::opening::OpenedError;
use crate::store::end::EndReason;
use crate::subscriber::close::{Close, CloseCode};
use crate::wire::ws::decoder::Violation;

/// How a session ends.
pub(super) enum SessionEnd {
    /// Without a close frame: the client has left, or does not react.
    Dropped(CloseReason),
    /// The client has sent a close frame, with this code.
    ClosedByPeer(Option<u16>),
    /// The client broke the protocol, so that its input cannot be decoded any further.
    ProtocolError(Violation),
    /// The server closes.
    Close(CloseReason, Close),
}

impl SessionEnd {
    /// Returns what is logged. A text that a hook or a client wrote is not.
    pub(super) fn close_reason(&self) -> (CloseReason, Option<u16>) {
        match self {
            Self::Dropped(reason) => (*reason, None),
            Self::ClosedByPeer(code) => (CloseReason::Left, *code),
            Self::ProtocolError(violation) => (CloseReason::Violation, Some(violation.code)),
            Self::Close(reason, close) => (*reason, Some(close.code.as_u16())),
        }
    }
}

pub(super) fn close(close_reason: CloseReason, code: CloseCode, reason: &'static str) -> SessionEnd {
    SessionEnd::Close(close_reason, Close::new(code, reason))
}

pub(super) fn ended(end: EndReason) -> SessionEnd {
    let (code, reason) = match end {
        EndReason::Closed | EndReason::Stopping => (CloseCode::GOING_AWAY, ""),
        EndReason::Finished => (CloseCode::NORMAL, "finished"),
        EndReason::Disconnected => (CloseCode::POLICY_VIOLATION, "disconnected"),
        EndReason::Lagged => (CloseCode::TRY_AGAIN_LATER, "lagged"),
    };
    close(CloseReason::Ended(end), code, reason)
}

/// Returns the end of a connection that its `opened` hook refused.
pub(super) fn not_opened(error: OpenedError) -> SessionEnd {
    match error {
        OpenedError::Refused(refusal) => SessionEnd::Close(CloseReason::Refused, refusal),
        OpenedError::TimedOut => close(CloseReason::TimedOut, CloseCode::TRY_AGAIN_LATER, "timed out"),
        OpenedError::Panicked => panicked(),
    }
}

pub(super) fn panicked() -> SessionEnd {
    close(CloseReason::Panicked, CloseCode::INTERNAL_ERROR, "internal error")
}
