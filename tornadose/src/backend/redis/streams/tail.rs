//! The comparison of a stream with what was read of it: it has advanced, has lost entries, or was rolled back.
//!
//! Plain functions: the reader polls the stream and passes the result in.

use crate::id::Offset;

/// How far a stream has been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tail {
    /// The last entry that was read.
    pub(super) last: Offset,
    /// How many entries had ever been added up to it.
    pub(super) added: u64,
}

/// A stream's own account, from `XINFO STREAM`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StreamInfo {
    pub(super) length: u64,
    pub(super) added: u64,
    /// The oldest entry that is kept, or 0.
    pub(super) first: Offset,
    /// The newest entry that was ever added, kept or not.
    pub(super) newest: Offset,
    /// The newest entry that was deleted individually.
    pub(super) deleted: Offset,
}

impl StreamInfo {
    /// Returns whether the entry at `offset` was once in the stream, and is not for another reason than that it was
    /// trimmed or deleted.
    pub(super) fn has_lost(&self, offset: Offset, exists: bool) -> bool {
        let is_gone = offset > Offset::START && !exists && !self.starts_after(offset) && self.deleted != offset;
        self.newest < offset || is_gone
    }

    /// Returns whether no entry at or below `offset` is kept.
    pub(super) fn starts_after(&self, offset: Offset) -> bool {
        self.length == 0 || self.first > offset
    }
}

/// One poll of a stream, as far as its progress depends on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct PollSummary {
    pub(super) info: StreamInfo,
    /// Whether the last entry that was read is still in the stream.
    pub(super) last_exists: bool,
    /// How many entries after it were read now.
    pub(super) read: u64,
    /// How many entries after it were read before, and are no longer in the stream.
    pub(super) gone: u64,
    /// Whether there are no further entries.
    pub(super) is_complete: bool,
}

/// The change of a stream since the last poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It has advanced. `missing` entries in between were never read.
    Advanced { missing: u64 },
    /// It is not the stream that was read before.
    RolledBack,
}

impl Tail {
    pub(super) fn progress(&self, poll: &PollSummary) -> Progress {
        let info = &poll.info;
        if info.has_lost(self.last, poll.last_exists) || info.added < self.added {
            return Progress::RolledBack;
        }
        let is_trimmed = info.starts_after(self.last);
        let added = info.added - self.added;
        let kept = if is_trimmed {
            info.length
        } else if poll.is_complete {
            poll.read
        } else {
            // Entries missing among the rest are noticed when the rest is read.
            return Progress::Advanced { missing: 0 };
        };
        match added.checked_sub(kept + poll.gone) {
            Some(missing) => Progress::Advanced { missing },
            None => Progress::RolledBack,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seq: u64) -> Offset {
        Offset::new(5, seq)
    }

    /// Ten entries were read, up to the tenth.
    const READ: Tail = Tail { last: Offset::new(5, 10), added: 10 };

    fn stream(first: u64, newest: u64) -> StreamInfo {
        StreamInfo {
            length: newest + 1 - first,
            added: newest,
            first: at(first),
            newest: at(newest),
            deleted: Offset::START,
        }
    }

    #[test]
    fn a_stream_advances_with_or_without_a_gap_or_was_rolled_back() {
        let advanced = |missing| Progress::Advanced { missing };
        let empty = StreamInfo { length: 0, first: Offset::START, ..stream(1, 12) };
        let one_deleted = StreamInfo { length: 10, ..stream(1, 12) };
        let deleted_last = StreamInfo { length: 9, deleted: at(10), ..stream(1, 10) };
        let rewritten = StreamInfo { length: 10, ..stream(1, 10) };
        let fresh = StreamInfo { length: 3, added: 3, first: at(20), newest: at(22), deleted: Offset::START };
        let refilled = StreamInfo { length: 12, added: 12, first: at(20), newest: at(31), deleted: Offset::START };
        for (name, info, last_exists, read, is_complete, progress) in [
            ("nothing new", stream(1, 10), true, 0, true, advanced(0)),
            ("two more", stream(1, 12), true, 2, true, advanced(0)),
            ("trimmed before the last", stream(5, 12), true, 2, true, advanced(0)),
            ("trimmed up to the last", stream(11, 12), false, 2, true, advanced(0)),
            ("trimmed beyond the last", stream(14, 20), false, 7, true, advanced(3)),
            ("trimmed beyond, and only a part read", stream(14, 20), false, 3, false, advanced(3)),
            ("trimmed to nothing", empty, false, 0, true, advanced(2)),
            ("one deleted after the last", one_deleted, true, 1, true, advanced(1)),
            ("a part read, the rest unknown", one_deleted, true, 1, false, advanced(0)),
            ("the last deleted", deleted_last, false, 0, true, advanced(0)),
            ("flushed", StreamInfo::default(), false, 0, true, Progress::RolledBack),
            ("flushed, and a few added since", fresh, false, 3, true, Progress::RolledBack),
            ("flushed, and more added than were read", refilled, false, 12, true, Progress::RolledBack),
            ("an older snapshot", stream(1, 7), false, 0, true, Progress::RolledBack),
            (
                "another entry at the offset of the last",
                StreamInfo { newest: at(11), ..rewritten },
                false,
                1,
                true,
                Progress::RolledBack,
            ),
            (
                "fewer added than are kept",
                StreamInfo { added: 11, ..stream(1, 12) },
                true,
                2,
                true,
                Progress::RolledBack,
            ),
        ] {
            let poll = PollSummary { info, last_exists, read, gone: 0, is_complete };
            assert_eq!(READ.progress(&poll), progress, "{name}");
        }
    }

    #[test]
    fn a_stream_that_does_not_exist_yet_advances() {
        let first_poll = |info, read| {
            Tail::default().progress(&PollSummary { info, last_exists: false, read, gone: 0, is_complete: true })
        };
        assert_eq!(first_poll(StreamInfo::default(), 0), Progress::Advanced { missing: 0 });
        assert_eq!(first_poll(stream(1, 2), 2), Progress::Advanced { missing: 0 });
        assert_eq!(first_poll(stream(3, 4), 2), Progress::Advanced { missing: 2 });
    }
    #[test]
    fn an_entry_that_was_read_and_is_gone_was_once_added() {
        let advanced = |missing| Progress::Advanced { missing };
        for (name, info, read, is_complete, progress) in [
            ("deleted", stream(1, 11), 0, true, advanced(0)),
            ("deleted, with one that was not read", stream(1, 12), 0, true, advanced(1)),
            ("deleted, and others follow", stream(1, 13), 2, true, advanced(0)),
            ("never added, but others were", stream(1, 12), 2, true, Progress::RolledBack),
            ("the rest is not read yet", stream(1, 12), 1, false, advanced(0)),
            ("trimmed", stream(13, 14), 2, true, advanced(1)),
        ] {
            let poll = PollSummary { info, last_exists: true, read, gone: 1, is_complete };
            assert_eq!(READ.progress(&poll), progress, "{name}");
        }
    }
}
