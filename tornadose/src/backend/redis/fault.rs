//! The reasons why a connection is dropped, in the server's own words where it has said any.

use std::fmt;
use std::io;

use redis::RedisError;

/// The reason why a connection is dropped. Its text is stable, so that the same cause is logged once.
#[derive(Debug)]
pub(super) enum Fault {
    Redis(RedisError),
    /// The server has refused `MULTI`, and has executed the commands of a transaction one by one.
    NotAtomic(RedisError),
    /// No byte has moved for as long as a reply may take.
    Timeout,
    /// The replies have more bytes than were asked for.
    TooLong,
    /// The server is no longer the master.
    Replaced,
    /// The server replied with something unexpected.
    Protocol(String),
}

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Redis(error.into())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redis(error) | Self::NotAtomic(error) => f.write_str(&server_words(error)),
            Self::Timeout => f.write_str("no reply in time"),
            Self::TooLong => f.write_str("a reply is longer than was asked for"),
            Self::Replaced => f.write_str("another server has become the master"),
            Self::Protocol(reason) => f.write_str(reason),
        }
    }
}

/// Returns the server's own words, such as `OOM command not allowed when used memory > 'maxmemory'.`, or what the
/// system says of the connection.
pub(super) fn server_words(error: &RedisError) -> String {
    let Some(code) = error.code() else { return error.to_string() };
    match error.detail() {
        // A script's error names the script.
        Some(detail) => format!("{code} {}", detail.split(" script: ").next().unwrap_or(detail)),
        None => code.to_owned(),
    }
}

impl Fault {
    /// Returns whether the server has replied with an error. The connection is of further use then.
    pub(super) fn is_reply(&self) -> bool {
        matches!(self, Self::Redis(error) if error.code().is_some())
    }

    /// Returns whether the connection is broken, or silent.
    pub(super) fn is_broken_connection(&self) -> bool {
        matches!(self, Self::Timeout) || matches!(self, Self::Redis(_)) && !self.is_reply()
    }

    /// Returns whether the user may not run the command.
    pub(super) fn is_missing_permission(&self) -> bool {
        matches!(self, Self::Redis(error) if error.code() == Some("NOPERM"))
    }

    /// Returns whether the server refuses writes for now, and may take them later.
    pub(super) fn is_temporary_refusal(&self) -> bool {
        let Self::Redis(error) = self else { return false };
        matches!(error.code(), Some("OOM" | "MISCONF" | "NOREPLICAS"))
    }
}
