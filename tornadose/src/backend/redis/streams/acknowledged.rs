//! The entries that Redis has acknowledged to this process, until the reader has read them. A stream that goes on
//! without one of them has lost it.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::id::Offset;

/// How many messages one batch has. A transaction blocks every other client.
pub(super) const BATCH_MESSAGES_MAX: usize = 1000;

/// How many entries of this process may be read before they are acknowledged: those of the batch in flight.
const READ_EARLY_MAX: usize = BATCH_MESSAGES_MAX;

/// Shared by the writer, which records what is acknowledged, and the reader, which records what it reads.
#[derive(Debug)]
pub(super) struct Acknowledged {
    state: Mutex<State>,
    /// How many offsets are kept. Older entries are trimmed from the stream.
    unread_max: usize,
}

#[derive(Debug, Default)]
struct State {
    /// Acknowledged, and not read yet.
    unread: BTreeSet<Offset>,
    /// Entries of this process that were read, and are not acknowledged yet.
    read_early: BTreeSet<Offset>,
    /// How many entries were reported as trimmed and may be among the acknowledged ones, up to this offset.
    trimmed: u64,
    trimmed_through: Offset,
    /// Entries up to this offset were in the stream when it was loaded, and are not read.
    floor: Offset,
    loads: u64,
    /// The newest that was acknowledged since the stream was loaded.
    newest: Offset,
}

impl Acknowledged {
    pub(super) fn new(history: usize) -> Self {
        Self { state: Mutex::default(), unread_max: history.max(1) }
    }

    /// Records that Redis has appended an entry at this offset.
    pub(super) fn record(&self, offset: Offset) {
        let mut state = self.lock();
        state.newest = state.newest.max(offset);
        if state.read_early.remove(&offset) || offset <= state.floor {
            return;
        }
        state.unread.insert(offset);
        if state.unread.len() > self.unread_max {
            state.unread.pop_first();
        }
    }

    /// Records that the reader has read an entry of this process.
    pub(super) fn record_read(&self, offset: Offset) {
        let mut state = self.lock();
        if state.unread.remove(&offset) {
            return;
        }
        state.read_early.insert(offset);
        if state.read_early.len() > READ_EARLY_MAX {
            // The acknowledgement of the oldest was lost with its connection.
            state.read_early.pop_first();
        }
    }

    /// Returns the newest offset that was acknowledged since the stream was loaded, read or not.
    pub(super) fn newest(&self) -> Offset {
        self.lock().newest
    }

    /// Returns the newest offset that is not read. A poll that is sent afterwards finds the entry, unless it was lost.
    pub(super) fn newest_unread(&self) -> Offset {
        self.lock().unread.last().copied().unwrap_or_default()
    }

    /// Returns whether a stream that is read up to `newest` lacks an entry which was acknowledged. `trimmed` entries
    /// are missing and will be reported; those of a page that `is_read` knows are about to be read.
    pub(super) fn has_lost(&self, newest: Offset, trimmed: u64, is_read: impl Fn(Offset) -> bool) -> bool {
        let state = self.lock();
        let (mut before, mut after) = (0, 0);
        for offset in state.unread.range(..=newest).filter(|offset| !is_read(**offset)) {
            if *offset <= state.trimmed_through { before += 1 } else { after += 1 }
        }
        after > trimmed || before + after > state.trimmed + trimmed
    }

    /// Records that entries up to an offset were reported as trimmed, and how many.
    pub(super) fn record_trimmed(&self, trimmed: u64, through: Offset) {
        let mut state = self.lock();
        state.trimmed += trimmed;
        state.trimmed_through = through;
    }

    /// Forgets what was trimmed up to `newest`, when a stream that lacks nothing is read up to it.
    pub(super) fn forget_through(&self, newest: Offset) {
        let mut state = self.lock();
        while state.unread.first().is_some_and(|first| *first <= newest) {
            state.unread.pop_first();
            state.trimmed = state.trimmed.saturating_sub(1);
        }
    }

    /// Forgets everything, because the stream is read again after `floor` and readers are told so. An entry that is
    /// acknowledged later must be in that stream, whichever server has acknowledged it.
    pub(super) fn start_after(&self, floor: Offset) {
        let mut state = self.lock();
        *state = State { floor, loads: state.loads + 1, ..State::default() };
    }

    /// Returns how often the stream was loaded.
    pub(super) fn loads(&self) -> u64 {
        self.lock().loads
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minor: u64) -> Offset {
        Offset::new(5, minor)
    }

