//! What the engine keeps of one channel: a stream of entries and a table of latest values, as the Redis backend keeps
//! them. Plain functions; the engine's lock is held by the caller.

use std::collections::{BTreeMap, VecDeque};

use crate::backend::checkpoints::TrimPoint;
use crate::backend::snapshots::{KeptSnapshot, SnapshotPlace};
use crate::id::{Epoch, Offset};
use crate::simulation::kept_snapshots::KeptSnapshots;

/// How many ephemeral messages a channel has.
const EPHEMERALS_MAX: usize = 1000;

/// A place in a stream: an entry's offset, and how many entries had ever been added up to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: Offset,
    pub(super) added: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) place: Place,
    /// The sending process and the message's number there; `None` for other programs.
    pub(super) sender: Option<(String, u64)>,
    pub(super) body: Body,
}

/// An ephemeral message, which is in a stream of its own.
#[derive(Clone, Debug)]
pub(super) struct Ephemeral {
    pub(super) number: u64,
    /// The entry that it follows.
    pub(super) follows: Offset,
    pub(super) sender: (String, u64),
    pub(super) payload: Vec<u8>,
    /// When it was appended, by the engine's clock.
    pub(super) at: u64,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    Message {
        payload: Vec<u8>,
        /// The slot of a `latest` message, when the sender has named it.
        slot: Option<String>,
        /// The JSON of the key of a queue message, when the sender has sent it.
        key: Option<String>,
    },
    Forget {
        key: String,
    },
    Finish {
        key: String,
    },
    Remove {
        key: String,
    },
    /// The end of a latest value, with its payload if the engine had it.
    Expire {
        slot: String,
        value: Offset,
        payload: Vec<u8>,
    },
    /// An entry that is not a message at all.
    Unreadable,
}

/// A question of a process about a latest value.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExpiryRequest {
    /// The newest offset that the process has read.
    pub(super) through: Offset,
    pub(super) ttl_ms: u64,
    /// The offset of the value, when the process asks again.
    pub(super) missing: Option<Offset>,
}

/// The finish of a key.
#[derive(Clone, Debug)]
pub(super) struct Finish {
    pub(super) offset: Offset,
    /// What has finished the key: its sender and its number there, and its offset.
    pub(super) by: (String, u64),
    pub(super) appended: Offset,
}

/// The finishes by the JSON of their keys.
pub(super) type Finishes = BTreeMap<String, Finish>;

/// The latest values by slot, each with the offset of its message.
pub(super) type LatestValues = BTreeMap<String, (Offset, Vec<u8>)>;

#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) epoch: Epoch,
    /// The run of the engine in which the epoch began.
    pub(super) epoch_run: u64,
    /// The message type of the stores; `None` while only other programs have appended.
    pub(super) type_name: Option<String>,
    entries: VecDeque<Entry>,
    /// The newest entry that was ever added, kept or not.
    newest: Place,
    ephemerals: VecDeque<Ephemeral>,
    /// The number of the newest ephemeral message.
    pub(super) newest_ephemeral: u64,
    latest: LatestValues,
    pub(super) finishes: Finishes,
    /// Whether the message type has snapshots.
    pub(super) has_snapshots: bool,
    pub(super) snapshots: KeptSnapshots,
    /// All entries that were ever appended.
    #[cfg(test)]
    pub(super) appended: Vec<Entry>,
    /// Whether entries were trimmed whether or not snapshots contain them.
    #[cfg(test)]
    pub(super) was_cut: bool,
}

/// The result of one poll of the stream, all of one moment.
#[derive(Debug)]
pub(super) struct StreamPoll {
    pub(super) epoch: Epoch,
    pub(super) epoch_run: u64,
    pub(super) newest: Place,
    /// The oldest entry that is kept.
    pub(super) first: Option<Place>,
    /// Whether the entry after which was asked is kept.
    pub(super) last_exists: bool,
    /// The next entries.
    pub(super) entries: Vec<Entry>,
    pub(super) ephemerals: Vec<Ephemeral>,
    pub(super) newest_ephemeral: u64,
    /// How often a snapshot was kept.
    pub(super) snapshot_changes: u64,
    /// The latest values and the finishes, when entries were trimmed that the poll would have returned.
    pub(super) table: Option<(LatestValues, Finishes)>,
    pub(super) trimmed: TrimPoint,
}

