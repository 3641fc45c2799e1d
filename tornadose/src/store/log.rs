//! The bounded, ordered log of a store, its index by key, and the rules of position, resume and gap. It never waits and
//! knows no transport.
//!
//! # Ordering
//!
//! Every message takes the next offset, whatever its key and kind, and is read in that order. A `latest` message leaves its
//! place when a newer one of its key and variant comes, which is read at its own place.
//!
//! # Lagging
//!
//! A reader is a [`Place`]. What it is owed is counted, not queued: when a queue message that it is owed was trimmed, the
//! next [`Log::read`] says how many are missing, and [`Log::place_after_loss`] is where it goes on.
//!
//! # Closing
//!
//! The log does not close; its store stops appending.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use slab::Slab;

use crate::event::Event;
use crate::message::{Message, Retention};
use crate::store::entry::{Batch, Entry, Run};
use crate::store::id::{Epoch, Id, Offset};
use crate::store::topic::Topic;
use crate::store::view::{View, merge, merge_all};

/// Bytes that a store's `memory` counts for each kept message and for each key with something kept, beside the encoded
/// bytes: their places in the index, and the heads of the buffers.
///
/// ```
/// assert_eq!(tornadose::OVERHEAD, 512);
/// ```
pub const OVERHEAD: usize = 512;

/// How many encoded bytes a reader takes at once; more only when one message has more.
const RUN_BYTES: usize = 64 << 10;

/// What an event's id and frame take, roughly.
const ENVELOPE: usize = 64;

/// How many runs of several messages are kept for the next reader at the same place; each has about [`RUN_BYTES`].
const RECENT_RUNS: usize = 16;

/// How many keys with nothing kept and no reader are remembered for their newest trimmed offset.
const REMEMBERED_KEYS: usize = 65_536;

pub(crate) struct Log<M: Message> {
    epoch: Epoch,
    head: Offset,
    topics: Slab<Topic<M>>,
    index: HashMap<M::Key, usize>,
    /// Every queue message kept, whatever its key.
    queue: BTreeMap<Offset, Arc<Entry<M>>>,
    /// Every `latest` message kept, whatever its key.
    latest: BTreeMap<Offset, Arc<Entry<M>>>,
    /// The newest queue message of any key that was trimmed.
    trimmed: Offset,
    appended: u64,
    version: u64,
    /// Topics with nothing kept and no reader, by their newest trimmed offset.
    remembered: BTreeMap<Offset, usize>,
    /// No key that is not among the topics was trimmed after this.
    floor: Offset,
    /// Bytes counted for all that is kept, and for the `latest` part of it.
    kept: usize,
    kept_latest: usize,
    recent: VecDeque<Recent<M>>,
    /// Runs that made room for newer ones, to be dropped outside of the store's lock.
    discarded: Vec<Recent<M>>,
}

/// A run that the next reader at the same place can share.
pub(crate) struct Recent<M: Message> {
    /// The topic, or none for a reader of all keys.
    topic: Option<usize>,
    version: u64,
    /// Readers from here up to the run's first entry are at the same place.
    after: Offset,
    batch: Arc<Batch<M>>,
}

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
    settled: u64,
}

impl Place {
    fn owed_after(&self) -> Offset {
        self.at.max(self.not_owed)
    }
}

/// What a reader finds at its place.
pub(crate) enum Reading<M> {
    /// The next messages. `numbered`: they carry their ids.
    Run { run: Run<M>, numbered: bool },
    /// Nothing more; the reader stands at the head.
    End,
    /// Queue messages that it was owed are gone.
    Lagged { missed: u64 },
}

/// What a log knows of an id.
pub(crate) enum Start {
    /// All that came after it for these keys is kept.
    Resumed,
    /// This log, but messages after the id are gone.
    Trimmed,
    /// The id is of no place that this log knows.
    Restarted,
}

/// Why nothing was appended.
#[derive(Debug)]
pub(crate) enum Refused {
    TooLarge { size: usize },
    Full,
}

/// What was appended, and what left the log for it. The latter is to be dropped outside of the store's lock, for a
/// message's own `Drop` may call the store.
pub(crate) struct Appended<M: Message> {
    pub(crate) id: Id,
    pub(crate) topic: usize,
    pub(crate) displaced: Vec<Arc<Entry<M>>>,
}

