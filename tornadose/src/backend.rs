//! The engine behind a store: everything that an implementation of [`Backend`] needs, and the backends for Redis.
//!
//! A backend moves bytes between an engine and one store, through a [`BackendLink`]. It knows neither the type of the
//! messages nor the readers. [`Store::open`](crate::Store::open) runs it.

pub(crate) mod snapshots;
pub(crate) mod incoming;
pub(crate) mod send_log;
pub(crate) mod outgoing;
pub(crate) mod outbox;
pub(crate) mod link;
pub(crate) mod engine;
#[cfg(any(feature = "redis", feature = "simulation"))]
pub(crate) mod senders;
#[cfg(any(feature = "redis", feature = "simulation"))]
pub(crate) mod checkpoints;
#[cfg(any(feature = "redis", feature = "simulation"))]
pub(crate) mod ephemeral;
#[cfg(feature = "redis")]
mod backoff;
#[cfg(feature = "redis")]
pub(crate) mod redis;

pub use crate::backend::engine::{Backend, Features, OpenError};
pub use crate::backend::incoming::{IncomingEntry, Ingested};
pub use crate::backend::link::BackendLink;
pub use crate::backend::outgoing::{Outgoing, OutgoingKind, SendOutcome};
#[cfg(feature = "redis")]
pub use crate::backend::redis::{Redis, RedisPubSub, RedisStreams};
pub use crate::backend::snapshots::{DueSnapshot, KeptSnapshot, LoadedSnapshot, SnapshotPlace, SnapshotStamp};
pub use crate::id::{Epoch, Offset};
