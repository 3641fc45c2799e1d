//! The kind of a reader, in one byte of its entry.

/// The kind of a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReaderKind {
    /// A subscription of code on the server.
    Subscription,
    /// A connection over Server-Sent Events.
    Sse,
    /// A connection over WebSocket.
    Ws,
}

impl ReaderKind {
    /// Returns whether [`Store::closed`](crate::Store::closed) waits for it.
    pub(crate) fn is_connection(self) -> bool {
        self != Self::Subscription
    }

    /// Its name for those who look at it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Subscription => "subscription",
            Self::Sse => "sse",
            Self::Ws => "ws",
        }
    }
}
