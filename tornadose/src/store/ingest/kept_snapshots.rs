//! The snapshots of keys on their way to an engine that keeps them.

use std::sync::atomic::Ordering;

use tokio::time::Instant;

use crate::backend::snapshots::{DueSnapshot, SnapshotStamp, SnapshotsDue};
use crate::message::Message;
use crate::store::ingest::Ingest;
use crate::store::log::unwritten::DueKey;
use crate::store::shared::Shared;

impl<M: Message> Ingest<M> {
    /// Returns whether the engine keeps the snapshots of this type. Of a type without them this is known when the program is
    /// compiled.
    #[inline]
    pub(super) fn keeps_snapshots(shared: &Shared<M>) -> bool {
        M::SNAPSHOT.is_some() && shared.backend.as_ref().is_some_and(|backend| backend.snapshots_changed.is_some())
    }

    /// Takes keys whose snapshots are due.
    pub(super) fn take_due(&self, at_most: usize) -> SnapshotsDue {
        let Some(shared) = self.shared.upgrade() else { return SnapshotsDue::Never };
        let mut state = shared.lock();
        if state.loading || !state.reachable {
            // It is asked again once everything is loaded.
            return SnapshotsDue::Never;
        }
        let (now, mut due) = (Instant::now(), Vec::new());
        while due.len() < at_most
            && let Some(DueKey { key_index, is_overdue }) = state.log.take_due_snapshot(now)
        {
            due.extend(state.log.text_of(key_index).map(|key| DueSnapshot { key, is_overdue }));
        }
        if !due.is_empty() {
            return SnapshotsDue::Now(due);
        }
        state.log.next_due_snapshot().map_or(SnapshotsDue::Never, SnapshotsDue::At)
    }

    /// Records what the engine keeps of a key. Returns false when the key is not the one of which it was made any more.
    pub(super) fn record_kept(&self, key: &str, kept: SnapshotStamp) -> bool {
        let Some(shared) = self.shared.upgrade() else { return true };
        let mut state = shared.lock();
        let is_current =
            state.log.head().epoch == kept.epoch && M::SNAPSHOT.is_some_and(|rules| rules.version == kept.version);
        !is_current || state.log.record_kept(key, kept.offset)
    }

    /// Takes keys whose snapshots are not known because messages may have been lost.
    pub(super) fn take_lost(&self, at_most: usize) -> Vec<String> {
        let Some(shared) = self.shared.upgrade().filter(|shared| Self::keeps_snapshots(shared)) else {
            return Vec::new();
        };
        let mut state = shared.lock();
        let lost = state.log.take_lost(at_most);
        lost.into_iter().filter_map(|key_index| state.log.text_of(key_index)).collect()
    }

    /// Makes all keys due again, because the engine may have lost what it kept of them.
    pub(super) fn recheck(&self) {
        let Some(shared) = self.shared.upgrade().filter(|shared| Self::keeps_snapshots(shared)) else { return };
        let mut state = shared.lock();
        if state.loading || !self.is_opened() {
            self.rechecks_when_loaded.store(true, Ordering::Relaxed);
        } else {
            state.log.recheck_unwritten();
        }
        drop(state);
        shared.notify_snapshots();
    }

    /// Makes a key due again in a second.
    pub(super) fn retry(&self, key: &str) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut state = shared.lock();
        if let Some((key_index, _)) = state.log.snapshot_of_text(key) {
            state.log.retry_unwritten(key_index);
        }
    }
}
