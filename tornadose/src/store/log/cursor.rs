//! Reading a log by place: where a reader starts, what it finds there, and what it has lost. What is kept is `log`'s affair.

use std::any::TypeId;
use std::ops::Bound;
use std::sync::Arc;

use crate::id::{Id, Offset};
use crate::message::{Message, NoKey, Retention};
use crate::store::entry::{Batch, Entry, Run};
use crate::store::ledger::Amount;
use crate::store::log::Log;
use crate::store::log::batch::Recent;
use crate::store::log::gaps::Cause;
use crate::store::log::key::Topic;
use crate::store::log::merge::{View, merge, merge_all};

/// How many encoded bytes a reader takes at once; more only when one message has more.
const RUN_BYTES: usize = 64 << 10;

/// What an event's id and frame take, roughly.
const ENVELOPE: usize = 64;

/// How many runs of several messages are kept for the next reader at the same place; each has about [`RUN_BYTES`].
const RECENT_RUNS: usize = 16;

/// How far a reader has come.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Everything of its keys up to here was handed out or is not owed.
    at: Offset,
    /// Queue messages at or below are not owed.
    not_owed: Offset,
    /// What stands at or below is read without an id (F in the position rule).
    pub(crate) unnumbered: Offset,
    /// Of the queue messages of its keys that were appended, those that are settled: handed out or not owed.
    pub(crate) settled: u64,
    /// The newest turn of the log that it has heard of.
    pub(super) turn: u64,
}

impl Place {
    fn owed_after(&self) -> Offset {
        self.at.max(self.not_owed)
    }

    /// Moves to this message. All up to it was read, so many queue messages among that.
    pub(crate) fn passes(&mut self, through: Offset, queue: u64) {
        self.at = through;
        self.settled += queue;
    }
}

/// What a reader finds at its place.
pub(crate) enum Reading<M> {
    /// The next messages. `numbered`: they carry their ids.
    Run { run: Run<M>, numbered: bool, amount: Amount },
    /// Nothing more; the reader stands at the head.
    End,
    /// Queue messages that it was owed are gone.
    Lagged { missed: u64 },
    /// Messages that it may have been owed never came.
    Breach { cause: Cause, missed: Option<u64> },
    /// The log has begun anew, and the place is none in it.
    Restarted,
}

/// What a log knows of an id.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    /// All that came after it for these keys is kept.
    Resumed,
    /// This log, but messages after the id are gone.
    Trimmed,
    /// The id is of no place that this log knows.
    Restarted,
    /// The id may be that of a message which is still on its way here.
    Awaited,
}

impl Start {
    /// What logs and counters call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Resumed => "known",
            Self::Trimmed => "trimmed",
            Self::Restarted => "restarted",
            Self::Awaited => "awaited",
        }
    }
}

impl<M: Message> Log<M> {
    /// Where a new reader starts: before all `latest` values and the last `replay` queue messages of its keys together.
    pub(crate) fn place_new(&self, view: &View, replay: usize) -> Place {
        let not_owed = self.newest_not_replayed(view, replay);
        self.place(view, Offset::START, not_owed, not_owed.max(self.trimmed(view)))
    }

    /// Where a reader goes on after an id, known or trimmed: with what is kept of its keys after it.
    pub(crate) fn place_after(&self, view: &View, after: Offset) -> Place {
        self.place(view, after, after, self.trimmed(view))
    }

    /// Where a reader starts for whom nothing is known: before all that is kept of its keys.
    pub(crate) fn place_first(&self, view: &View) -> Place {
        self.place(view, Offset::START, Offset::START, self.trimmed(view))
    }

    fn place(&self, view: &View, at: Offset, not_owed: Offset, unnumbered: Offset) -> Place {
        let settled = self.appended(view) - self.count_after(view, at.max(not_owed));
        Place { at, not_owed, unnumbered, settled, turn: self.turns.now }
    }

    /// Where a reader goes on that lagged: at its place, with what is still kept after it.
    pub(crate) fn place_after_loss(&self, view: &View, place: &Place) -> Place {
        let after = self.place(view, place.at, place.not_owed, place.not_owed.max(self.trimmed(view)));
        Place { turn: place.turn, ..after }
    }

    /// What this log knows of an id that a client has seen.
    pub(crate) fn start(&self, view: &View, id: Id) -> Start {
        if id.epoch != self.epoch || id.offset > self.head {
            Start::Restarted
        } else if !self.knows(id.offset) || self.trimmed(view) > id.offset {
            Start::Trimmed
        } else {
            Start::Resumed
        }
    }

    /// Whether an id at the place above which its reader reads with ids may be written: one that is not known would not be taken.
    pub(crate) fn may_mark(&self, place: &Place) -> bool {
        self.knows(place.unnumbered)
    }

    /// The turn that a reader who has read all has heard of.
    pub(crate) fn turn(&self) -> u64 {
        self.turns.now
    }

