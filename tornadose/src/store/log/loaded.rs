//! The snapshots that an engine keeps, as the log sees them: those that it loads, and those that it has given away.

use std::ops::Bound;
use std::sync::Arc;

use crate::backend::snapshots::LoadedSnapshot;
use crate::id::{Epoch, Offset};
use crate::message::Message;
use crate::store::limits::ENTRY_OVERHEAD;
use crate::store::log::Log;
use crate::store::log::snapshot_index::KeySnapshot;
use crate::store::log::unwritten::Submitter;
use crate::store::sum::SharedSum;

/// A snapshot that an engine has kept.
pub(crate) struct LoadedSum<M> {
    /// It contains the messages of its key up to here.
    pub(crate) offset: Offset,
    /// The newest message in it.
    pub(crate) newest: Offset,
    pub(crate) message: Arc<M>,
    /// The bytes that it counts towards the store's memory.
    pub(crate) size: usize,
}

impl<M: Message> Log<M> {
    /// Returns the epoch, and the offset at or below which messages may have existed without ever being in this log.
    pub(crate) fn epoch_and_floor(&self) -> (Epoch, Offset) {
        (self.epoch, self.generations.lost_through())
    }

    /// Loads the snapshot of a key, which contains its messages up to an offset. Returns false when there is no room.
    pub(crate) fn load_snapshot(&mut self, key: M::Key, loaded: LoadedSum<M>) -> bool {
        let LoadedSum { offset, newest, message, size } = loaded;
        let Some(key_size) = self.keys.size_of(&key).ok().filter(|key_size| *key_size <= self.limits.max_key) else {
            return false;
        };
        let key_cost = ENTRY_OVERHEAD + self.keys.bytes_of(key_size);
        let kept = self.kept_latest_bytes + self.snapshots.bytes() + self.keys.bytes();
        if kept + size + key_cost > self.limits.memory {
            return false;
        }
        let key_index = self.keys.index_for(key, key_size);
        let Some(key) = self.keys[key_index].key.clone() else { return false };
        // A key that has readers is counted already.
        let before = self.snapshots.keys.get(&key_index).map(|snapshot| snapshot.appended_others);
        let appended_others = before.unwrap_or(self.keys[key_index].appended_queue);
        if before.is_some() {
            self.snapshots.discard(key_index);
        } else {
            self.keys.pin(key_index);
        }
        let mut snapshot = KeySnapshot::new(Arc::clone(&key), Some(Offset::START), newest, appended_others);
        snapshot.sum = Arc::new(SharedSum::with_state(key, message));
        snapshot.is_blank = false;
        snapshot.is_droppable = self.notices.finish_of.contains_key(&key_index);
        snapshot.others_trimmed_through = Offset::START;
        (snapshot.applied_through, snapshot.measured_through, snapshot.kept_through) = (newest, newest, offset);
        (snapshot.size, snapshot.measured) = (size, size);
        self.snapshots.insert(key_index, snapshot);
        true
    }

    /// Returns up to where the snapshots go that were loaded. The engine may keep none of the messages in them, so that the
    /// head is below.
    pub(crate) fn loaded_through(&self) -> Offset {
        self.snapshots.keys.values().map(|snapshot| snapshot.kept_through).max().unwrap_or_default()
    }

    /// Takes keys whose snapshots are not known because messages may have been lost, and begins again after the last
    /// of them.
    pub(crate) fn take_lost(&mut self, at_most: usize) -> Vec<usize> {
        let snapshots = &mut self.snapshots;
        let from = snapshots.searched_through.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = snapshots.unknown.range((from, Bound::Unbounded)).copied();
        let lost: Vec<usize> = rest.filter(|key_index| snapshots.keys[key_index].is_lost).take(at_most).collect();
        snapshots.searched_through = lost.last().copied().filter(|_| lost.len() == at_most);
        lost
    }

    /// Returns an offset at or below which messages may have been lost, so that a key without a snapshot need not be new.
    pub(crate) fn messages_lost_through(&self) -> Option<Offset> {
        let (lost_through, forgotten_through) = self.missing_through();
        (!self.is_complete()).then(|| lost_through.max(forgotten_through))
    }

    /// Returns whether the snapshot of a key is missing because messages may have been lost.
    pub(crate) fn lacks_snapshot(&self, text: &str) -> bool {
        let key_index = self.keys.index_of_text(text);
        match key_index.and_then(|key_index| self.snapshots.keys.get(&key_index)) {
            Some(snapshot) => snapshot.is_lost,
            None => !self.is_complete(),
        }
    }