/// A change of what is kept beside the stream, by a process that has read an entry.
#[derive(Clone, Debug)]
pub(super) enum TableWrite {
    /// Keeps the value of another program.
    Upsert { slot: String, offset: Offset, payload: Vec<u8> },
    /// Drops values that are not newer than a `forget`.
    Forget { slots: Vec<String>, offset: Offset },
    /// Drops the snapshot of a key that is not newer than its removal.
    DropSnapshot { key: String, offset: Offset },
}

/// Everything that is kept, for a process that starts.
#[derive(Debug)]
pub(super) struct LoadedStream {
    pub(super) epoch: Epoch,
    pub(super) newest: Place,
    pub(super) newest_ephemeral: u64,
    pub(super) entries: Vec<Entry>,
    pub(super) latest: LatestValues,
    pub(super) finishes: Finishes,
    pub(super) snapshots: Vec<KeptSnapshot>,
    /// The place up to which all snapshots are kept.
    pub(super) place: Option<SnapshotPlace>,
    pub(super) trimmed: TrimPoint,
}

impl Stream {
    pub(super) fn new(epoch: Epoch, epoch_run: u64) -> Self {
        Self {
            epoch,
            epoch_run,
            type_name: None,
            entries: VecDeque::new(),
            newest: Place::default(),
            ephemerals: VecDeque::new(),
            newest_ephemeral: 0,
            latest: LatestValues::new(),
            finishes: Finishes::new(),
            has_snapshots: false,
            snapshots: KeptSnapshots::default(),
            #[cfg(test)]
            appended: Vec::new(),
            #[cfg(test)]
            was_cut: false,
        }
    }

    pub(super) fn newest(&self) -> Place {
        self.newest
    }

    /// Appends an entry at an offset above every earlier one, and trims the stream to `history` entries, or twice that
    /// if its type has snapshots.
    pub(super) fn append(&mut self, offset: Offset, sender: Option<(String, u64)>, body: Body, history: usize) {
        self.newest = Place { offset, added: self.newest.added + 1 };
        if let Body::Message { payload, slot: Some(slot), .. } = &body {
            self.latest.insert(slot.clone(), (offset, payload.clone()));
        }
        if let Body::Remove { key } = &body {
            self.finishes.remove(key);
            self.snapshots.drop_through(key, offset);
        }
        let entry = Entry { place: self.newest, sender, body };
        #[cfg(test)]
        self.appended.push(entry.clone());
        self.entries.push_back(entry);
        self.trim(if self.has_snapshots { history.saturating_mul(2) } else { history });
    }

    /// Takes the latest value in a slot that a request is about, if it is old enough, or was lost.
    pub(super) fn take_expired(&mut self, slot: &str, request: ExpiryRequest, now: u64) -> Option<(Offset, Vec<u8>)> {
        let ExpiryRequest { through, ttl_ms, missing } = request;
        let is_old = |offset: Offset| now >= offset.major().saturating_add(ttl_ms);
        match self.latest.get(slot) {
            Some((offset, _)) if *offset <= through && is_old(*offset) => self.latest.remove(slot),
            Some(_) => None,
            None => missing.filter(|offset| is_old(*offset)).map(|offset| (offset, Vec::new())),
        }
    }

    /// Drops the entries that are older than this, or twice as old if the type has snapshots.
    pub(super) fn trim_older(&mut self, now: u64, ttl: u64) {
        let ttl = if self.has_snapshots { ttl.saturating_mul(2) } else { ttl };
        self.trim_while(|entry| entry.place.offset.major() < now.saturating_sub(ttl));
    }

    fn trim_while(&mut self, test: impl Fn(&Entry) -> bool) {
        let trimmed = self.entries.iter().take_while(|entry| test(entry)).count();
        self.entries.drain(..trimmed);
    }

    fn has_entry(&self, offset: Offset) -> bool {
        self.entries.binary_search_by_key(&offset, |entry| entry.place.offset).is_ok()
    }

    /// Keeps a snapshot, if the entry at its offset is in the stream or was trimmed. Returns whether it is, or another
    /// that is as new.
    pub(super) fn keep_snapshot(&mut self, snapshot: KeptSnapshot) -> bool {
        let offset = snapshot.stamp.offset;
        let is_trimmed = || {
            let is_before = self.entries.front().is_none_or(|first| offset < first.place.offset);
            is_before && offset <= self.newest.offset
        };
        let is_known = snapshot.stamp.epoch == self.epoch && (self.has_entry(offset) || is_trimmed());
        if is_known {
            self.snapshots.keep(snapshot);
        }
        is_known
    }

