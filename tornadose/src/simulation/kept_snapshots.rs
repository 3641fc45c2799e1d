//! The snapshots that the engine keeps of one channel, and the place up to which it keeps those of all keys. Plain
//! functions; the engine's lock is held by the caller.

use std::collections::BTreeMap;

use crate::backend::checkpoints::TrimPoint;
use crate::backend::snapshots::{KeptSnapshot, SnapshotPlace, SnapshotStamp};
use crate::id::{Epoch, Offset};

#[derive(Clone, Debug, Default)]
pub(super) struct KeptSnapshots {
    by_key: BTreeMap<String, KeptSnapshot>,
    place: Option<SnapshotPlace>,
    /// The trim point, and its epoch.
    trimmed: Option<(Epoch, TrimPoint)>,
    /// How often a snapshot was kept.
    pub(super) changes: u64,
}

impl KeptSnapshots {
    /// Keeps a snapshot, unless one is kept that is as new.
    pub(super) fn keep(&mut self, snapshot: KeptSnapshot) {
        let stamp = snapshot.stamp;
        let is_as_new = |kept: &KeptSnapshot| {
            kept.stamp.epoch == stamp.epoch && (kept.stamp.offset, kept.stamp.version) >= (stamp.offset, stamp.version)
        };
        if !self.by_key.get(&snapshot.key).is_some_and(is_as_new) {
            self.changes += 1;
            self.by_key.insert(snapshot.key.clone(), snapshot);
        }
    }

    /// Drops the snapshot of a key if it is not newer than an offset.
    pub(super) fn drop_through(&mut self, key: &str, offset: Offset) {
        if self.by_key.get(key).is_some_and(|kept| kept.stamp.offset <= offset) {
            self.by_key.remove(key);
        }
    }

    /// Keeps a place, unless a newer one is kept.
    pub(super) fn keep_place(&mut self, place: SnapshotPlace) {
        let is_as_new = |kept: SnapshotPlace| {
            kept.epoch == place.epoch && (kept.version, kept.offset) >= (place.version, place.offset)
        };
        if !self.place.is_some_and(is_as_new) {
            self.place = Some(place);
        }
    }

    /// Returns the offset of the place, in this epoch.
    pub(super) fn place_offset(&self, epoch: Epoch) -> Option<Offset> {
        self.place.filter(|place| place.epoch == epoch).map(|place| place.offset)
    }

    pub(super) fn record_trimmed(&mut self, epoch: Epoch, point: TrimPoint) {
        self.trimmed = Some((epoch, point));
    }

    /// Returns the trim point of an epoch.
    pub(super) fn trimmed_in(&self, epoch: Epoch) -> TrimPoint {
        self.trimmed.as_ref().filter(|(found, _)| *found == epoch).map(|(_, point)| point.clone()).unwrap_or_default()
    }

    /// Returns the stamp of a key's snapshot.
    pub(super) fn stamp(&self, key: &str) -> Option<SnapshotStamp> {
        self.by_key.get(key).map(|kept| kept.stamp)
    }

    pub(super) fn get(&self, key: &str) -> Option<&KeptSnapshot> {
        self.by_key.get(key)
    }

    /// Returns the snapshots of an epoch, and the place. The others are dropped.
    pub(super) fn load(&mut self, epoch: Epoch) -> (Vec<KeptSnapshot>, Option<SnapshotPlace>) {
        self.by_key.retain(|_, kept| kept.stamp.epoch == epoch);
        self.place = self.place.filter(|place| place.epoch == epoch);
        (self.by_key.values().cloned().collect(), self.place)
    }
}