    /// Replaces the snapshot of a key, which is not known, by one that another process has made. It must contain each
    /// message of the key that was trimmed here, and none that has yet to be read.
    pub(crate) fn recover_snapshot(&mut self, key: &M::Key, loaded: LoadedSum<M>) -> LoadedSnapshot {
        if loaded.offset > self.head {
            return LoadedSnapshot::Unknown;
        }
        let key_index = self.key_index(key);
        let Some((key_index, before)) = key_index.and_then(|index| Some((index, self.snapshots.keys.get(&index)?)))
        else {
            return self.add_recovered(key, loaded);
        };
        let LoadedSum { offset, newest, message, size } = loaded;
        if before.known_from.is_some() || self.keys[key_index].trimmed_through > offset {
            return LoadedSnapshot::Unknown;
        }
        if self.kept_latest_bytes + self.snapshots.bytes() + self.keys.bytes() + size > self.limits.memory {
            return LoadedSnapshot::NoRoom;
        }
        let (key, newest_here) = (Arc::clone(before.sum.key()), before.newest.max(newest));
        let (appended_others, others_trimmed_through) = (before.appended_others, before.others_trimmed_through);
        self.snapshots.discard(key_index);
        let mut snapshot = KeySnapshot::new(Arc::clone(&key), Some(Offset::START), newest_here, appended_others);
        snapshot.sum = Arc::new(SharedSum::with_state(key, message));
        (snapshot.is_blank, snapshot.others_trimmed_through) = (false, others_trimmed_through);
        snapshot.is_droppable = self.notices.finish_of.contains_key(&key_index);
        (snapshot.applied_through, snapshot.measured_through, snapshot.kept_through) = (newest, newest, offset);
        (snapshot.size, snapshot.measured) = (size, size);
        self.snapshots.insert(key_index, snapshot);
        if let Some(first) = self.first_unwritten_after(key_index, offset) {
            self.record_unwritten(key_index, first, Submitter::AnotherProcess);
        }
        LoadedSnapshot::Known
    }

    /// Returns the first change of a key's snapshot after an offset, which the engine does not keep. None of them is trimmed.
    fn first_unwritten_after(&self, key_index: usize, offset: Offset) -> Option<Offset> {
        let mut summed = self.keys[key_index].queue.iter().filter(|entry| entry.role.is_summed());
        let message = summed.find(|entry| entry.offset() > offset).map(|entry| entry.offset());
        let finish = self.notices.finish_of.get(&key_index).copied().filter(|finish| *finish > offset);
        message.into_iter().chain(finish).min()
    }

    /// Adds the snapshot of a key of which no summed message was read.
    fn add_recovered(&mut self, key: &M::Key, loaded: LoadedSum<M>) -> LoadedSnapshot {
        if self.is_complete() {
            return LoadedSnapshot::Unknown;
        }
        if !self.load_snapshot(key.clone(), loaded) {
            return LoadedSnapshot::NoRoom;
        }
        if let Some(key_index) = self.key_index(key) {
            // The others were counted while this process ran.
            let trimmed_through = self.keys[key_index].trimmed_through;
            self.snapshots.update(key_index, |snapshot| snapshot.others_trimmed_through = trimmed_through);
        }
        LoadedSnapshot::Known
    }

    /// Records that the snapshots of all keys up to a place were loaded, and that every entry after it will be read. A key
    /// without a snapshot is new then.
    pub(crate) fn record_all_loaded(&mut self, through: Offset) {
        let (lost_through, forgotten_through) = self.missing_through();
        if through >= lost_through.max(forgotten_through) {
            self.snapshots.complete_from = Some((lost_through, forgotten_through));
        }
    }

    /// Returns the sum of a key of which the JSON is known, if it has a snapshot.
    pub(crate) fn snapshot_of_text(&self, text: &str) -> Option<(usize, Arc<SharedSum<M>>)> {
        let key_index = self.keys.index_of_text(text)?;
        let snapshot = self.snapshots.keys.get(&key_index)?;
        Some((key_index, Arc::clone(&snapshot.sum)))
    }

    /// Returns the JSON of a key.
    pub(crate) fn text_of(&self, key_index: usize) -> Option<String> {
        self.keys[key_index].text.as_deref().map(str::to_owned)
    }

    /// Records that the snapshot of a key was given away, with its messages up to an offset. Returns false when this is not
    /// its sum any more.
    pub(crate) fn record_handed_out(&mut self, key_index: usize, sum: &Arc<SharedSum<M>>, through: Offset) -> bool {
        let Some(snapshot) = self.snapshots.of_sum(key_index, sum) else { return false };
        snapshot.handed_out = through;
        true
    }

    /// Records that the engine keeps a snapshot of a key with its messages up to an offset. Returns false when the key was
    /// removed, or is new, since it was made.
    pub(crate) fn record_kept(&mut self, text: &str, through: Offset) -> bool {
        let key_index = self.keys.index_of_text(text);
        let Some(snapshot) = key_index.and_then(|key_index| self.snapshots.keys.get_mut(&key_index)) else {
            return false;
        };
        if snapshot.is_blank {
            return false;
        }
        let is_of_this = snapshot.handed_out == through || snapshot.newest >= through;
        let is_whole = snapshot.handed_out == through || snapshot.newest <= through;
        snapshot.kept_through = snapshot.kept_through.max(through);
        if let Some((unwritten, key_index)) = self.snapshots.unwritten.as_mut().zip(key_index.filter(|_| is_whole)) {
            unwritten.record_written(key_index);
        }
        is_of_this
    }
}
