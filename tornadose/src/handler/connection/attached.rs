//! Why a stream or a WebSocket does not own its socket, although its service would let it.

use std::sync::atomic::{AtomicU8, Ordering};

/// Why a stream of a service that is wrapped by a [`Handover`](crate::Handover) stays with its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttachedReason {
    /// The request is not HTTP/1.1.
    HttpVersion,
    /// The request has a body, which the server has yet to read from the socket.
    RequestBody,
    /// A middleware has replaced the response's body, or set its length or encoding.
    Response,
    /// The timeouts of the connection were relaxed before, so it could not be recognized.
    RelaxedBefore,
    /// The connection of the request was not found among those of the acceptor.
    NotRecognized,
    /// The client has not taken the response head.
    HeadNotTaken,
    /// The server did not flush the socket after the first frame, although the client takes bytes.
    NotFlushed,
}

impl AttachedReason {
    fn name(self) -> &'static str {
        match self {
            Self::HttpVersion => "http version",
            Self::RequestBody => "request body",
            Self::Response => "response replaced or of fixed length",
            Self::RelaxedBefore => "timeouts relaxed before",
            Self::NotRecognized => "connection not recognized",
            Self::HeadNotTaken => "head not taken",
            Self::NotFlushed => "not flushed",
        }
    }

    /// Logs this reason the first time that it occurs in the process on this transport. A reason that shows that
    /// hyper or Salvo works in another way than this module expects, or that a socket's acceptor is not wrapped, is a
    /// warning.
    pub(crate) fn log_once(self, transport: &'static str) {
        static LOGGED: [AtomicU8; 2] = [const { AtomicU8::new(0) }; 2];
        let logged = &LOGGED[usize::from(transport == "ws")];
        let bit = 1 << self as u8;
        if logged.fetch_or(bit, Ordering::Relaxed) & bit != 0 {
            return;
        }
        let reason = self.name();
        if matches!(self, Self::NotRecognized | Self::NotFlushed) {
            tracing::warn!(target: "tornadose", transport, reason, "stream not detached");
        } else {
            tracing::debug!(target: "tornadose", transport, reason, "stream not detached");
        }
    }
}
