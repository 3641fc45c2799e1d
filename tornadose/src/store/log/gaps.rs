//! The turns that a log has taken since it was made: breaches and new lives. Taking them is `life`'s affair.

use std::collections::VecDeque;

use crate::id::Offset;

/// How many places are remembered to have been seen, beside those of what is kept.
pub(super) const SEEN: usize = 100_000;

/// How many breaches readers can be behind before two are told as one.
pub(super) const BREACHES: usize = 64;

/// Why messages will never come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// They were dropped where they are kept before they were read here.
    Trimmed,
    /// Nothing was heard for a while.
    Outage,
}

/// Messages that will never come, and where they would have stood.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Breach {
    pub(super) turn: u64,
    /// They would have stood behind this.
    pub(super) after: Offset,
    pub(super) cause: Cause,
    /// How many messages, of all keys and kinds.
    pub(super) missed: Option<u64>,
}

/// The turns that a log has taken: breaches and new lives, numbered together, which a reader compares with one number.
pub(super) struct Turns {
    pub(super) now: u64,
    /// The turn at which this life began.
    pub(super) life: u64,
    pub(super) breaches: VecDeque<Breach>,
    /// Messages at or below may have been there that this log has never held.
    pub(super) lost: Offset,
    /// The newest places that were seen, in order; none for a log that counts by itself, which has seen all up to its head.
    pub(super) seen: Option<VecDeque<Offset>>,
}

impl Turns {
    pub(super) fn none() -> Self {
        Self { now: 0, life: 0, breaches: VecDeque::new(), lost: Offset::START, seen: None }
    }
}
