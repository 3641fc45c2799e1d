//! What became of the messages that a reader was owed, in counts that balance. The test of every reader is that they
//! do.

use std::ops::{AddAssign, Sub};

/// A number of messages, by retention.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) queue: u64,
    pub(crate) latest: u64,
    pub(crate) ephemeral: u64,
}

impl Counts {
    fn total(self) -> u64 {
        self.queue + self.latest + self.ephemeral
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.queue += other.queue;
        self.latest += other.latest;
        self.ephemeral += other.ephemeral;
    }
}

// Saturating: counts that do not balance are a bug, but no reason to panic where a connection ends.
impl Sub for Counts {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            queue: self.queue.saturating_sub(other.queue),
            latest: self.latest.saturating_sub(other.latest),
            ephemeral: self.ephemeral.saturating_sub(other.ephemeral),
        }
    }
}

/// The counts of a reader while it is open: an addition per batch that is read, and one per batch that is delivered.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    /// Messages of its keys that were appended before it opened and are not owed to it.
    not_owed: Counts,
    read: Counts,
    missed: u64,
    /// Of the missed messages, those that were never appended here.
    never_appended: u64,
    /// Messages that it was owed already or not at all, and is owed after a gap.
    owed_again: Counts,
    pub(crate) delivered: u64,
    pub(crate) filtered: u64,
}

/// The ledger of a reader at its end: `owed` is the sum of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Balance {
    /// Messages that were kept for it when it opened, that were appended for its keys since, and that are known to be
    /// lost on their way here.
    pub(crate) owed: u64,
    /// Handed to the socket, or returned by the subscription. Whether the client has received them is not known here.
    pub(crate) delivered: u64,
    pub(crate) filtered: u64,
    /// `latest` messages that a newer one replaced, or `forget` dropped, or that expired, before they were read.
    pub(crate) conflated: u64,
    /// Reported by a gap.
    pub(crate) missed: u64,
    /// Ephemeral messages that were dropped before they were read. No gap reports them.
    pub(crate) ephemeral_missed: u64,
    /// Neither read nor reported missing, or read and not delivered before the end.
    pub(crate) unread: u64,
}

impl Balance {
    /// Returns the ephemeral messages that were missed, as they are logged: not at all when there are none.
    pub(crate) fn logged_ephemeral_missed(&self) -> Option<u64> {
        Some(self.ephemeral_missed).filter(|missed| *missed > 0)
    }
}

impl Ledger {
    /// Opens the ledger of a reader for whose keys so many messages were `appended`, of which it is still owed
    /// `replayed`.
    pub(crate) fn open(appended: Counts, replayed: Counts) -> Self {
        Self {
            not_owed: appended - replayed,
            read: Counts::default(),
            missed: 0,
            never_appended: 0,
            owed_again: Counts::default(),
            delivered: 0,
            filtered: 0,
        }
    }

    pub(crate) fn record_read(&mut self, read: Counts) {
        self.read += read;
    }

    pub(crate) fn record_missed(&mut self, missed: u64) {
        self.missed += missed;
    }

    /// Records missed messages that were never appended here.
    pub(crate) fn record_missed_unappended(&mut self, missed: u64) {
        self.missed += missed;
        self.never_appended += missed;
    }

    /// Records messages that are sent again, or that a new reader is sent.
    pub(crate) fn record_owed_again(&mut self, messages: Counts) {
        self.owed_again += messages;
    }

    /// Returns the balance, when so many messages have been `appended` for its keys and so many are `remaining` to be
    /// read.
    pub(crate) fn balance(&self, appended: Counts, remaining: Counts) -> Balance {
        let mut owed = appended - self.not_owed;
        owed += self.owed_again;
        let gone = owed - self.read - remaining;
        Balance {
            owed: owed.total() + self.never_appended,
            delivered: self.delivered,
            filtered: self.filtered,
            // A `latest` message that was neither read nor remains was conflated. Queue messages must add up without
            // a remainder.
            conflated: gone.latest,
            missed: self.missed,
            ephemeral_missed: gone.ephemeral,
            unread: remaining.total() + self.read.total() - self.delivered - self.filtered,
        }
    }
}
