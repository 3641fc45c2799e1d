//! The state that the reader and the writer of one store share.

use crate::backend::checkpoints::Checkpoints;
use crate::backend::link::BackendLink;
use crate::backend::redis::streams::acknowledged::Acknowledged;

/// How many times its history, or its ttl, a stream keeps entries that no snapshot contains.
pub(super) const HISTORY_FACTOR_MAX: usize = 2;

/// The state that the reader and the writer of one store share.
pub(super) struct StreamShared {
    pub(super) acknowledged: Acknowledged,
    pub(super) checkpoints: Checkpoints,
    /// How many entries the stream keeps.
    pub(super) history: usize,
    /// Beyond so many, entries are trimmed in any case: of a type with snapshots also those that no snapshot
    /// contains.
    pub(super) history_max: usize,
}

impl StreamShared {
    pub(super) fn new(history: usize, link: &BackendLink) -> Self {
        let has_snapshots = link.snapshot_version().is_some();
        let history_max = if has_snapshots { history.saturating_mul(HISTORY_FACTOR_MAX) } else { history };
        let (acknowledged, checkpoints) = (Acknowledged::new(history_max), Checkpoints::default());
        Self { acknowledged, checkpoints, history, history_max }
    }
}
