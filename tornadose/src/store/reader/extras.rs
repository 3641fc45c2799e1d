//! What only few readers have, or only for a short time. It is apart, so that a reader without it is small.

use crate::message::Message;
use crate::store::log::pass::Pass;
use crate::store::reader::end_timer::EndTimer;
use crate::store::reader::resume::PendingResume;

pub(super) struct Extras<M: Message> {
    /// The resume that is not decided yet.
    pub(super) resume: Option<PendingResume>,
    pub(super) end_timer: EndTimer,
    /// Those of a reader that gets snapshots.
    pub(super) sums: Option<ReaderSums<M>>,
}

impl<M: Message> Default for Extras<M> {
    fn default() -> Self {
        Self { resume: None, end_timer: EndTimer::default(), sums: None }
    }
}

impl<M: Message> Extras<M> {
    /// Returns those of a new reader.
    pub(super) fn new(gets_snapshots: bool) -> Option<Box<Self>> {
        let sums = || Box::new(Self { sums: Some(ReaderSums::default()), ..Self::default() });
        (M::SNAPSHOT.is_some() && gets_snapshots).then(sums)
    }

    /// Returns what a reader that gets snapshots has beside its cursor.
    #[inline]
    pub(super) fn sums_of(extras: &mut Option<Box<Self>>) -> Option<&mut ReaderSums<M>> {
        if M::SNAPSHOT.is_some() { extras.as_mut()?.sums.as_mut() } else { None }
    }
}

/// What a reader that gets snapshots has beside its cursor.
pub(super) struct ReaderSums<M: Message> {
    /// Of the queue messages of its keys that are not summed, those that were read or are not owed.
    pub(super) accounted_others: u64,
    pub(super) pass: Option<Pass<M>>,
    /// Whether the pass has told the id of its place.
    pub(super) has_told_place: bool,
    /// Whether a key that it has begun to read has a snapshot which contains messages above its place, so that it reads on
    /// with a pass.
    pub(super) owes_pass: bool,
}

impl<M: Message> Default for ReaderSums<M> {
    fn default() -> Self {
        Self { accounted_others: 0, pass: None, has_told_place: false, owes_pass: false }
    }
}