impl<M: Message> Log<M> {
    pub(crate) fn new() -> Self {
        Self {
            epoch: Epoch::fresh(),
            head: Offset::START,
            topics: Slab::new(),
            index: HashMap::new(),
            queue: BTreeMap::new(),
            latest: BTreeMap::new(),
            trimmed: Offset::START,
            appended: 0,
            version: 0,
            remembered: BTreeMap::new(),
            floor: Offset::START,
            kept: 0,
            kept_latest: 0,
            recent: VecDeque::new(),
            discarded: Vec::new(),
        }
    }

    pub(crate) fn head(&self) -> Id {
        self.id(self.head)
    }

    pub(crate) fn id(&self, offset: Offset) -> Id {
        Id { epoch: self.epoch, offset }
    }

    pub(crate) fn newest_latest(&self, key: &M::Key) -> Option<&Arc<Entry<M>>> {
        self.topics[*self.index.get(key)?].latest.last()
    }

    // --- Appending -----------------------------------------------------------------------------------------------

    /// Appends a message whose event is held in `copies` forms.
    pub(crate) fn append(
        &mut self,
        key: M::Key,
        message: Arc<M>,
        event: Event,
        retention: Retention,
        copies: usize,
    ) -> Result<Appended<M>, Refused> {
        let charge = OVERHEAD + copies * event.weight();
        // Alone it would stand with its key.
        if charge + OVERHEAD > M::MEMORY {
            return Err(Refused::TooLarge { size: charge + OVERHEAD });
        }
        let known = self.index.get(&key).copied();
        self.check_room(known, &message, &event, retention, charge)?;

        let topic = known.unwrap_or_else(|| self.enter(key));
        self.recall(topic);
        self.head = self.head.next();
        let id = self.head();
        let mut displaced = Vec::new();
        if retention == Retention::Latest {
            displaced.extend(self.take_latest(topic, |entry| entry.is_replaced_by(&message, &event)));
        }
        self.insert(Arc::new(Entry::new(id, message, event, retention, topic, charge)));
        if self.topics[topic].queue.len() > M::CAPACITY.max(1) {
            displaced.extend(self.trim_oldest_of(topic));
        }
        while self.kept > M::MEMORY
            && let Some(oldest) = self.queue.first_key_value()
        {
            let topic = oldest.1.topic;
            displaced.extend(self.trim_oldest_of(topic));
            self.settle(topic);
        }
        Ok(Appended { id, topic, displaced })
    }

    /// Refuses what does not fit beside the `latest` values, for those are never dropped.
    fn check_room(
        &self,
        topic: Option<usize>,
        message: &M,
        event: &Event,
        retention: Retention,
        charge: usize,
    ) -> Result<(), Refused> {
        let topic = topic.map(|topic| &self.topics[topic]);
        let key = if topic.is_some_and(|topic| !topic.latest.is_empty()) { 0 } else { OVERHEAD };
        let replaced = match retention {
            Retention::Latest => topic
                .and_then(|topic| topic.latest.iter().find(|entry| entry.is_replaced_by(message, event)))
                .map_or(0, |entry| entry.charge),
            Retention::Queue => 0,
        };
        if self.kept_latest - replaced + charge + key > M::MEMORY { Err(Refused::Full) } else { Ok(()) }
    }

    fn insert(&mut self, entry: Arc<Entry<M>>) {
        let topic = &mut self.topics[entry.topic];
        let mut charge = entry.charge;
        if topic.keeps_nothing() {
            charge += OVERHEAD;
        }
        if entry.retention == Retention::Latest {
            self.kept_latest += entry.charge + if topic.latest.is_empty() { OVERHEAD } else { 0 };
        }
        self.kept += charge;
        topic.newest = entry.offset();
        self.version += 1;
        topic.version = self.version;
        match entry.retention {
            Retention::Queue => {
                topic.appended += 1;
                self.appended += 1;
                topic.queue.push_back(Arc::clone(&entry));
                self.queue.insert(entry.offset(), entry);
            }
            Retention::Latest => {
                topic.latest.push(Arc::clone(&entry));
                self.latest.insert(entry.offset(), entry);
            }
        }
    }