    /// Whether there is nothing behind a place.
    pub(crate) fn ends_at(&self, place: &Place) -> bool {
        place.at == self.head && place.turn == self.turns.now
    }

    /// The next messages at a place, which moves behind them.
    pub(crate) fn read(&mut self, view: &View, place: &mut Place) -> Reading<M> {
        if place.turn != self.turns.now
            && let Some(turned) = self.turned(view, place)
        {
            return turned;
        }
        if place.at == self.head {
            return Reading::End;
        }
        if self.may_have_lost(view, place) {
            let owed = self.appended(view) - place.settled;
            let kept = self.count_after(view, place.owed_after());
            if kept < owed {
                return Reading::Lagged { missed: owed - kept };
            }
        }
        let numbered = place.at >= place.unnumbered;
        let run = if self.newest(view) <= place.at {
            None
        } else {
            self.recent_run(view, place).or_else(|| self.next_run(view, place))
        };
        let Some(run) = run else {
            // Nothing of its keys stands between its place and the head, or what never came.
            if let Some(breach) = self.next_breach(place) {
                place.at = breach.after;
                return self.read(view, place);
            }
            place.at = self.head;
            return Reading::End;
        };
        let entries = run.entries();
        let last = entries.last().expect("a run is not empty");
        let numbered = numbered || entries[0].offset() > place.unnumbered;
        place.at = last.offset();
        let queue = entries.iter().filter(|entry| entry.retention == Retention::Queue).count() as u64;
        place.settled += queue;
        let amount = Amount { queue, latest: entries.len() as u64 - queue };
        Reading::Run { run, numbered, amount }
    }

    /// What a reader hears first that has not heard of the log's newest turn; none when it has to read on until there.
    fn turned(&self, view: &View, place: &mut Place) -> Option<Reading<M>> {
        if place.turn < self.turns.life {
            return Some(Reading::Restarted);
        }
        let Some(breach) = self.next_breach(place).copied() else {
            place.turn = self.turns.now;
            return None;
        };
        if place.at < breach.after {
            return None;
        }
        place.turn = breach.turn;
        // They are known to be its own only when everything is, and when all count.
        let all = matches!(view, View::All) || TypeId::of::<M::Key>() == TypeId::of::<NoKey>();
        Some(Reading::Breach { cause: breach.cause, missed: breach.missed.filter(|_| all && !M::HAS_LATEST) })
    }

    /// How much was appended for these keys, kept or not.
    pub(crate) fn came(&self, view: &View) -> Amount {
        let latest = match view {
            View::All => self.appended_latest,
            _ => self.over(view, |topic| topic.appended_latest).sum(),
        };
        Amount { queue: self.appended(view), latest }
    }

    /// How much a reader at this place has still to read or to be told of. What it is, it may be about to read: this takes
    /// as long as counting the `latest` messages of it.
    pub(crate) fn left(&self, view: &View, place: &Place) -> Amount {
        let latest = match view {
            View::All => self.latest.range(beyond(place.at)).count(),
            _ => self.over(view, |topic| topic.latest_after(place.at).count()).sum(),
        };
        Amount { queue: self.appended(view) - place.settled, latest: latest as u64 }
    }

    /// Whether something that the reader is owed can have been trimmed; a look at the counts then tells.
    fn may_have_lost(&self, view: &View, place: &Place) -> bool {
        // Up to its unnumbered place a reader of several keys expects some of them to be trimmed further than others.
        place.at < place.unnumbered || self.trimmed(view) > place.owed_after()
    }

    /// The run that another reader at the same place has just taken.
    fn recent_run(&self, view: &View, place: &Place) -> Option<Run<M>> {
        let (topic, version) = self.shared_place(view, place)?;
        let recent = self.recent.iter().find(|recent| {
            recent.topic == topic
                && recent.version == version
                && recent.after <= place.at
                && place.at < Run::Many(Arc::clone(&recent.batch)).entries()[0].offset()
        })?;
        Some(Run::Many(Arc::clone(&recent.batch)))
    }

    /// Which topic's runs can be shared at this place, in which version; none for a set of keys, or for a reader that
    /// leaves queue messages out, takes entries without ids, or is to hear of a breach.
    fn shared_place(&self, view: &View, place: &Place) -> Option<(Option<usize>, u64)> {
        if place.at < place.unnumbered || place.at < place.not_owed || place.turn != self.turns.now {
            return None;
        }
        match view {
            View::One(topic) => Some((Some(*topic), self.topics[*topic].version)),
            View::All => Some((None, self.version)),
            View::Set(_) => None,
        }
    }

