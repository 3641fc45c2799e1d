//! How a subscriber ends a connection or reports an error to its client. Close codes are checked when they are made.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use crate::wire::ws::may_be_sent;

/// Ends a WebSocket with this code and reason (RFC 6455 §7.4).
///
/// ```
/// use tornadose::{Close, CloseCode};
///
/// const MUTED: CloseCode = CloseCode::literal::<4003>();
///
/// let close = Close::new(MUTED, "muted");
/// assert_eq!((close.code, &*close.reason), (MUTED, "muted"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Close {
    /// The code that the client receives.
    pub code: CloseCode,
    /// The reason that the client receives, cut to 123 bytes.
    pub reason: Cow<'static, str>,
}

impl Close {
    /// Returns a close with this code and reason. The client receives at most 123 bytes of the reason.
    ///
    /// ```
    /// use tornadose::{Close, CloseCode};
    ///
    /// let close = Close::new(CloseCode::POLICY_VIOLATION, "too many messages");
    /// assert_eq!(close.reason, "too many messages");
    /// ```
    #[must_use]
    pub fn new(code: CloseCode, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code, reason: reason.into() }
    }
}

/// A close code that an endpoint may send (RFC 6455 §7.4): 1000 to 1003, 1007 to 1014, and 3000 to 4999.
///
/// An application's own codes are 4000 to 4999. A code that is known at compile time is checked there; any other is
/// checked by `try_from`:
///
/// ```
/// use tornadose::CloseCode;
///
/// const MUTED: CloseCode = CloseCode::literal::<4003>();
///
/// assert_eq!(CloseCode::try_from(4003), Ok(MUTED));
/// assert!(CloseCode::try_from(1005).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection has been fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the server shuts down, or the page is left.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer violated the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: the peer sent a type of data that is not supported.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1007: the peer sent data that does not fit its type, such as text that is not UTF-8.
    pub const INVALID_DATA: Self = Self(1007);
    /// 1008: the peer violated a policy.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// 1009: the peer sent a message that is too big.
    pub const TOO_BIG: Self = Self(1009);
    /// 1011: the server met an unexpected condition.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the server restarts.
    pub const RESTART: Self = Self(1012);
    /// 1013: the server is overloaded; reconnect later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);

    /// Returns the code `CODE`. A code that may not be sent does not compile.
    ///
    /// ```compile_fail,E0080
    /// const RESERVED: tornadose::CloseCode = tornadose::CloseCode::literal::<1005>();
    /// # println!("{RESERVED}");
    /// ```
    #[must_use]
    pub const fn literal<const CODE: u16>() -> Self {
        const { assert!(may_be_sent(CODE), "not a close code that may be sent: use 4000 to 4999") };
        Self(CODE)
    }

    /// Returns the number.
    ///
    /// ```
    /// assert_eq!(tornadose::CloseCode::GOING_AWAY.as_u16(), 1001);
    /// ```
    #[must_use]
    pub const fn as_u16(self) -> u16 {
        self.0
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.as_u16()
    }
}

impl TryFrom<u16> for CloseCode {
    type Error = CloseCodeError;

    fn try_from(code: u16) -> Result<Self, CloseCodeError> {
        if may_be_sent(code) { Ok(Self(code)) } else { Err(CloseCodeError(code)) }
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The error of a close code that may not be sent.
///
/// ```
/// let error = tornadose::CloseCode::try_from(1005).unwrap_err();
/// assert_eq!(error.to_string(), "close code 1005 may not be sent: use 4000 to 4999");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseCodeError(u16);

impl fmt::Display for CloseCodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "close code {} may not be sent: use 4000 to 4999", self.0)
    }
}

impl Error for CloseCodeError {}

/// Why [`Subscriber::receive`](crate::Subscriber::receive) did not accept a text.
///
/// ```
/// use tornadose::subscriber::ReceiveError;
///
/// let error = ReceiveError::Report("not now".into());
/// assert!(matches!(error, ReceiveError::Report(_)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The client receives `tornadose:error` with this reason. The connection stays open.
    Report(String),
    /// The connection ends.
    Close(Close),
}