    /// Keeps the place up to which all snapshots are kept, if its entry is in the stream.
    pub(super) fn keep_place(&mut self, place: SnapshotPlace) {
        if place.epoch == self.epoch && self.has_entry(place.offset) {
            self.snapshots.keep_place(place);
        }
    }

    /// Trims the stream up to a point, but never past the place up to which all snapshots are kept.
    pub(super) fn trim_through(&mut self, point: TrimPoint) {
        let place = self.snapshots.place_offset(self.epoch);
        if place.is_some_and(|place| point.offset <= place) && self.has_entry(point.offset) {
            self.trim_while(|entry| entry.place.offset <= point.offset);
            self.snapshots.record_trimmed(self.epoch, point);
        }
    }

    /// Appends an ephemeral message, and returns the offset of the entry that it follows.
    pub(super) fn append_ephemeral(&mut self, at: u64, sender: (String, u64), payload: Vec<u8>) -> Offset {
        let follows = self.newest.offset;
        self.newest_ephemeral += 1;
        if self.ephemerals.len() == EPHEMERALS_MAX {
            self.ephemerals.pop_front();
        }
        self.ephemerals.push_back(Ephemeral { number: self.newest_ephemeral, follows, sender, payload, at });
        follows
    }

    /// Drops all entries but the newest `kept`.
    pub(super) fn trim(&mut self, kept: usize) {
        let surplus = self.entries.len().saturating_sub(kept);
        self.entries.drain(..surplus);
        #[cfg(test)]
        {
            self.was_cut |= surplus > 0;
        }
    }

    pub(super) fn write(&mut self, write: TableWrite) {
        match write {
            TableWrite::Upsert { slot, offset, payload } => {
                if self.latest.get(&slot).is_none_or(|(newest, _)| *newest < offset) {
                    self.latest.insert(slot, (offset, payload));
                }
            }
            TableWrite::Forget { slots, offset } => {
                self.latest.retain(|slot, (newest, _)| *newest > offset || !slots.contains(slot));
            }
            TableWrite::DropSnapshot { key, offset } => self.snapshots.drop_through(&key, offset),
        }
    }

    /// Returns the entries after a place, at most `page`, and what tells whether they follow it; and the ephemeral messages
    /// after a number.
    pub(super) fn poll(&self, last: Place, page: usize, last_ephemeral: u64) -> StreamPoll {
        let next = self.entries.partition_point(|entry| entry.place.offset <= last.offset);
        let first = self.entries.front().map(|entry| entry.place);
        let trimmed = first.map_or(self.newest.added, |first| first.added - 1);
        StreamPoll {
            epoch: self.epoch,
            epoch_run: self.epoch_run,
            newest: self.newest,
            first,
            last_exists: next.checked_sub(1).is_some_and(|index| self.entries[index].place == last),
            entries: self.entries.iter().skip(next).take(page).cloned().collect(),
            ephemerals: self.ephemerals.iter().filter(|message| message.number > last_ephemeral).cloned().collect(),
            newest_ephemeral: self.newest_ephemeral,
            snapshot_changes: self.snapshots.changes,
            trimmed: self.snapshots.trimmed_in(self.epoch),
            table: (trimmed > last.added).then(|| (self.latest.clone(), self.finishes.clone())),
        }
    }

    /// Returns the kept snapshots and their place, if the stream is of this epoch.
    pub(super) fn kept_snapshots(&mut self, epoch: Epoch) -> (Vec<KeptSnapshot>, Option<SnapshotPlace>) {
        if self.epoch == epoch { self.snapshots.load(epoch) } else { (Vec::new(), None) }
    }

    pub(super) fn load(&mut self) -> LoadedStream {
        // Values above the newest entry were written by a process that had not noticed a rollback yet.
        let newest = self.newest;
        self.latest.retain(|_, (offset, _)| *offset <= newest.offset);
        self.finishes.retain(|_, finish| finish.offset <= newest.offset);
        let (snapshots, place) = self.snapshots.load(self.epoch);
        LoadedStream {
            epoch: self.epoch,
            newest,
            newest_ephemeral: self.newest_ephemeral,
            entries: self.entries.iter().cloned().collect(),
            latest: self.latest.clone(),
            finishes: self.finishes.clone(),
            snapshots,
            place,
            trimmed: self.snapshots.trimmed_in(self.epoch),
        }
    }
}
