//! The trait `Backend`, which an engine implements, and the error of its start.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use crate::backend::link::BackendLink;

#[doc = include_str!("../docs/backend.md")]
pub trait Backend: Send + Sized + 'static {
    /// The features of the engine beside appending messages. The others are
    /// [`SubmitError::Unsupported`](crate::SubmitError::Unsupported).
    const SUPPORTS: Features = Features::NONE;

    /// How long a submit waits for its acknowledgement before it fails with `Unavailable`; 3 s.
    fn ack_timeout(&self) -> Duration {
        Duration::from_secs(3)
    }

    /// Returns the [id under which the store sends](BackendLink::sender_id), which no other store of the engine has ever
    /// had: at most 64 ASCII letters and digits. `None`, the default, stands for a random one. An engine for tests returns
    /// one that its seed decides, so that each run is the same. [`Store::open`](crate::Store::open) calls it once.
    fn sender_id(&self) -> Option<String> {
        None
    }

    /// Carries messages in both directions until the store is closed.
    ///
    /// Implementations reconnect by themselves, indefinitely. When this future ends, with or without an error or a
    /// panic, or when its runtime does, the store is closed: submits fail, and readers end.
    ///
    /// # Errors
    ///
    /// An error before the first [`BackendLink::caught_up`] is returned by [`Store::open`](crate::Store::open). A
    /// later error is logged, and the store is closed.
    ///
    /// # Cancel safety
    ///
    /// The store drops this future at any `await` once it is closed and every submitted message is resolved, or the
    /// [time for an acknowledgement](Self::ack_timeout) has passed. The outcome of messages that are dropped with it is `Unknown`.
    fn run(self, link: BackendLink) -> impl Future<Output = Result<(), OpenError>> + Send;
}

/// The features of an engine beside appending messages.
///
/// ```
/// use tornadose::backend::Features;
///
/// const BOTH: Features = Features::FINISH.with(Features::REMOVE);
/// assert!(BOTH.contains(Features::FINISH) && !Features::NONE.contains(Features::REMOVE));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(u8);

impl Features {
    /// Nothing else.
    pub const NONE: Self = Self(0);
    /// It finishes keys: it remembers which are finished, refuses messages to them
    /// ([`Outgoing::open_key`](crate::backend::Outgoing::open_key)), and tells every process
    /// ([`BackendLink::finish`]). Without it, a message that finishes its key does so in each process alone.
    pub const FINISH: Self = Self(1);
    /// It tells every process that a key is removed ([`BackendLink::remove`]).
    pub const REMOVE: Self = Self(2);
    /// It carries ephemeral messages apart from the others
    /// ([`OutgoingKind::Ephemeral`](crate::backend::OutgoingKind::Ephemeral)), and tells every process
    /// ([`BackendLink::ingest_ephemeral`]). Without it, an ephemeral message is sent as a queue message, takes an offset of
    /// the engine, and is held as ephemeral in each process.
    pub const EPHEMERAL: Self = Self(4);
    /// It expires `latest` values by its own clock ([`OutgoingKind::Expire`](crate::backend::OutgoingKind::Expire)), and
    /// tells every process ([`BackendLink::expire`]). Without it, a value expires in each process by the clock of that,
    /// and its readers are told unless the engine gives its entries offsets.
    pub const EXPIRE: Self = Self(8);
    /// It keeps the snapshots of keys ([`BackendLink::next_snapshots`]) beside its log, for processes that start later
    /// ([`BackendLink::load_snapshot`]). Without it, each process sums what it reads.
    pub const SNAPSHOTS: Self = Self(16);

    /// Returns these and others.
    #[must_use]
    pub const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Returns whether all others are among these.
    #[must_use]
    pub const fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

/// The reason why a store could not be opened.
///
/// ```
/// let error = tornadose::backend::OpenError::new("connection refused");
/// assert_eq!(error.to_string(), "connection refused");
/// ```
#[derive(Debug)]
pub struct OpenError(Box<dyn std::error::Error + Send + Sync>);

impl OpenError {
    /// Wraps a backend's error.
    ///
    /// ```
    /// let error = tornadose::backend::OpenError::new(std::io::Error::other("no route"));
    /// assert_eq!(error.to_string(), "no route");
    /// ```
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// Lets `main` return `std::io::Result`.
impl From<OpenError> for std::io::Error {
    fn from(error: OpenError) -> Self {
        Self::other(error)
    }
}

#[cfg(test)]
mod tests {
    use super::Features;

    #[test]
    fn no_feature_is_another() {
        let features = [Features::FINISH, Features::REMOVE, Features::EPHEMERAL, Features::EXPIRE, Features::SNAPSHOTS];
        for (index, feature) in features.into_iter().enumerate() {
            let others = features.into_iter().enumerate().filter(|(other, _)| *other != index);
            let others = others.fold(Features::NONE, |all, (_, other)| all.with(other));
            assert!(!others.contains(feature), "{feature:?}");
        }
    }
}
