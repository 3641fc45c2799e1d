//! What became of the messages that a reader was owed, in counts that balance. The test of every reader is that they
//! do.

use std::ops::Sub;

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

// Saturating, here and below: counts that do not balance are a bug, but no reason to panic where a connection ends.
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
    /// Messages of its keys that were appended before it opened and are not owed to it, less those that it is owed once
    /// more after a gap.
    not_owed: i64,
    read: u64,
    /// The part of `not_owed` and `read` together that is `latest`.
    accounted_latest: i64,
    /// Their part that is ephemeral.
    accounted_ephemeral: i64,
    missed: u64,
    /// Of the missed messages, those that were never appended here.
    never_appended: u64,
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
    /// Queue messages that a snapshot contains which the reader got instead.
    pub(crate) summed: u64,
    /// Neither read nor reported missing, or read and not delivered before the end.
    pub(crate) unread: u64,
}

impl Balance {
    /// Returns the ephemeral messages that were missed, as they are logged: not at all when there are none.
    pub(crate) fn logged_ephemeral_missed(&self) -> Option<u64> {
        Some(self.ephemeral_missed).filter(|missed| *missed > 0)
    }

    /// Returns the messages that snapshots contain, as they are logged: not at all when there are none.
    pub(crate) fn logged_summed(&self) -> Option<u64> {
        Some(self.summed).filter(|summed| *summed > 0)
    }
}

impl Ledger {
    /// Opens the ledger of a reader for whose keys so many messages were `appended`, of which it is still owed
    /// `replayed`.
    pub(crate) fn open(appended: Counts, replayed: Counts) -> Self {
        let not_owed = appended - replayed;
        let signed = |count| i64::try_from(count).unwrap_or(i64::MAX);
        Self {
            not_owed: signed(not_owed.total()),
            read: 0,
            accounted_latest: signed(not_owed.latest),
            accounted_ephemeral: signed(not_owed.ephemeral),
            missed: 0,
            never_appended: 0,
            delivered: 0,
            filtered: 0,
        }
    }

    pub(crate) fn record_read(&mut self, read: Counts) {
        self.read += read.total();
        self.accounted_latest = self.accounted_latest.saturating_add_unsigned(read.latest);
        self.accounted_ephemeral = self.accounted_ephemeral.saturating_add_unsigned(read.ephemeral);
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
        self.not_owed = self.not_owed.saturating_sub_unsigned(messages.total());
        self.accounted_latest = self.accounted_latest.saturating_sub_unsigned(messages.latest);
        self.accounted_ephemeral = self.accounted_ephemeral.saturating_sub_unsigned(messages.ephemeral);
    }

    /// Records a key whose messages are read from now on: so many were `appended`, of which so many are owed.
    pub(crate) fn record_key_added(&mut self, appended: Counts, owed: Counts) {
        let not_owed = appended - owed;
        self.not_owed = self.not_owed.saturating_add_unsigned(not_owed.total());
        self.accounted_latest = self.accounted_latest.saturating_add_unsigned(not_owed.latest);
        self.accounted_ephemeral = self.accounted_ephemeral.saturating_add_unsigned(not_owed.ephemeral);
    }

    /// Records a key whose messages are read no more: so many were `appended`, of which so many were `remaining` to be
    /// read.
    pub(crate) fn record_key_removed(&mut self, appended: Counts, remaining: Counts) {
        self.record_owed_again(appended - remaining);
    }

    /// Returns the balance, when so many messages have been `appended` for its keys and so many are `remaining` to be
    /// read.
    pub(crate) fn balance(&self, appended: Counts, remaining: Counts) -> Balance {
        let owed = appended.total().saturating_sub_signed(self.not_owed);
        let gone = |appended: u64, accounted: i64, remaining: u64| {
            appended.saturating_sub_signed(accounted).saturating_sub(remaining)
        };
        let conflated = gone(appended.latest, self.accounted_latest, remaining.latest);
        let ephemeral_missed = gone(appended.ephemeral, self.accounted_ephemeral, remaining.ephemeral);
        let gone_queue = owed.saturating_sub(self.read + remaining.total() + conflated + ephemeral_missed);
        Balance {
            owed: owed + self.never_appended,
            delivered: self.delivered,
            filtered: self.filtered,
            // A `latest` message that was neither read nor remains was conflated. A queue message was summed, or is
            // reported as missing.
            conflated,
            missed: self.missed,
            ephemeral_missed,
            summed: gone_queue.saturating_sub(self.missed - self.never_appended),
            unread: remaining.total() + self.read - self.delivered - self.filtered,
        }
    }
}
