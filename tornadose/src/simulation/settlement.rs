//! Which of the process' own entries were acknowledged to its writer, and which were read by its reader. An entry that
//! was acknowledged and then passed over by the reader was lost by a rollback.

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
    /// Ranges, without their start, of which readers were told that entries are missing.
    reported: Vec<(Offset, Offset)>,
}

impl Settlement {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn record_acknowledged(&self, offset: Offset) {
        let mut entries = self.lock();
        let is_reported = entries.reported.iter().any(|(after, up_to)| offset > *after && offset <= *up_to);
        if !entries.read.remove(&offset) && !is_reported {
            entries.acknowledged.insert(offset);
        }
    }

    pub(super) fn record_read(&self, offset: Offset) {
        let mut entries = self.lock();
        if !entries.acknowledged.remove(&offset) {
            entries.read.insert(offset);
        }
    }

    /// Records that readers were told of missing entries in this range.
    pub(super) fn record_reported(&self, after: Offset, up_to: Offset) {
        let mut entries = self.lock();
        entries.acknowledged.retain(|offset| *offset <= after || *offset > up_to);
        entries.reported.push((after, up_to));
    }

    /// Records that the stream is loaded from the start: readers are told that the log has restarted, and entries up to
    /// `floor` may be missing. What was acknowledged before the stream was requested is settled.
    pub(super) fn record_loaded(&self, acknowledged: &BTreeSet<Offset>, floor: Offset) {
        let mut entries = self.lock();
        entries.acknowledged.retain(|offset| !acknowledged.contains(offset) && *offset > floor);
        entries.read.clear();
        entries.reported = vec![(Offset::START, floor)];
    }

    /// Returns the entries that were acknowledged and not read yet.
    pub(super) fn acknowledged(&self) -> BTreeSet<Offset> {
        self.lock().acknowledged.clone()
    }

    pub(super) fn has_acknowledged(&self) -> bool {
        !self.lock().acknowledged.is_empty()
    }
}
