//! The place up to which the snapshots of all keys are kept, as it is in Redis, and what it tells of a stream.

use redis::Pipeline;

use crate::backend::checkpoints::KeptPlace;
use crate::backend::redis::streams::protocol::{KEEP_PLACE_LUA, Keys, format_id, parse_id};
use crate::backend::redis::streams::tail::{PollSummary, Progress, StreamInfo, Tail};
use crate::backend::snapshots::SnapshotPlace;

impl KeptPlace {
    /// Parses an id, an epoch, a version and a number of entries.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(text).ok()?.split(' ');
        let (offset, epoch, version, added) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let place = SnapshotPlace {
            offset: parse_id(offset.as_bytes())?,
            epoch: epoch.parse().ok()?,
            version: version.parse().ok()?,
        };
        Some(Self { place, added: added.parse().ok()? })
    }

    /// Adds the command that keeps it.
    pub(super) fn add_keep(&self, pipeline: &mut Pipeline, keys: &Keys) {
        let SnapshotPlace { offset, epoch, version } = self.place;
        let command = pipeline.cmd("EVAL").arg(KEEP_PLACE_LUA).arg(3);
        command.arg(&keys.stream).arg(&keys.snapshots).arg(&keys.epoch);
        command.arg(format_id(offset)).arg(epoch.to_string()).arg(version).arg(self.added);
    }

    /// Returns the tail of a process that has read up to it.
    pub(super) fn tail(&self) -> Tail {
        Tail { last: self.place.offset, added: self.added }
    }
}

/// A place as it was found, of the epoch of the stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct FoundPlace {
    pub(super) kept: KeptPlace,
    /// Whether its entry is in the stream.
    pub(super) exists: bool,
}

/// How a place fits its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlaceCheck {
    /// Every entry after it is in the stream.
    Holds,
    /// Entries after it are gone.
    EntriesGone,
    /// The stream is not the one of which it is.
    RolledBack,
}

impl FoundPlace {
    /// Compares it with the stream, which has so many entries after it; `None` when they were not counted.
    pub(super) fn check(&self, info: StreamInfo, after: Option<u64>) -> PlaceCheck {
        let (last_exists, read, is_complete) = (self.exists, after.unwrap_or_default(), after.is_some());
        let progress = self.kept.tail().progress(&PollSummary { info, last_exists, read, gone: 0, is_complete });
        match progress {
            Progress::Advanced { missing: 0 } => PlaceCheck::Holds,
            Progress::Advanced { .. } => PlaceCheck::EntriesGone,
            Progress::RolledBack => PlaceCheck::RolledBack,
        }
    }

    /// Returns whether no entry at or below it is in the stream.
    pub(super) fn is_trimmed(&self, info: StreamInfo) -> bool {
        info.starts_after(self.kept.place.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Epoch, Offset};

    fn at(minor: u64) -> Offset {
        Offset::new(5, minor)
    }

    fn place(minor: u64, added: u64) -> KeptPlace {
        KeptPlace { place: SnapshotPlace { offset: at(minor), epoch: Epoch::fresh(), version: 1 }, added }
    }

    fn stream(first: u64, newest: u64) -> StreamInfo {
        let length = newest + 1 - first;
        StreamInfo { length, added: newest, first: at(first), newest: at(newest), deleted: Offset::START }
    }

    #[test]
    fn a_place_is_an_id_an_epoch_a_version_and_a_number_of_entries() {
        let epoch = Epoch::fresh();
        let place = SnapshotPlace { offset: at(6), epoch, version: 2 };
        assert_eq!(KeptPlace::parse(format!("5-6 {epoch} 2 9").as_bytes()), Some(KeptPlace { place, added: 9 }));
        for invalid in ["", "5-6", &format!("5-6 {epoch} 2"), &format!("5-6 {epoch} 2 x")] {
            assert_eq!(KeptPlace::parse(invalid.as_bytes()), None, "{invalid:?}");
        }
    }

    #[test]
    fn a_place_holds_where_as_many_entries_are_after_it_as_were_added_since() {
        use PlaceCheck::{EntriesGone, Holds, RolledBack};
        let refilled = StreamInfo { added: 9, ..stream(1, 12) };
        for (name, info, exists, after, check) in [
            ("nothing was added", stream(1, 10), true, Some(0), Holds),
            ("two were added", stream(1, 12), true, Some(2), Holds),
            ("trimmed up to it", stream(11, 12), false, Some(2), Holds),
            ("trimmed up to it, and not counted", stream(11, 12), false, None, Holds),
            ("trimmed beyond it", stream(12, 12), false, Some(1), EntriesGone),
            ("trimmed beyond it, and not counted", stream(12, 12), false, None, EntriesGone),
            ("one after it was deleted", stream(1, 12), true, Some(1), EntriesGone),
            ("not counted", stream(1, 12), true, None, Holds),
            ("older", stream(1, 9), false, Some(0), RolledBack),
            ("refilled beyond it", stream(1, 12), false, Some(2), RolledBack),
            ("refilled with fewer", refilled, true, Some(2), RolledBack),
            ("more are after it than were added", stream(1, 12), true, Some(3), RolledBack),
        ] {
            let found = FoundPlace { kept: place(10, 10), exists };
            assert_eq!(found.check(info, after), check, "{name}");
        }
    }
}
