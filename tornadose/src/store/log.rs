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
//! A reader is a [`Place`](place::Place). What it is owed is counted, not queued: when a queue message that it is owed was trimmed, the
//! next `Log::read` says how many are missing, and `Log::place_after_loss` is where it goes on.
//!
//! # Closing
//!
//! The log does not close; its store stops appending.

mod batch;
pub(crate) mod key;
pub(crate) mod merge;
pub(crate) mod gaps;
pub(crate) mod cursor;
mod life;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use slab::Slab;

use crate::event::Event;
use crate::id::{Epoch, Id, Offset};
use crate::message::{Message, Retention};
use crate::store::entry::Entry;
use crate::store::log::batch::Recent;
use crate::store::log::gaps::Turns;
use crate::store::log::key::Topic;

/// Bytes that a store's `memory` counts for each kept message and for each key with something kept, beside the encoded
/// bytes: their places in the index, and the heads of the buffers.
///
/// ```
/// assert_eq!(tornadose::ENTRY_OVERHEAD, 512);
/// ```
pub const ENTRY_OVERHEAD: usize = 512;

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
    appended_latest: u64,
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
    turns: Turns,
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
    pub(crate) entry: Arc<Entry<M>>,
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
            appended_latest: 0,
            version: 0,
            remembered: BTreeMap::new(),
            floor: Offset::START,
            kept: 0,
            kept_latest: 0,
            recent: VecDeque::new(),
            discarded: Vec::new(),
            turns: Turns::none(),
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

    /// Where a message goes that has no place yet.
    pub(crate) fn next(&self) -> Offset {
        self.head.next()
    }

    /// Appends a message whose event is held in `copies` forms, at a place above the head.
    pub(crate) fn append(
        &mut self,
        offset: Offset,
        key: M::Key,
        message: Arc<M>,
        event: Event,
        retention: Retention,
        copies: usize,
    ) -> Result<Appended<M>, Refused> {
        let charge = self.check_room(&key, &message, &event, retention, copies)?;
        let topic = self.index.get(&key).copied().unwrap_or_else(|| self.enter(key));
        self.recall(topic);
        self.reach(offset);
        let id = self.id(offset);
        let mut displaced = Vec::new();
        if retention == Retention::Latest {
            displaced.extend(self.take_latest(topic, |entry| entry.is_replaced_by(&message, &event)));
        }
        let entry = Arc::new(Entry::new(id, message, event, retention, topic, charge));
        self.insert(Arc::clone(&entry));
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
        Ok(Appended { entry, displaced })
    }

    /// What a message would take, or why it does not fit: alone, or beside the `latest` values, for those are never dropped.
    pub(crate) fn check_room(
        &self,
        key: &M::Key,
        message: &M,
        event: &Event,
        retention: Retention,
        copies: usize,
    ) -> Result<usize, Refused> {
        let charge = ENTRY_OVERHEAD + copies * event.encoded_len_max();
        // Alone it would stand with its key.
        if charge + ENTRY_OVERHEAD > M::MEMORY {
            return Err(Refused::TooLarge { size: charge + ENTRY_OVERHEAD });
        }
        let topic = self.index.get(key).map(|&topic| &self.topics[topic]);
        let key = if topic.is_some_and(|topic| !topic.latest.is_empty()) { 0 } else { ENTRY_OVERHEAD };
        let replaced = match retention {
            Retention::Latest => topic
                .and_then(|topic| topic.latest.iter().find(|entry| entry.is_replaced_by(message, event)))
                .map_or(0, |entry| entry.charge),
            Retention::Queue => 0,
        };
        if self.kept_latest - replaced + charge + key > M::MEMORY { Err(Refused::Full) } else { Ok(charge) }
    }

    fn insert(&mut self, entry: Arc<Entry<M>>) {
        let topic = &mut self.topics[entry.topic];
        let mut charge = entry.charge;
        if topic.keeps_nothing() {
            charge += ENTRY_OVERHEAD;
        }
        if entry.retention == Retention::Latest {
            self.kept_latest += entry.charge + if topic.latest.is_empty() { ENTRY_OVERHEAD } else { 0 };
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
                topic.appended_latest += 1;
                self.appended_latest += 1;
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
        self.kept -= entry.charge + if topic.keeps_nothing() { ENTRY_OVERHEAD } else { 0 };
        Some(entry)
    }

    fn take_latest(&mut self, topic: usize, which: impl Fn(&Entry<M>) -> bool) -> Option<Arc<Entry<M>>> {
        let topic = &mut self.topics[topic];
        let entry = topic.latest.remove(topic.latest.iter().position(|entry| which(entry))?);
        self.latest.remove(&entry.offset());
        self.version += 1;
        topic.version = self.version;
        self.kept -= entry.charge + if topic.keeps_nothing() { ENTRY_OVERHEAD } else { 0 };
        self.kept_latest -= entry.charge + if topic.latest.is_empty() { ENTRY_OVERHEAD } else { 0 };
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::error::EncodeError;
    use crate::store::log::cursor::Start;
    use crate::store::log::merge::View;

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
        let offset = log.next();
        log.append(offset, key, Arc::new(Note(key)), Event::text("x"), Retention::Queue, 1)
            .map(|appended| appended.entry.id)
            .unwrap()
    }

    #[test]
    fn a_flood_of_keys_is_remembered_up_to_a_bound() {
        let mut log = Log::new();
        for key in 0..200_000 {
            append(&mut log, key);
            assert!(log.kept <= Note::MEMORY);
        }
        let kept = log.queue.len();
        assert_eq!(kept, Note::MEMORY / (2 * ENTRY_OVERHEAD + 1));
        assert_eq!(log.topics.len(), REMEMBERED_KEYS + kept);
        assert_eq!(log.index.len(), log.topics.len());
        assert_eq!(log.remembered.len(), REMEMBERED_KEYS);
        assert_eq!(log.floor, Offset::new(0, (200_000 - kept - REMEMBERED_KEYS) as u64));
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
        assert!(matches!(log.start(&remembered, log.id(Offset::new(0, 200_000 - 999))), Start::Resumed));
    }
}
