//! The options of a subscriber that the library's `Options` has too.

use crate::literals::Count;

/// The options that were written. An option that was not is `None`.
#[derive(Clone, Default)]
pub(crate) struct Options {
    pub(crate) replay: Option<Replay>,
    pub(crate) lag: Option<Lag>,
    pub(crate) keep_alive: Option<KeepAlive>,
    /// In milliseconds.
    pub(crate) retry: Option<u64>,
    pub(crate) origins: Option<Origins>,
    pub(crate) max_connections: Option<Count>,
    pub(crate) max_keys: Option<Count>,
    pub(crate) max_loads: Option<Count>,
    /// In milliseconds.
    pub(crate) max_age: Option<u64>,
    pub(crate) protocols: Option<Vec<String>>,
    /// In bytes.
    pub(crate) max_message: Option<u64>,
    /// In milliseconds.
    pub(crate) throttle: Option<u64>,
    /// Whether its connections get gaps instead of snapshots.
    pub(crate) withholds_snapshots: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transports {
    Sse,
    Ws,
    Both,
}

impl Transports {
    /// Returns the transports of both.
    pub(crate) fn union(self, other: Self) -> Self {
        if self == other { self } else { Self::Both }
    }
}

#[derive(Clone)]
pub(crate) enum Replay {
    /// Everything that is kept.
    All,
    Last(Count),
}

#[derive(Clone, Copy)]
pub(crate) enum Lag {
    Skip,
    Close,
}

#[derive(Clone, Copy)]
pub(crate) enum KeepAlive {
    Off,
    Milliseconds(u64),
}

#[derive(Clone)]
pub(crate) enum Origins {
    Any,
    List(Vec<String>),
}
