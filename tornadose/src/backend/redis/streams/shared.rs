//! What the reader and the writer of one store share.

use crate::backend::redis::streams::acknowledged::Acknowledged;
use crate::backend::redis::streams::place::Checkpoints;

/// What the reader and the writer tell each other of the stream.
pub(super) struct StreamShared {
    pub(super) acknowledged: Acknowledged,
    pub(super) checkpoints: Checkpoints,
    /// How many entries the stream keeps.
    pub(super) history: usize,
}

impl StreamShared {
    pub(super) fn new(history: usize) -> Self {
        Self { acknowledged: Acknowledged::new(history), checkpoints: Checkpoints::default(), history }
    }
}
