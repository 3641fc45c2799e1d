//! A run that was read a moment ago, for the next reader at the same place.

use std::sync::Arc;

use crate::id::Offset;
use crate::message::Message;
use crate::store::entry::Batch;

/// A run that the next reader at the same place can share.
pub(crate) struct Recent<M: Message> {
    /// The topic, or none for a reader of all keys.
    pub(in crate::store) topic: Option<usize>,
    pub(in crate::store) version: u64,
    /// Readers from here up to the run's first entry are at the same place.
    pub(in crate::store) after: Offset,
    pub(in crate::store) batch: Arc<Batch<M>>,
}
