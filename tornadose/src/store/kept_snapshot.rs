//! The snapshots that an engine keeps: how they are made for it, and how they are loaded.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::backend::snapshots::{KeptSnapshot, LoadedSnapshot, SnapshotPlace, SnapshotStamp};
use crate::id::Offset;
use crate::message::Message;
use crate::store::decode::{Decoded, decode};
use crate::store::kept_as::{KeptAs, QueueRole};
use crate::store::key_json::key_text;
use crate::store::limits::ENTRY_OVERHEAD;
use crate::store::log::loaded::LoadedSum;
use crate::store::log::summing::Unapplied;
use crate::store::shared::{BackendHandle, Shared};
use crate::store::snapshot::Dropped;

impl<M: Message> Shared<M> {
    /// Makes the snapshot of a key for the engine, with everything that is in the log. The store must not be locked.
    pub(super) fn make_kept_snapshot(&self, backend: &BackendHandle<M>, key: &str) -> Option<KeptSnapshot> {
        let rules = M::SNAPSHOT?;
        let mut state = self.lock_only();
        let (key_index, sum) = state.log.snapshot_of_text(key)?;
        drop(state);
        let mut dropped = Dropped::default();
        let mut current = sum.lock();
        state = self.lock_only();
        let (head, newest) = (state.log.head(), state.log.newest_unwritten(key_index));
        newest?;
        let unapplied = state.log.take_unapplied(key_index, &sum, Some(head.offset));
        drop(state);
        let Unapplied::Messages(entries) = unapplied else { return None };
        let mut payload = Vec::new();
        let written = self.apply(key_index, &sum, &mut current, entries, &mut dropped).and_then(|()| {
            let written = catch_unwind(AssertUnwindSafe(|| {
                let message = current.get_or_insert_with(|| Arc::new((rules.init)(sum.key())));
                (backend.write_json)(message, &mut payload)
            }));
            match written {
                Ok(Ok(())) => Ok(()),
                _ => Err(self.fail(key_index, &sum, &mut current, head.offset, &mut dropped)),
            }
        });
        drop(current);
        // Dropped after unlocking: a message has a `Drop` of its own.
        drop(dropped);
        let (offset, newest) = newest.filter(|_| written.is_ok())?;
        let mut state = self.lock();
        if !state.log.record_handed_out(key_index, &sum, offset) {
            return None;
        }
        state.log.record_snapshot_bytes(payload.len());
        let stamp = SnapshotStamp { offset, newest, epoch: head.epoch, version: rules.version };
        Some(KeptSnapshot { key: key.to_owned(), stamp, payload })
    }

    /// Returns whether the log can be built upon a snapshot that the engine has kept.
    pub(super) fn trusts_snapshot(&self, kept: SnapshotStamp, finish: Option<Offset>) -> bool {
        let (epoch, floor) = self.lock().log.epoch_and_floor();
        let has_all = kept.offset >= floor || finish.is_some_and(|finish| kept.offset >= finish);
        has_all && kept.epoch == epoch && M::SNAPSHOT.is_some_and(|rules| rules.version == kept.version)
    }

    /// Returns a place up to which the engine keeps the snapshots of all keys.
    pub(super) fn snapshots_kept_through(&self) -> Option<SnapshotPlace> {
        let state = self.lock();
        let offset = state.log.snapshots_kept_through().filter(|_| !state.loading)?;
        Some(SnapshotPlace { offset, epoch: state.log.head().epoch, version: M::SNAPSHOT?.version })
    }

    /// Decodes a snapshot that the engine has kept, and its key.
    fn decode_kept(&self, backend: &BackendHandle<M>, snapshot: &KeptSnapshot) -> Option<(M::Key, LoadedSum<M>)> {
        let KeptSnapshot { key: text, stamp, payload } = snapshot;
        let decoded = decode(payload, backend.parse_json, self.limits.memory).ok()?;
        let Decoded { message, event, kept_as, key, .. } = decoded;
        let is_of_key =
            kept_as == KeptAs::Queue(QueueRole::Snapshot) && key_text(&key).is_ok_and(|found| found == *text);
        let size = ENTRY_OVERHEAD + self.encoding_count() * event.encoded_len_max();
        let loaded = LoadedSum { offset: stamp.offset, newest: stamp.newest, message: Arc::new(message), size };
        is_of_key.then_some((key, loaded))
    }

    /// Loads a snapshot that the engine has kept.
    pub(super) fn load_snapshot(&self, backend: &BackendHandle<M>, snapshot: &KeptSnapshot) -> LoadedSnapshot {
        let Some((key, loaded)) = self.decode_kept(backend, snapshot) else { return LoadedSnapshot::Unknown };
        // A reference is kept, so that a message without room is not dropped under the lock.
        let message = Arc::clone(&loaded.message);
        let mut state = self.lock();
        let is_loaded = state.log.load_snapshot(key, loaded);
        let discarded = state.log.snapshots_mut().take_discarded();
        drop(state);
        drop((discarded, message));
        if is_loaded { LoadedSnapshot::Known } else { LoadedSnapshot::NoRoom }
    }

    /// Replaces a snapshot that is not known by one that the engine has kept.
    pub(super) fn recover_snapshot(&self, backend: &BackendHandle<M>, snapshot: &KeptSnapshot) -> LoadedSnapshot {
        let Some((key, loaded)) = self.decode_kept(backend, snapshot) else { return LoadedSnapshot::Unknown };
        // A reference is kept, so that a message that is not used is not dropped under the lock.
        let message = Arc::clone(&loaded.message);
        let mut state = self.lock();
        let recovered = state.log.recover_snapshot(&key, loaded);
        let discarded = state.log.snapshots_mut().take_discarded();
        drop(state);
        drop((discarded, message, key));
        recovered
    }
}