    fn trim_oldest_of(&mut self, topic: usize) -> Option<Arc<Entry<M>>> {
        let topic = &mut self.topics[topic];
        let entry = topic.queue.pop_front()?;
        self.queue.remove(&entry.offset());
        topic.trimmed = entry.offset();
        self.version += 1;
        topic.version = self.version;
        self.trimmed = self.trimmed.max(entry.offset());
        self.kept -= entry.charge + if topic.keeps_nothing() { OVERHEAD } else { 0 };
        Some(entry)
    }

    fn take_latest(&mut self, topic: usize, which: impl Fn(&Entry<M>) -> bool) -> Option<Arc<Entry<M>>> {
        let topic = &mut self.topics[topic];
        let entry = topic.latest.remove(topic.latest.iter().position(|entry| which(entry))?);
        self.latest.remove(&entry.offset());
        self.version += 1;
        topic.version = self.version;
        self.kept -= entry.charge + if topic.keeps_nothing() { OVERHEAD } else { 0 };
        self.kept_latest -= entry.charge + if topic.latest.is_empty() { OVERHEAD } else { 0 };
        Some(entry)
    }

    /// Drops the `latest` values of a key.
    pub(crate) fn forget(&mut self, key: &M::Key) -> Vec<Arc<Entry<M>>> {
        let Some(&topic) = self.index.get(key) else { return Vec::new() };
        let mut forgotten = Vec::new();
        while let Some(entry) = self.take_latest(topic, |_| true) {
            forgotten.push(entry);
        }
        self.settle(topic);
        forgotten
    }

    // --- Keys ----------------------------------------------------------------------------------------------------

    fn enter(&mut self, key: M::Key) -> usize {
        let topic = self.topics.insert(Topic::new(key.clone(), self.floor));
        self.index.insert(key, topic);
        topic
    }

    /// A topic that is used again is no longer one of the idle.
    fn recall(&mut self, topic: usize) {
        let trimmed = self.topics[topic].trimmed;
        if self.remembered.get(&trimmed) == Some(&topic) {
            self.remembered.remove(&trimmed);
        }
    }

    /// Forgets a topic that nobody needs; of one that was trimmed it remembers up to where.
    fn settle(&mut self, topic: usize) {
        let idle = &self.topics[topic];
        if idle.readers > 0 || !idle.keeps_nothing() {
            return;
        }
        if idle.trimmed <= self.floor {
            self.leave(topic);
            return;
        }
        self.remembered.insert(idle.trimmed, topic);
        if self.remembered.len() > REMEMBERED_KEYS
            && let Some((trimmed, oldest)) = self.remembered.pop_first()
        {
            self.floor = trimmed;
            self.leave(oldest);
        }
    }

    fn leave(&mut self, topic: usize) {
        let topic = self.topics.remove(topic);
        self.index.remove(&topic.key);
    }

    pub(crate) fn topic_of(&self, key: &M::Key) -> Option<usize> {
        self.index.get(key).copied()
    }

    /// Counts a reader of this key, which stays known as long as it has one.
    pub(crate) fn hold(&mut self, key: &M::Key) -> usize {
        let topic = self.index.get(key).copied().unwrap_or_else(|| self.enter(key.clone()));
        self.recall(topic);
        self.topics[topic].readers += 1;
        topic
    }

    pub(crate) fn release(&mut self, topic: usize) {
        self.topics[topic].readers -= 1;
        self.settle(topic);
    }

