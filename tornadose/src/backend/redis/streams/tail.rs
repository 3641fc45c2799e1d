//! Whether a stream has gone on since it was last looked at: all of it, with a hole, or back. It asks nobody.

use redis::Value;

use crate::backend::redis::streams::protocol::{bytes, list, number, offset};
use crate::id::Offset;

/// How far a stream has been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tail {
    /// The last entry that was read.
    pub(super) last: Offset,
    /// How many had ever been added up to it.
    pub(super) added: u64,
}

/// What a stream says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) length: u64,
    pub(super) added: u64,
    /// The oldest entry kept, if one is.
    pub(super) first: Offset,
    /// The newest that was ever added, kept or not.
    pub(super) newest: Offset,
    /// The newest that was deleted one by one.
    pub(super) deleted: Offset,
}

impl Extent {
    /// Of the answer to `XINFO STREAM`; none when the server is too old to say.
    pub(super) fn of(value: &Value) -> Option<Self> {
        let pairs: Vec<(&[u8], &Value)> = match value {
            Value::Map(pairs) => pairs.iter().filter_map(|(name, value)| Some((bytes(name)?, value))).collect(),
            _ => list(value)?.chunks_exact(2).filter_map(|pair| Some((bytes(&pair[0])?, &pair[1]))).collect(),
        };
        let field = |name: &str| pairs.iter().find(|(found, _)| *found == name.as_bytes()).map(|(_, value)| *value);
        let place = |name| offset(bytes(field(name)?)?);
        Some(Self {
            length: number(field("length")?)?,
            added: number(field("entries-added")?)?,
            first: place("recorded-first-entry-id")?,
            newest: place("last-generated-id")?,
            deleted: place("max-deleted-entry-id")?,
        })
    }

    /// Whether no entry at or below this place is kept.
    fn begins_after(&self, place: Offset) -> bool {
        self.length == 0 || self.first > place
    }
}

/// What has become of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// It has gone on; so many entries between were never seen.
    On { missing: u64 },
    /// It is not the stream that it was.
    Back,
}

impl Tail {
    /// Judges a stream by one look: what it says of itself, whether the last entry that was read is still there, how many
    /// entries behind it were read now, and whether those were all.
    pub(super) fn course(&self, extent: &Extent, last_is_there: bool, read: u64, all: bool) -> Course {
        if extent.newest < self.last || extent.added < self.added {
            return Course::Back;
        }
        let trimmed = extent.begins_after(self.last);
        let deleted = extent.deleted == self.last;
        if self.last > Offset::START && !last_is_there && !trimmed && !deleted {
            return Course::Back;
        }
        let came = extent.added - self.added;
        let there = if trimmed {
            extent.length
        } else if all {
            read
        } else {
            // What is missing among the rest shows when that is read.
            return Course::On { missing: 0 };
        };
        match came.checked_sub(there) {
            Some(missing) => Course::On { missing },
            None => Course::Back,
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

    fn stream(first: u64, newest: u64) -> Extent {
        Extent {
            length: newest + 1 - first,
            added: newest,
            first: at(first),
            newest: at(newest),
            deleted: Offset::START,
        }
    }

    #[test]
    fn a_stream_goes_on_with_a_hole_or_back() {
        let on = |missing| Course::On { missing };
        let empty = Extent { length: 0, first: Offset::START, ..stream(1, 12) };
        let gone_between = Extent { length: 10, ..stream(1, 12) };
        let deleted_last = Extent { length: 9, deleted: at(10), ..stream(1, 10) };
        let rewritten = Extent { length: 10, ..stream(1, 10) };
        let fresh = Extent { length: 3, added: 3, first: at(20), newest: at(22), deleted: Offset::START };
        let refilled = Extent { length: 12, added: 12, first: at(20), newest: at(31), deleted: Offset::START };
        for (name, extent, there, read, all, course) in [
            ("nothing new", stream(1, 10), true, 0, true, on(0)),
            ("two more", stream(1, 12), true, 2, true, on(0)),
            ("trimmed behind us", stream(5, 12), true, 2, true, on(0)),
            ("trimmed up to the last", stream(11, 12), false, 2, true, on(0)),
            ("trimmed beyond the last", stream(14, 20), false, 7, true, on(3)),
            ("trimmed beyond, and only a part read", stream(14, 20), false, 3, false, on(3)),
            ("trimmed to nothing", empty, false, 0, true, on(2)),
            ("one deleted ahead of us", gone_between, true, 1, true, on(1)),
            ("a part read, the rest unknown", gone_between, true, 1, false, on(0)),
            ("the last deleted", deleted_last, false, 0, true, on(0)),
            ("gone and flushed", Extent::default(), false, 0, true, Course::Back),
            ("flushed, and a few written since", fresh, false, 3, true, Course::Back),
            ("flushed, and more written than were read", refilled, false, 12, true, Course::Back),
            ("an older snapshot", stream(1, 7), false, 0, true, Course::Back),
            (
                "another entry in the place of the last",
                Extent { newest: at(11), ..rewritten },
                false,
                1,
                true,
                Course::Back,
            ),
            ("fewer added than are there", Extent { added: 11, ..stream(1, 12) }, true, 2, true, Course::Back),
        ] {
            assert_eq!(READ.course(&extent, there, read, all), course, "{name}");
        }
    }

    #[test]
    fn a_stream_that_is_not_there_yet_goes_on() {
        assert_eq!(Tail::default().course(&Extent::default(), false, 0, true), Course::On { missing: 0 });
        assert_eq!(Tail::default().course(&stream(1, 2), false, 2, true), Course::On { missing: 0 });
        assert_eq!(Tail::default().course(&stream(3, 4), false, 2, true), Course::On { missing: 2 });
    }
}
