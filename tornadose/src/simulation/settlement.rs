//! Which of the process' own entries were acknowledged to its writer, and which were read by its reader. An entry that
//! was acknowledged and then passed over by the reader may have been lost by a rollback. It may also have been trimmed,
//! but other processes, which miss nothing else, would not be told if it was lost.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::id::Offset;

/// Shared by the reader and the writer of one backend.
#[derive(Default)]
pub(super) struct Settlement(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    /// Acknowledged, not read yet.
    acknowledged: BTreeSet<Offset>,
    /// Read, not acknowledged yet.
    read: BTreeSet<Offset>,
}

impl Settlement {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn record_acknowledged(&self, offset: Offset) {
        let mut entries = self.lock();
        if !entries.read.remove(&offset) {
            entries.acknowledged.insert(offset);
        }
    }

    pub(super) fn record_read(&self, offset: Offset) {
        let mut entries = self.lock();
        if !entries.acknowledged.remove(&offset) {
            entries.read.insert(offset);
        }
    }

    /// Records that the stream is loaded from its start.
    pub(super) fn record_loaded(&self) {
        self.lock().read.clear();
    }

    /// Records that the loss of acknowledged entries begins a new epoch.
    pub(super) fn record_lost(&self, acknowledged: &BTreeSet<Offset>) {
        self.lock().acknowledged.retain(|offset| !acknowledged.contains(offset));
    }

    /// Returns the entries that were acknowledged and not read yet.
    pub(super) fn acknowledged(&self) -> BTreeSet<Offset> {
        self.lock().acknowledged.clone()
    }

    pub(super) fn has_acknowledged(&self) -> bool {
        !self.lock().acknowledged.is_empty()
    }
}
