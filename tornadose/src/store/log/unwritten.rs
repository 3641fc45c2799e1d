//! The keys whose newest snapshot the engine does not keep yet, by when it is to be written.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::id::Offset;

/// The time from the first unwritten message of a key until its snapshot is written.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);

/// The further delay of a process that has not submitted the newest message.
const OVERDUE_AFTER: Duration = Duration::from_secs(5);

/// Up to this, each process has a further delay of its own, so that not all of them write at once what none has
/// submitted.
const SPREAD_MILLIS: u64 = 1000;

/// The bytes of snapshots that are written per second.
const BYTES_PER_SECOND: u32 = 4 << 20;

/// The process that has submitted a message, or a finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Submitter {
    ThisProcess,
    AnotherProcess,
    /// It is not told.
    Unknown,
}

/// The keys with unwritten snapshots.
#[derive(Default)]
pub(crate) struct Unwritten {
    keys: BTreeMap<usize, UnwrittenKey>,
    by_due: BTreeSet<(Instant, usize)>,
    /// The keys that were taken and of which the outcome is not known, with their first unwritten messages.
    in_flight: BTreeMap<usize, Offset>,
    /// When further snapshots may be written, by the bytes of those before.
    free_at: Option<Instant>,
    /// The further delay of this process where it has not submitted the newest message.
    spread: Duration,
}

#[derive(Clone, Copy)]
struct UnwrittenKey {
    /// Its first unwritten message, or its finish.
    first: Offset,
    /// When its first unwritten message came.
    since: Instant,
    is_overdue: bool,
    due_at: Instant,
}

/// A key whose snapshot is due, and whether another process ought to have written it.
pub(crate) struct DueKey {
    pub(crate) key_index: usize,
    pub(crate) is_overdue: bool,
}

impl Unwritten {
    /// Creates those of the process that sends under this id.
    pub(super) fn of_sender(sender_id: &str) -> Self {
        let hash = sender_id
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self { spread: Duration::from_millis((hash >> 32) % SPREAD_MILLIS), ..Self::default() }
    }

    /// Records a change of a key's snapshot. Returns whether a snapshot may now be due earlier.
    pub(super) fn record(&mut self, key_index: usize, offset: Offset, submitter: Submitter, now: Instant) -> bool {
        let before = self.keys.get(&key_index).copied();
        let is_overdue = match (submitter, before) {
            (Submitter::ThisProcess, _) => false,
            (Submitter::Unknown, Some(before)) => before.is_overdue,
            (Submitter::AnotherProcess, _) | (Submitter::Unknown, None) => true,
        };
        if before.is_some_and(|before| before.is_overdue == is_overdue) {
            return false;
        }
        let (first, since) = before.map_or((offset, now), |before| (before.first, before.since));
        self.insert(key_index, first, since, is_overdue);
        true
    }

    fn insert(&mut self, key_index: usize, first: Offset, since: Instant, is_overdue: bool) {
        if let Some(before) = self.keys.get(&key_index) {
            self.by_due.remove(&(before.due_at, key_index));
        }
        let due_at = since + WRITE_INTERVAL + if is_overdue { OVERDUE_AFTER + self.spread } else { Duration::ZERO };
        self.keys.insert(key_index, UnwrittenKey { first, since, is_overdue, due_at });
        self.by_due.insert((due_at, key_index));
    }

    /// Makes a key due soon. None of its messages counts as written.
    pub(super) fn recheck(&mut self, key_index: usize, now: Instant) {
        self.remove(key_index);
        let (first, is_overdue, due_at) = (Offset::START.next(), true, now + self.spread);
        self.keys.insert(key_index, UnwrittenKey { first, since: now, is_overdue, due_at });
        self.by_due.insert((due_at, key_index));
    }