    fn next_run(&mut self, view: &View, place: &Place) -> Option<Run<M>> {
        // What never came is told where it would have stood.
        let last = self.next_breach(place).map(|breach| breach.after);
        let run = match view {
            View::One(topic) => {
                let topic = &self.topics[*topic];
                let entries = merge(topic.latest_after(place.at), topic.queue_after(place.owed_after()));
                run_of(entries, place.unnumbered, last)
            }
            View::Set(topics) => {
                let topics = topics.iter().map(|&topic| &self.topics[topic]);
                let entries =
                    topics.map(|topic| merge(topic.latest_after(place.at), topic.queue_after(place.owed_after())));
                run_of(merge_all(entries), place.unnumbered, last)
            }
            View::All => {
                let latest = self.latest.range(beyond(place.at)).map(|(_, entry)| entry);
                let queue = self.queue.range(beyond(place.owed_after())).map(|(_, entry)| entry);
                run_of(merge(latest, queue), place.unnumbered, last)
            }
        }?;
        if let Run::Many(batch) = &run
            && let Some((topic, version)) = self.shared_place(view, place)
        {
            if self.recent.len() == RECENT_RUNS {
                self.discarded.extend(self.recent.pop_front());
            }
            let after = self.newest_kept_up_to(topic, place.at);
            self.recent.push_back(Recent { topic, version, after, batch: Arc::clone(batch) });
        }
        Some(run)
    }

    /// What is to be dropped outside of the store's lock.
    pub(crate) fn take_discarded(&mut self) -> Vec<Recent<M>> {
        std::mem::take(&mut self.discarded)
    }

    /// The newest entry of a topic, or of all, that is kept at or below a place.
    fn newest_kept_up_to(&self, topic: Option<usize>, place: Offset) -> Offset {
        let (latest, queue) = match topic {
            Some(topic) => self.topics[topic].newest_up_to(place),
            None => (
                self.latest.range(..=place).next_back().map(|(offset, _)| *offset),
                self.queue.range(..=place).next_back().map(|(offset, _)| *offset),
            ),
        };
        latest.max(queue).unwrap_or(Offset::START)
    }

    fn trimmed(&self, view: &View) -> Offset {
        match view {
            View::All => self.trimmed,
            _ => self.over(view, |topic| topic.trimmed).max().unwrap_or(Offset::START),
        }
        .max(self.turns.lost)
    }

    fn newest(&self, view: &View) -> Offset {
        match view {
            View::All => self.head,
            _ => self.over(view, |topic| topic.newest).max().unwrap_or(Offset::START),
        }
    }

    fn appended(&self, view: &View) -> u64 {
        match view {
            View::All => self.appended,
            _ => self.over(view, |topic| topic.appended).sum(),
        }
    }

    /// How many queue messages are kept after a place.
    fn count_after(&self, view: &View, after: Offset) -> u64 {
        match view {
            View::All => self.queue.range(beyond(after)).count() as u64,
            _ => self.over(view, |topic| topic.count_after(after)).sum(),
        }
    }

    /// The newest kept queue message that is not among the last `replay`.
    fn newest_not_replayed(&self, view: &View, replay: usize) -> Offset {
        let offset = |entry: &Arc<Entry<M>>| entry.offset();
        match view {
            View::All => self.queue.keys().rev().nth(replay).copied(),
            View::One(topic) => self.topics[*topic].queue.iter().rev().nth(replay).map(offset),
            View::Set(topics) => {
                let mut kept: Vec<Offset> = topics
                    .iter()
                    .flat_map(|&topic| self.topics[topic].queue.iter().rev().take(replay.saturating_add(1)).map(offset))
                    .collect();
                kept.sort_unstable();
                kept.into_iter().rev().nth(replay)
            }
        }
        .unwrap_or(Offset::START)
    }

    fn over<'a, T>(&'a self, view: &'a View, of: impl Fn(&Topic<M>) -> T + 'a) -> impl Iterator<Item = T> + 'a {
        view.topics().iter().map(move |&topic| of(&self.topics[topic]))
    }
}

/// As many entries as a reader takes at once up to the last, wholly above a place or wholly not.
fn run_of<'a, M: 'a>(
    entries: impl Iterator<Item = &'a Arc<Entry<M>>>,
    border: Offset,
    last: Option<Offset>,
) -> Option<Run<M>> {
    let mut entries = entries.take_while(|entry| last.is_none_or(|last| entry.offset() <= last));
    let first = entries.next()?;
    let above = first.offset() > border;
    let mut rest = entries.take_while(|entry| (entry.offset() > border) == above).peekable();
    if rest.peek().is_none() {
        return Some(Run::One(Arc::clone(first)));
    }
    let mut bytes = first.event.encoded_len_max() + ENVELOPE;
    let rest = rest.take_while(|entry| {
        bytes += entry.event.encoded_len_max() + ENVELOPE;
        bytes <= RUN_BYTES
    });
    let mut entries: Vec<Arc<Entry<M>>> = std::iter::once(first).chain(rest).map(Arc::clone).collect();
    if entries.len() == 1 {
        return entries.pop().map(Run::One);
    }
    Some(Run::Many(Arc::new(Batch::new(entries))))
}

fn beyond(place: Offset) -> (Bound<Offset>, Bound<Offset>) {
    (Bound::Excluded(place), Bound::Unbounded)
}
