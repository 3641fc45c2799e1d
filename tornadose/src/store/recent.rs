//! A run that was read a moment ago, for the next reader at the same place.

use std::sync::Arc;

use crate::message::Message;
use crate::store::entry::Batch;
use crate::store::id::Offset;

/// A run that the next reader at the same place can share.
pub(crate) struct Recent<M: Message> {
    /// The topic, or none for a reader of all keys.
    pub(super) topic: Option<usize>,
    pub(super) version: u64,
    /// Readers from here up to the run's first entry are at the same place.
    pub(super) after: Offset,
    pub(super) batch: Arc<Batch<M>>,
}