    pub(super) fn remove(&mut self, key_index: usize) {
        self.in_flight.remove(&key_index);
        if let Some(key) = self.keys.remove(&key_index) {
            self.by_due.remove(&(key.due_at, key_index));
        }
    }

    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.by_due.clear();
        self.in_flight.clear();
    }

    /// Returns when the next snapshot is due.
    pub(super) fn next_at(&self) -> Option<Instant> {
        let (due_at, _) = self.by_due.first()?;
        Some(self.free_at.map_or(*due_at, |free_at| free_at.max(*due_at)))
    }

    pub(super) fn take_due(&mut self, now: Instant) -> Option<DueKey> {
        if self.next_at()? > now {
            return None;
        }
        let (_, key_index) = self.by_due.pop_first()?;
        let key = self.keys.remove(&key_index)?;
        let first = self.in_flight.get(&key_index).map_or(key.first, |first| key.first.min(*first));
        self.in_flight.insert(key_index, first);
        Some(DueKey { key_index, is_overdue: key.is_overdue })
    }

    /// Makes a key due again, after a second or as one that another process has to write.
    pub(super) fn retry(&mut self, key_index: usize, now: Instant, is_overdue: bool) {
        let later = self.keys.get(&key_index).map(|key| key.first);
        if let Some(first) = self.in_flight.remove(&key_index).or(later) {
            self.insert(key_index, first, now, is_overdue);
        }
    }

    /// Records that the outcome of a key is known: what was in its snapshot is written.
    pub(super) fn record_written(&mut self, key_index: usize) {
        self.in_flight.remove(&key_index);
    }

    /// Returns the first message that is not written.
    pub(super) fn first(&self) -> Option<Offset> {
        self.keys.values().map(|key| key.first).chain(self.in_flight.values().copied()).min()
    }

    pub(super) fn record_bytes(&mut self, bytes: usize, now: Instant) {
        let took = Duration::from_secs(1).saturating_mul(u32::try_from(bytes).unwrap_or(u32::MAX)) / BYTES_PER_SECOND;
        self.free_at = Some(self.free_at.map_or(now, |free_at| free_at.max(now)) + took);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const AT: Offset = Offset::new(5, 0);

    fn due(unwritten: &mut Unwritten) -> Vec<(usize, bool)> {
        let taken = std::iter::from_fn(|| unwritten.take_due(Instant::now()));
        taken.map(|DueKey { key_index, is_overdue }| (key_index, is_overdue)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_due_once_a_second_and_that_of_another_process_five_seconds_later() {
        let mut unwritten = Unwritten::default();
        assert!(unwritten.record(1, AT, Submitter::ThisProcess, Instant::now()));
        assert!(unwritten.record(2, AT, Submitter::AnotherProcess, Instant::now()));
        advance(SECOND / 2).await;
        assert!(!unwritten.record(1, AT, Submitter::ThisProcess, Instant::now()), "it is due already");
        assert_eq!(due(&mut unwritten), []);
        advance(SECOND / 2).await;
        assert_eq!(due(&mut unwritten), [(1, false)]);
        advance(4 * SECOND).await;
        assert_eq!(due(&mut unwritten), []);
        advance(SECOND).await;
        assert_eq!(due(&mut unwritten), [(2, true)]);
        assert_eq!(unwritten.next_at(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_no_process_has_submitted_is_due_at_another_time_in_each() {
        let now = Instant::now();
        let due_after = |sender_id: &str, submitter| {
            let mut unwritten = Unwritten::of_sender(sender_id);
            unwritten.record(1, AT, submitter, now);
            unwritten.next_at().unwrap() - now
        };
        let senders = ["8f3k2m1q", "8f3k2m1r", "aaaaaaaa", "zz00zz00", "x1x1x1x1"];
        let times = senders.map(|sender_id| due_after(sender_id, Submitter::Unknown));
        assert!(times.iter().all(|time| (6 * SECOND..7 * SECOND).contains(time)), "{times:?}");
        let different: std::collections::BTreeSet<_> = times.iter().collect();
        assert!(different.len() > 2, "{times:?}");
        assert_eq!(due_after(senders[0], Submitter::ThisProcess), SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn processes_that_submit_in_turn_do_not_put_off_the_snapshot() {
        let mut unwritten = Unwritten::default();
        for _ in 0..6 {
            unwritten.record(1, AT, Submitter::ThisProcess, Instant::now());
            unwritten.record(1, AT, Submitter::AnotherProcess, Instant::now());
            assert_eq!(due(&mut unwritten), []);
            advance(SECOND).await;
        }
        unwritten.record(1, AT, Submitter::Unknown, Instant::now());
        assert_eq!(due(&mut unwritten), [(1, true)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_is_unwritten_until_the_outcome_is_known() {
        let at = |minor| Offset::new(5, minor);
        let mut unwritten = Unwritten::default();
        assert_eq!(unwritten.first(), None);
        unwritten.record(1, at(1), Submitter::ThisProcess, Instant::now());
        unwritten.record(2, at(2), Submitter::AnotherProcess, Instant::now());
        advance(SECOND).await;
        assert_eq!(due(&mut unwritten), [(1, false)]);
        unwritten.record(1, at(3), Submitter::ThisProcess, Instant::now());
        assert_eq!(unwritten.first(), Some(at(1)));
        unwritten.retry(1, Instant::now(), false);
        assert_eq!((unwritten.first(), due(&mut unwritten)), (Some(at(1)), vec![]));
        advance(SECOND).await;
        assert_eq!(due(&mut unwritten), [(1, false)]);
        unwritten.record_written(1);
        assert_eq!(unwritten.first(), Some(at(2)));
        unwritten.remove(2);
        assert_eq!(unwritten.first(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn all_snapshots_together_are_written_at_four_megabytes_per_second() {
        let mut unwritten = Unwritten::default();
        for key_index in 1..=3 {
            unwritten.record(key_index, AT, Submitter::ThisProcess, Instant::now());
        }
        advance(SECOND).await;
        assert!(unwritten.take_due(Instant::now()).is_some());
        unwritten.record_bytes(8 << 20, Instant::now());
        advance(Duration::from_millis(1999)).await;
        assert_eq!(due(&mut unwritten), []);
        advance(Duration::from_millis(1)).await;
        assert_eq!(due(&mut unwritten), [(2, false), (3, false)]);
    }
}