    // --- Reading -------------------------------------------------------------------------------------------------

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
        Place { at, not_owed, unnumbered, settled }
    }

    /// Where a reader goes on that lagged: at its place, with what is still kept after it.
    pub(crate) fn place_after_loss(&self, view: &View, place: &Place) -> Place {
        self.place(view, place.at, place.not_owed, place.not_owed.max(self.trimmed(view)))
    }

    /// What this log knows of an id that a client has seen.
    pub(crate) fn start(&self, view: &View, id: Id) -> Start {
        if id.epoch != self.epoch || id.offset > self.head {
            Start::Restarted
        } else if self.trimmed(view) > id.offset {
            Start::Trimmed
        } else {
            Start::Resumed
        }
    }

    /// The next messages at a place, which moves behind them.
    pub(crate) fn read(&mut self, view: &View, place: &mut Place) -> Reading<M> {
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
            // Nothing of its keys stands between its place and the head.
            place.at = self.head;
            return Reading::End;
        };
        let entries = run.entries();
        let last = entries.last().expect("a run is not empty");
        let numbered = numbered || entries[0].offset() > place.unnumbered;
        place.at = last.offset();
        place.settled += entries.iter().filter(|entry| entry.retention == Retention::Queue).count() as u64;
        Reading::Run { run, numbered }
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
    /// leaves queue messages out or takes entries without ids.
    fn shared_place(&self, view: &View, place: &Place) -> Option<(Option<usize>, u64)> {
        if place.at < place.unnumbered || place.at < place.not_owed {
            return None;
        }
        match view {
            View::One(topic) => Some((Some(*topic), self.topics[*topic].version)),
            View::All => Some((None, self.version)),
            View::Set(_) => None,
        }
    }

    fn next_run(&mut self, view: &View, place: &Place) -> Option<Run<M>> {
        let run = match view {
            View::One(topic) => {
                let topic = &self.topics[*topic];
                run_of(merge(topic.latest_after(place.at), topic.queue_after(place.owed_after())), place.unnumbered)
            }
            View::Set(topics) => {
                let topics = topics.iter().map(|&topic| &self.topics[topic]);
                let entries =
                    topics.map(|topic| merge(topic.latest_after(place.at), topic.queue_after(place.owed_after())));
                run_of(merge_all(entries), place.unnumbered)
            }
            View::All => {
                let latest = self.latest.range(beyond(place.at)).map(|(_, entry)| entry);
                let queue = self.queue.range(beyond(place.owed_after())).map(|(_, entry)| entry);
                run_of(merge(latest, queue), place.unnumbered)
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

/// As many entries as a reader takes at once, wholly above a place or wholly not.
fn run_of<'a, M: 'a>(mut entries: impl Iterator<Item = &'a Arc<Entry<M>>>, border: Offset) -> Option<Run<M>> {
    let first = entries.next()?;
    let above = first.offset() > border;
    let mut rest = entries.take_while(|entry| (entry.offset() > border) == above).peekable();
    if rest.peek().is_none() {
        return Some(Run::One(Arc::clone(first)));
    }
    let mut bytes = first.event.weight() + ENVELOPE;
    let rest = rest.take_while(|entry| {
        bytes += entry.event.weight() + ENVELOPE;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EncodeError;

    struct Note(u64);

    impl Message for Note {
        type Key = u64;
        const MEMORY: usize = 64 << 10;
        const CHANNEL: &'static str = "notes";
        fn key(&self) -> u64 {
            self.0
        }
        fn retention(&self) -> Retention {
            Retention::Queue
        }
        fn event(&self) -> Result<Event, EncodeError> {
            Ok(Event::text("x"))
        }
    }

    fn append(log: &mut Log<Note>, key: u64) -> Id {
        log.append(key, Arc::new(Note(key)), Event::text("x"), Retention::Queue, 1).map(|appended| appended.id).unwrap()
    }

    #[test]
    fn a_flood_of_keys_is_remembered_up_to_a_bound() {
        let mut log = Log::new();
        for key in 0..200_000 {
            append(&mut log, key);
            assert!(log.kept <= Note::MEMORY);
        }
        let kept = log.queue.len();
        assert_eq!(kept, Note::MEMORY / (2 * OVERHEAD + 1));
        assert_eq!(log.topics.len(), REMEMBERED_KEYS + kept);
        assert_eq!(log.index.len(), log.topics.len());
        assert_eq!(log.remembered.len(), REMEMBERED_KEYS);
        assert_eq!(log.floor, Offset((200_000 - kept - REMEMBERED_KEYS) as u64));
    }

    #[test]
    fn a_key_that_was_merely_asked_for_leaves_nothing() {
        let mut log: Log<Note> = Log::new();
        for key in 0..1000 {
            let topic = log.hold(&key);
            log.release(topic);
        }
        assert!(log.topics.is_empty() && log.index.is_empty() && log.remembered.is_empty());
    }

    #[test]
    fn a_folded_key_knows_no_id_below_the_floor() {
        let mut log = Log::new();
        let first = append(&mut log, 0);
        for key in 1..200_000 {
            append(&mut log, key);
        }
        let folded = View::One(log.hold(&0));
        assert!(matches!(log.start(&folded, first), Start::Trimmed), "it cannot know, so it says so");
        let remembered = View::One(log.hold(&(200_000 - 1000)));
        assert!(matches!(log.start(&remembered, log.id(Offset(200_000 - 999))), Start::Resumed));
    }
}
