//! The transports that a stream may use.

use std::fmt;

/// The transport of a stream, for scenarios that run over both: see `over` at
/// [`#[tornadose_test::test]`](macro@crate::test), and [`Harness::open`](crate::Harness::open).
///
/// ```
/// use tornadose_test::Transport;
///
/// assert_eq!(Transport::Sse.to_string(), "sse");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Server-Sent Events.
    Sse,
    /// A WebSocket.
    Ws,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sse => "sse",
            Self::Ws => "ws",
        })
    }
}