    fn acknowledged(minors: impl IntoIterator<Item = u64>) -> Acknowledged {
        let acknowledged = Acknowledged::new(100);
        minors.into_iter().for_each(|minor| acknowledged.record(at(minor)));
        acknowledged
    }

    /// Returns whether a stream that is read up to `newest`, with these entries in its last page, lacks something.
    fn lacks(acknowledged: &Acknowledged, newest: u64, trimmed: u64, page: &[u64]) -> bool {
        acknowledged.has_lost(at(newest), trimmed, |offset| page.contains(&offset.minor()))
    }

    #[test]
    fn an_entry_that_is_not_read_is_lacking_when_the_stream_is_read_beyond_it() {
        let acknowledged = acknowledged([3, 1, 2]);
        assert_eq!(acknowledged.newest_unread(), at(3));
        assert!(!lacks(&acknowledged, 3, 0, &[1, 2, 3]));
        assert!(lacks(&acknowledged, 9, 0, &[1, 3, 9]));
        acknowledged.record_read(at(2));
        assert!(!lacks(&acknowledged, 9, 0, &[1, 3, 9]));
        assert!(!lacks(&acknowledged, 0, 0, &[]), "beyond what is read");
        acknowledged.record_read(at(3));
        assert_eq!(acknowledged.newest_unread(), at(1));
    }

    #[test]
    fn an_entry_may_be_read_before_it_is_acknowledged() {
        let acknowledged = acknowledged([]);
        (1..=3).for_each(|minor| acknowledged.record_read(at(minor)));
        acknowledged.forget_through(at(3));
        (1..=4).for_each(|minor| acknowledged.record(at(minor)));
        assert_eq!(acknowledged.newest_unread(), at(4));
        assert!(!lacks(&acknowledged, 3, 0, &[]));
        assert!(lacks(&acknowledged, 5, 0, &[5]), "the fourth was not read");
        // The second of two acknowledgements is for another entry.
        acknowledged.record(at(2));
        assert!(lacks(&acknowledged, 3, 0, &[]));
    }

    #[test]
    fn trimmed_entries_are_reported_and_so_not_lacking() {
        let acknowledged = acknowledged(1..=3);
        assert!(!lacks(&acknowledged, 9, 3, &[9]));
        assert!(lacks(&acknowledged, 9, 2, &[9]), "two were trimmed, and three are missing");
        // Three were trimmed in one poll, and the stream is read up to its end in a later one.
        acknowledged.record_trimmed(3, at(4));
        assert!(!lacks(&acknowledged, 9, 0, &[9]));
        acknowledged.forget_through(at(9));
        acknowledged.record(at(2));
        assert!(lacks(&acknowledged, 9, 0, &[]), "all three are accounted for");
    }

    #[test]
    fn an_entry_that_was_trimmed_may_be_acknowledged_afterwards() {
        let acknowledged = acknowledged([]);
        acknowledged.record_trimmed(2, at(2));
        acknowledged.forget_through(at(4));
        acknowledged.record(at(1));
        acknowledged.record(at(2));
        assert!(!lacks(&acknowledged, 4, 0, &[]));
        // Nothing was trimmed after the second.
        acknowledged.record(at(3));
        assert!(lacks(&acknowledged, 4, 0, &[]));
    }

    #[test]
    fn what_was_acknowledged_before_the_stream_is_loaded_again_is_forgotten_and_later_ones_are_not() {
        let acknowledged = acknowledged(1..=3);
        acknowledged.record_read(at(7));
        acknowledged.record_trimmed(9, at(9));
        acknowledged.start_after(at(2));
        assert_eq!((acknowledged.newest_unread(), acknowledged.loads()), (Offset::START, 1));
        // At or below the floor the stream has more entries than the store has room for.
        acknowledged.record(at(2));
        assert!(!lacks(&acknowledged, 9, 0, &[]));
        // A server that was left acknowledges it.
        acknowledged.record(at(7));
        assert!(lacks(&acknowledged, 9, 0, &[9]));
    }

    #[test]
    fn both_sets_are_bounded_and_keep_the_newest() {
        let acknowledged = acknowledged(1..=150);
        assert_eq!(acknowledged.lock().unread.first(), Some(&at(51)));
        (1001..=3000).for_each(|minor| acknowledged.record_read(at(minor)));
        assert_eq!(acknowledged.lock().read_early.first(), Some(&at(2001)));
    }
}
