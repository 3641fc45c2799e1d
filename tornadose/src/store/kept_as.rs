//! How the log keeps a message: its retention, with the slot of a `latest` message and what a tombstone drops.

use std::sync::Arc;
use std::time::Duration;

use crate::event::error::EncodeError;
use crate::message::snapshot::SnapshotRole;
use crate::message::tombstone::Tombstone;
use crate::message::{Message, Retention};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeptAs {
    Queue(QueueRole),
    /// For a moment, beside the queue messages.
    Ephemeral,
    /// As the newest value of its slot. Without one the variant is the slot.
    Latest {
        slot: Option<Arc<str>>,
        /// How long it is kept, unless it is replaced.
        ttl: Option<Duration>,
    },
    /// As a queue message, which drops `latest` values of its key.
    Tombstone(Tombstone, QueueRole),
}

/// The part that a message has in the snapshot of its key: [`Other`](Self::Other) where the type has no snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueueRole {
    /// The snapshot knows nothing of it.
    Other,
    /// The same, and it finishes its key.
    Last,
    /// It is applied to the snapshot.
    Summed,
    /// It is a snapshot, and replaces the one before.
    Snapshot,
}

impl QueueRole {
    /// Returns the role of a queue message. It calls the code of the message's type. No snapshot contains a tombstone: it
    /// is delivered, because it drops values.
    fn of<M: Message>(message: &M, tombstone: Option<&Tombstone>) -> Self {
        let Some(rules) = M::SNAPSHOT else { return Self::Other };
        match tombstone.map_or_else(|| (rules.role)(message), |_| SnapshotRole::Other) {
            SnapshotRole::Summed => Self::Summed,
            SnapshotRole::Snapshot => Self::Snapshot,
            SnapshotRole::Other if M::CAN_FINISH && message.finishes() => Self::Last,
            SnapshotRole::Other => Self::Other,
        }
    }

    /// Returns whether the snapshot of its key contains the message.
    pub(crate) fn is_summed(self) -> bool {
        matches!(self, Self::Summed | Self::Snapshot)
    }
}

impl KeptAs {
    /// Returns how a message is to be kept. It calls the code of the message's type.
    pub(crate) fn of<M: Message>(message: &M) -> Result<Self, EncodeError> {
        let retention = if M::HAS_QUEUE || M::HAS_EPHEMERAL { message.retention() } else { Retention::Latest };
        let retention = if !M::HAS_QUEUE && retention == Retention::Queue { Retention::Latest } else { retention };
        let retention =
            if M::HAS_QUEUE && !M::HAS_LATEST && retention == Retention::Latest { Retention::Queue } else { retention };
        Ok(match retention {
            Retention::Ephemeral if M::HAS_EPHEMERAL => Self::Ephemeral,
            Retention::Ephemeral => return Err(EncodeError::unexpected_ephemeral()),
            Retention::Latest => Self::Latest {
                slot: if M::HAS_SLOTS { message.slot_json()?.map(Arc::from) } else { None },
                ttl: if M::HAS_LATEST_TTL { message.latest_ttl() } else { None },
            },
            Retention::Queue => {
                let tombstone = if M::HAS_TOMBSTONES { message.tombstone()? } else { None };
                let role = QueueRole::of(message, tombstone.as_ref());
                tombstone.map_or(Self::Queue(role), |tombstone| Self::Tombstone(tombstone, role))
            }
        })
    }

    pub(crate) fn retention(&self) -> Retention {
        match self {
            Self::Latest { .. } => Retention::Latest,
            Self::Queue(_) | Self::Tombstone(..) => Retention::Queue,
            Self::Ephemeral => Retention::Ephemeral,
        }
    }

    pub(crate) fn slot(&self) -> Option<&Arc<str>> {
        match self {
            Self::Latest { slot, .. } => slot.as_ref(),
            Self::Queue(_) | Self::Ephemeral | Self::Tombstone(..) => None,
        }
    }

    /// Returns how long a `latest` message is kept, if it expires.
    pub(crate) fn latest_ttl(&self) -> Option<Duration> {
        match self {
            Self::Latest { ttl, .. } => *ttl,
            Self::Queue(_) | Self::Ephemeral | Self::Tombstone(..) => None,
        }
    }

    /// Returns what it is for the snapshot of its key.
    pub(crate) fn role(&self) -> QueueRole {
        match self {
            Self::Queue(role) | Self::Tombstone(_, role) => *role,
            Self::Latest { .. } | Self::Ephemeral => QueueRole::Other,
        }
    }
}
