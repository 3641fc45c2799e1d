//! The generations of a log: its epochs, its gaps and its removals, numbered together. A reader compares one number to
//! find that there is a new one. [`notices`](crate::store::log::notices) has the removals.

use std::collections::VecDeque;

use crate::id::Offset;
use crate::store::gap::{Gap, GapReason};

/// How many seen offsets are remembered, beside those of the messages that are kept.
const MAX_SEEN: usize = 100_000;

/// How many gaps are remembered for readers that have not read that far; the two oldest are then merged.
const MAX_GAPS: usize = 64;

/// Messages that never arrive, and where they would have been.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogGap {
    pub(super) generation: u64,
    /// The missing messages would follow this offset.
    pub(super) after: Offset,
    /// `missed` counts messages of all keys and both retentions.
    pub(super) gap: Gap,
}

/// The generations of a log.
pub(super) struct Generations {
    current: u64,
    /// The generation in which the current epoch began.
    epoch_start: u64,
    /// The newest generation that an epoch or a gap has begun, which concern all readers.
    newest_of_all: u64,
    gaps: VecDeque<LogGap>,
    /// Messages at or below this offset may have existed without ever being in this log.
    lost_through: Offset,
    /// As `lost_through`, without the entries that could not be read.
    lost_otherwise_through: Offset,
    /// The newest offsets that were seen, in order. `None` for a log that numbers its messages itself: it has seen
    /// every offset up to its head.
    seen: Option<VecDeque<Offset>>,
}

impl Generations {
    pub(super) fn new() -> Self {
        Self {
            current: 0,
            epoch_start: 0,
            newest_of_all: 0,
            gaps: VecDeque::new(),
            lost_through: Offset::START,
            lost_otherwise_through: Offset::START,
            seen: None,
        }
    }

    pub(super) fn current(&self) -> u64 {
        self.current
    }

    /// Returns the generation since which nothing has happened that concerns all readers.
    pub(super) fn newest_of_all(&self) -> u64 {
        self.newest_of_all
    }

    /// Begins the generation of a removal, which concerns the readers of one key.
    pub(super) fn begin_removal(&mut self) -> u64 {
        self.current += 1;
        self.current
    }

    /// Returns whether a reader of this generation is from an earlier epoch.
    pub(super) fn is_before_epoch(&self, generation: u64) -> bool {
        generation < self.epoch_start
    }

    pub(super) fn lost_through(&self) -> Offset {
        self.lost_through
    }

    /// Returns the newest offset at or below which messages may have been lost for another reason than that they
    /// could not be read.
    pub(super) fn lost_otherwise_through(&self) -> Offset {
        self.lost_otherwise_through
    }

    /// Begins an epoch. Messages at or below `floor` may have existed before.
    pub(super) fn begin_epoch(&mut self, floor: Offset) {
        self.current += 1;
        (self.epoch_start, self.newest_of_all) = (self.current, self.current);
        self.gaps.clear();
        (self.lost_through, self.lost_otherwise_through) = (floor, floor);
        self.seen = Some(VecDeque::new());
    }

    pub(super) fn record_seen(&mut self, offset: Offset) {
        let Some(seen) = &mut self.seen else { return };
        if seen.len() == MAX_SEEN {
            seen.pop_front();
        }
        seen.push_back(offset);
    }

    /// Records that messages which would follow the head never arrive.
    pub(super) fn record_gap(&mut self, head: Offset, gap: Gap) {
        // The next message is above this offset, wherever that is.
        self.lost_through = head.next();
        self.lost_otherwise_through = self.lost_through;
        self.push_gap(head, gap);
    }

    /// Records that messages at or below this offset may have been lost.
    pub(super) fn mark_lost_through(&mut self, offset: Offset) {
        self.lost_through = self.lost_through.max(offset);
        self.lost_otherwise_through = self.lost_otherwise_through.max(offset);
    }

    /// Records that the entry at this offset, above the head, cannot be read. An id of this offset is that of a
    /// client which received the message from another process: it has missed nothing.
    pub(super) fn record_unreadable(&mut self, head: Offset, offset: Offset) {
        self.lost_through = offset;
        self.push_gap(head, Gap { reason: GapReason::Unreadable, missed: Some(1) });
    }

    /// Records that the entry at this offset, which was read past, has turned out not to be readable. A client that
    /// resumes from before it is told, and a reader that is past it finds the gap at the head.
    pub(super) fn record_unreadable_below(&mut self, head: Offset, offset: Offset) {
        self.lost_through = self.lost_through.max(offset);
        self.push_gap(head, Gap { reason: GapReason::Unreadable, missed: Some(1) });
    }

    fn push_gap(&mut self, head: Offset, gap: Gap) {
        self.current += 1;
        self.newest_of_all = self.current;
        self.gaps.push_back(LogGap { generation: self.current, after: head, gap });
        if self.gaps.len() > MAX_GAPS
            && let Some(first) = self.gaps.pop_front()
            && let Some(second) = self.gaps.front_mut()
        {
            second.after = first.after;
            second.gap.missed = second.gap.missed.zip(first.gap.missed).map(|(second, first)| second + first);
        }
    }

    /// Returns the first gap after this generation.
    pub(super) fn next_gap(&self, generation: u64) -> Option<&LogGap> {
        if generation == self.current {
            return None;
        }
        self.gaps.iter().find(|gap| gap.generation > generation)
    }

    /// Returns whether a backend numbers the messages, so that an offset above the head may be that of a message on
    /// its way here.
    pub(super) fn is_fed_by_backend(&self) -> bool {
        self.seen.is_some()
    }

    /// Returns the newest offset before this one that is remembered as seen.
    pub(super) fn seen_before(&self, offset: Offset) -> Offset {
        match &self.seen {
            None => offset.previous(),
            Some(seen) => {
                let before = seen.partition_point(|seen| *seen < offset);
                before.checked_sub(1).and_then(|index| seen.get(index).copied()).unwrap_or(Offset::START)
            }
        }
    }

    /// Returns whether this offset is remembered as seen. A log that numbers its messages itself remembers all.
    pub(super) fn has_seen(&self, offset: Offset) -> bool {
        self.seen.as_ref().is_none_or(|seen| offset == Offset::START || seen.binary_search(&offset).is_ok())
    }
}
