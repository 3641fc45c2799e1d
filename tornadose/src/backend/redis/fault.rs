//! The reasons why a connection is dropped, in the server's own words where it has said any.

use std::fmt;
use std::io;

use redis::RedisError;

/// The reason why a connection is dropped. Its text is stable, so that the same cause is logged once.
#[derive(Debug)]
pub(super) enum Fault {
    Redis(RedisError),
    /// No byte has moved for as long as a reply may take.
    Timeout,
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
            Self::Redis(error) => f.write_str(&server_words(error)),
            Self::Timeout => f.write_str("no reply in time"),
            Self::Protocol(reason) => f.write_str(reason),
        }
    }
}

/// Returns the server's own words, such as `OOM command not allowed when used memory > 'maxmemory'.`, or what the
/// system says of the connection.
pub(super) fn server_words(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => error.to_string(),
    }
}
