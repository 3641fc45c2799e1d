//! The state of an engine's log at some of the entries that were read. The place up to which an engine keeps all
//! snapshots is one of them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::backend::link::BackendLink;
use crate::backend::senders::Senders;
use crate::backend::snapshots::SnapshotPlace;
use crate::id::{Epoch, Offset};

/// How many checkpoints are remembered. Beyond that every second one is forgotten, and not the newest.
const CHECKPOINTS_MAX: usize = 1024;
const _: () = assert!(CHECKPOINTS_MAX.is_multiple_of(2));

/// A place, and how many entries had ever been added up to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeptPlace {
    pub(crate) place: SnapshotPlace,
    pub(crate) added: u64,
}

/// An offset up to which the log is trimmed, and the senders up to there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TrimPoint {
    pub(crate) offset: Offset,
    pub(crate) senders: Senders,
}

impl TrimPoint {
    /// Returns whether an entry was sent again, and its first copy is trimmed.
    pub(crate) fn is_repeated(&self, offset: Offset, sender: Option<(&str, u64)>) -> bool {
        offset > self.offset && sender.is_some_and(|sender| self.senders.has_number(sender))
    }
}

/// The checkpoints of one log. The reader records them.
#[derive(Default)]
pub(crate) struct Checkpoints(Mutex<State>);

#[derive(Default)]
struct State {
    epoch: Option<Epoch>,
    checkpoints: VecDeque<Checkpoint>,
    /// The senders before the first checkpoint, and of it.
    merged: Senders,
}

struct Checkpoint {
    offset: Offset,
    added: u64,
    /// The senders since the one before.
    senders: Senders,
}

impl Checkpoints {
    /// Forgets everything, because the log is read again from here on. `senders`: those that are known up to here.
    pub(crate) fn restart(&self, epoch: Epoch, offset: Offset, added: u64, senders: Senders) {
        let first = Checkpoint { offset, added, senders: Senders::default() };
        *self.lock() = State { epoch: Some(epoch), checkpoints: VecDeque::from([first]), merged: senders };
    }

    /// Records that the log is read up to an entry of this sender.
    pub(crate) fn record(&self, offset: Offset, added: u64, sender: Option<(&str, u64)>) {
        let mut state = self.lock();
        if state.checkpoints.back().is_some_and(|newest| newest.offset == offset) {
            return;
        }
        if state.checkpoints.len() == CHECKPOINTS_MAX {
            state.forget_every_second();
        }
        let mut senders = Senders::default();
        if let Some(sender) = sender {
            senders.record(sender);
        }
        state.checkpoints.push_back(Checkpoint { offset, added, senders });
    }

    /// Returns the newest place that is known up to which all snapshots are kept.
    pub(crate) fn place(&self, link: &BackendLink) -> Option<KeptPlace> {
        let place = link.snapshots_kept_through()?;
        let state = self.lock();
        let index = state.newest_through(place.epoch, place.offset)?;
        let Checkpoint { offset, added, .. } = state.checkpoints[index];
        (offset > Offset::START).then_some(KeptPlace { place: SnapshotPlace { offset, ..place }, added })
    }

    /// Takes the newest checkpoint that is not beyond a place, and of which this is true, to trim the log up to there. The
    /// checkpoints before it are forgotten.
    pub(crate) fn take_trim_point(
        &self,
        place: SnapshotPlace,
        is_old: impl Fn(Offset, u64) -> bool,
    ) -> Option<TrimPoint> {
        let mut state = self.lock();
        let through = state.newest_through(place.epoch, place.offset)?;
        let mut known = state.checkpoints.iter().take(through + 1);
        let index = known.rposition(|checkpoint| is_old(checkpoint.offset, checkpoint.added))?;
        state.merge_through(index);
        let offset = state.checkpoints[0].offset;
        (offset > Offset::START).then(|| TrimPoint { offset, senders: state.merged.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns the index of the newest checkpoint that is not beyond an offset.
    fn newest_through(&self, epoch: Epoch, offset: Offset) -> Option<usize> {
        let count = self.checkpoints.partition_point(|checkpoint| checkpoint.offset <= offset);
        count.checked_sub(1).filter(|_| self.epoch == Some(epoch))
    }

    /// Makes a checkpoint the first.
    fn merge_through(&mut self, index: usize) {
        for checkpoint in self.checkpoints.drain(..index) {
            self.merged.record_all(&checkpoint.senders);
        }
        let senders = std::mem::take(&mut self.checkpoints[0].senders);
        self.merged.record_all(&senders);
    }

    fn forget_every_second(&mut self) {
        let mut senders = Senders::default();
        for (index, mut checkpoint) in std::mem::take(&mut self.checkpoints).into_iter().enumerate() {
            senders.record_all(&checkpoint.senders);
            if index % 2 == 1 {
                checkpoint.senders = std::mem::take(&mut senders);
                self.checkpoints.push_back(checkpoint);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minor: u64) -> Offset {
        Offset::new(5, minor)
    }

    fn senders(number: u64) -> Senders {
        let mut senders = Senders::default();
        senders.record(("a", number));
        senders
    }

    /// Returns the checkpoint up to which a log may be trimmed that keeps entries after so many.
    fn trim_point(checkpoints: &Checkpoints, epoch: Epoch, place: u64, trimmed: u64) -> Option<TrimPoint> {
        let place = SnapshotPlace { offset: at(place), epoch, version: 1 };
        checkpoints.take_trim_point(place, |_, added| added <= trimmed)
    }

    #[test]
    fn of_many_checkpoints_some_are_kept_and_the_newest_in_any_case() {
        let (checkpoints, epoch) = (Checkpoints::default(), Epoch::fresh());
        checkpoints.restart(epoch, Offset::START, 0, Senders::default());
        for added in 1..=10_000 {
            checkpoints.record(at(added), added, Some(("a", added)));
        }
        let state = checkpoints.lock();
        assert!(state.checkpoints.len() <= CHECKPOINTS_MAX);
        let newest = |through| Some(state.checkpoints[state.newest_through(epoch, at(through))?].added);
        assert_eq!(newest(20_000), Some(10_000));
        let found = newest(9_500).expect("some are kept");
        assert!((9_400..=9_500).contains(&found), "{found}");
        assert_eq!(state.newest_through(Epoch::fresh(), at(10_000)), None, "another epoch");
        drop(state);
        let point = trim_point(&checkpoints, epoch, 9_500, 20_000);
        assert_eq!(point, Some(TrimPoint { offset: at(found), senders: senders(found) }));
    }

    #[test]
    fn the_senders_are_those_up_to_the_trim_point() {
        let (checkpoints, epoch) = (Checkpoints::default(), Epoch::fresh());
        checkpoints.restart(epoch, at(1), 1, senders(7));
        checkpoints.record(at(2), 2, Some(("a", 8)));
        checkpoints.record(at(3), 3, Some(("a", 10)));
        checkpoints.record(at(4), 4, None);
        let point = |place, trimmed| trim_point(&checkpoints, epoch, place, trimmed);
        assert_eq!(point(4, 0), None);
        assert_eq!(point(4, 1), Some(TrimPoint { offset: at(1), senders: senders(7) }));
        assert_eq!(point(2, 4), Some(TrimPoint { offset: at(2), senders: senders(8) }));
        let third = point(3, 4).unwrap();
        assert_eq!(third, TrimPoint { offset: at(3), senders: senders(10) });
        assert!(third.is_repeated(at(9), Some(("a", 10))) && !third.is_repeated(at(9), Some(("a", 11))));
        assert!(!third.is_repeated(at(3), Some(("a", 10))) && !third.is_repeated(at(9), None));
    }
}
