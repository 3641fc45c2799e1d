//! What became of the messages that a reader was owed, counted. How it reads them is the reader's affair.

use std::ops::{AddAssign, Sub};

use crate::message::Retention;

/// A number of messages, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) queue: u64,
    pub(crate) latest: u64,
}

impl Amount {
    /// One message.
    pub(crate) fn of(retention: Retention) -> Self {
        match retention {
            Retention::Queue => Self { queue: 1, latest: 0 },
            Retention::Latest => Self { queue: 0, latest: 1 },
        }
    }

    fn total(self) -> u64 {
        self.queue + self.latest
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.queue += other.queue;
        self.latest += other.latest;
    }
}

// A sum that did not balance is a bug, but no reason to panic where a connection ends.
impl Sub for Amount {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { queue: self.queue.saturating_sub(other.queue), latest: self.latest.saturating_sub(other.latest) }
    }
}

/// What a reader counts while it is open: an addition per run, and one per run that is delivered.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    /// What had been appended for its keys when it came and was not owed to it.
    before: Amount,
    read: Amount,
    missed: u64,
    /// Of what was missed, what was never appended here.
    never_came: u64,
    pub(crate) delivered: u64,
    pub(crate) filtered: u64,
}

/// A ledger at its end: what was owed is the sum of the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Balance {
    /// What stood in its snapshot or behind its id when it came, what was appended for its keys since, and what is known to
    /// have been lost on its way here.
    pub(crate) owed: u64,
    /// Handed out to be written. Whether the client's socket took it is not known here.
    pub(crate) delivered: u64,
    pub(crate) filtered: u64,
    /// `latest` messages that a newer one replaced, or `forget` dropped, before they were read.
    pub(crate) conflated: u64,
    /// Declared by a gap.
    pub(crate) missed: u64,
    /// Neither read nor declared missing, or read and not handed out before the end.
    pub(crate) unread: u64,
}

impl Ledger {
    /// A reader comes when so much was `appended` for its keys, and is owed `replayed` of that.
    pub(crate) fn open(appended: Amount, replayed: Amount) -> Self {
        Self {
            before: appended - replayed,
            read: Amount::default(),
            missed: 0,
            never_came: 0,
            delivered: 0,
            filtered: 0,
        }
    }

    pub(crate) fn reads(&mut self, read: Amount) {
        self.read += read;
    }

    pub(crate) fn misses(&mut self, missed: u64) {
        self.missed += missed;
    }

    /// Messages that it was owed were never appended here.
    pub(crate) fn misses_unseen(&mut self, missed: u64) {
        self.missed += missed;
        self.never_came += missed;
    }

    /// The sum, when so much has been `appended` for its keys by now and `left` of it is still to be read.
    pub(crate) fn balance(&self, appended: Amount, left: Amount) -> Balance {
        let owed = appended - self.before;
        Balance {
            owed: owed.total() + self.never_came,
            delivered: self.delivered,
            filtered: self.filtered,
            // Nothing else can become of a `latest` message. Queue messages are not in this remainder: they must add up.
            conflated: (owed - self.read - left).latest,
            missed: self.missed,
            unread: left.total() + self.read.total() - self.delivered - self.filtered,
        }
    }
}
