//! The reports that a page receives.

use serde::Serialize;

use crate::event::Event;
use crate::event::error::EncodeError;
use crate::id::Id;
use crate::message::{Message, NoKey, Retention};

/// A report to the page. The newest `Stores`, and the newest `Connections` of each store, replace those before.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    Stores {
        /// Milliseconds since 1970, here and below.
        at: u64,
        stores: Vec<StoreReport>,
    },
    Connections(ConnectionsReport),
    /// A reader is told of a gap.
    Gap {
        at: u64,
        #[serde(flatten)]
        reader: ReaderReport,
        reason: &'static str,
        missed: Option<u64>,
    },
    /// A connection is closed.
    Ended {
        at: u64,
        #[serde(flatten)]
        reader: ReaderReport,
        reason: &'static str,
        code: Option<u16>,
    },
    /// A key was disconnected by a page.
    Disconnected {
        at: u64,
        store: usize,
        key: String,
        readers: usize,
    },
}

/// A store.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct StoreReport {
    pub(super) channel: &'static str,
    pub(super) head: Id,
    pub(super) kept: usize,
    pub(super) bytes: usize,
    pub(super) memory: usize,
    pub(super) keys: usize,
    pub(super) readers: usize,
    pub(super) connections: usize,
    /// How many of the readers that were looked at have not read everything.
    pub(super) behind: usize,
    pub(super) state: StoreState,
    /// The keys with most readers.
    pub(super) top_keys: Vec<TopKey>,
    /// Whether not all keys and readers were looked at.
    pub(super) is_partial: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StoreState {
    Open,
    /// Its backend is not connected.
    Unreachable,
    Closed,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct TopKey {
    pub(super) key: String,
    pub(super) readers: usize,
}

/// The readers of a store that are shown: those that are furthest behind come first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct ConnectionsReport {
    pub(super) store: usize,
    /// How many readers there are.
    pub(super) readers: usize,
    pub(super) rows: Vec<ReaderRowReport>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct ReaderRowReport {
    pub(super) number: u64,
    pub(super) transport: &'static str,
    pub(super) opened_at: u64,
    pub(super) keys: Vec<String>,
    /// `None` when it reads all keys.
    pub(super) key_count: Option<usize>,
    pub(super) position: Option<Id>,
    /// How many messages it has yet to read.
    pub(super) unread: Option<u64>,
    /// The bytes of their data.
    pub(super) unread_bytes: Option<u64>,
    /// Whether there are more than these.
    pub(super) is_more: bool,
    pub(super) unread_since: Option<u64>,
    pub(super) last_reason: Option<&'static str>,
}

/// A reader to whom something has happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct ReaderReport {
    pub(super) store: usize,
    pub(super) number: u64,
    pub(super) transport: &'static str,
    pub(super) keys: Vec<String>,
    pub(super) key_count: Option<usize>,
}

/// How many gaps and ends are kept.
pub(super) const EVENTS_KEPT: usize = 256;

impl Message for Report {
    type Key = NoKey;
    const HAS_SLOTS: bool = true;
    const CAPACITY: usize = EVENTS_KEPT;
    const CHANNEL: &'static str = "tornadose-inspector";

    fn key(&self) -> NoKey {
        NoKey
    }

    fn retention(&self) -> Retention {
        match self {
            Self::Stores { .. } | Self::Connections(_) => Retention::Latest,
            Self::Gap { .. } | Self::Ended { .. } | Self::Disconnected { .. } => Retention::Queue,
        }
    }

    fn slot_json(&self) -> Result<Option<String>, EncodeError> {
        Ok(match self {
            Self::Connections(ConnectionsReport { store, .. }) => Some(store.to_string()),
            _ => None,
        })
    }

    fn event(&self) -> Result<Event, EncodeError> {
        Event::json(self)
    }
}
