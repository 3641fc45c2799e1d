//! Readers against a plain model, over random programs: each promise of order, loss, gap and position, as a client
//! sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, RangeBounds};
use std::time::Duration;

use fastrand::Rng;
use futures_util::FutureExt;
use tokio::runtime::Builder;
use tokio::time::{Instant, advance};

use crate::event::Event;
use crate::event::error::EncodeError;
use crate::id::Id;
use crate::message::tombstone::Tombstone;
use crate::message::{Finish, Keys, Message, Retention};
use crate::store::Store;
use crate::store::error::SubmitError;
use crate::store::finish::KeyState;
use crate::store::gap::{Gap, GapReason};
use crate::store::limits::ENTRY_OVERHEAD;
use crate::store::log::cursor::ResumeOutcome;
use crate::store::log::ephemeral::EPHEMERAL_AGE;
use crate::store::reader::mailbox::NOOP_WAKER;
use crate::store::reader::resume::Resume;
use crate::store::reader::{ReadStep, Reader, ReaderOptions};
use crate::store::registry::kind::ReaderKind;

const KEYS: u64 = 4;
const KEPT: usize = 4;
/// The cost of a queue message, in a store without encodings.
const COST: usize = ENTRY_OVERHEAD + 1;
/// The names of `latest` messages. Those in quotes are the JSON of a slot.
const NAMES: [&str; 4] = ["bid", "ask", "\"1\"", "\"2\""];
/// The further cost of a `latest` message, for its name.
const NAME_COST: usize = 3;

/// A queue message, or a `latest` message of this name, in a store of so many bytes. Queue messages expire after so many
/// milliseconds, and so do the values of two names; nothing does after 0.
#[derive(Debug)]
struct Note<const MEMORY: usize, const QUEUE_TTL: u64, const LATEST_TTL: u64> {
    key: u64,
    latest: Option<&'static str>,
    is_ephemeral: bool,
    finishes: bool,
    /// The values that a queue message drops.
    drops: Option<Drops>,
}

fn is_slot(name: &str) -> bool {
    name.starts_with('"')
}

/// Returns whether the values of this name expire.
fn expires(name: &str) -> bool {
    name == NAMES[1] || name == NAMES[3]
}

/// The values that are dropped: all of a key, or that in a slot.
#[derive(Clone, Copy, Debug)]
enum Drops {
    Key,
    Slot(&'static str),
}

impl Drops {
    fn has(self, name: &str) -> bool {
        match self {
            Self::Key => true,
            Self::Slot(slot) => slot == name,
        }
    }

    fn tombstone(self) -> Tombstone {
        match self {
            Self::Key => Tombstone::Key,
            Self::Slot(slot) => Tombstone::Slots(vec![slot.to_owned()]),
        }
    }

    fn forget<M: Message<Key = u64>>(self, store: &Store<M>, key: u64) {
        let forgotten = match self {
            Self::Key => store.shared().lock().forget(&key, |_| true),
            Self::Slot(slot) => store.shared().lock().forget_slot(&key, slot).into_iter().collect(),
        };
        drop(forgotten);
    }
}

impl<const MEMORY: usize, const QUEUE: u64, const LATEST: u64> Message for Note<MEMORY, QUEUE, LATEST> {
    type Key = u64;
    const CAPACITY: usize = KEPT;
    const MEMORY: usize = MEMORY;
    const CAN_FINISH: bool = true;
    const CHANNEL: &'static str = "notes";
    const HAS_EPHEMERAL: bool = true;
    const HAS_SLOTS: bool = true;
    const HAS_TOMBSTONES: bool = true;
    const QUEUE_TTL: Option<Duration> = if QUEUE > 0 { Some(Duration::from_millis(QUEUE)) } else { None };
    const HAS_LATEST_TTL: bool = LATEST > 0;

    fn key(&self) -> u64 {
        self.key
    }
    fn retention(&self) -> Retention {
        match self.latest {
            Some(_) => Retention::Latest,
            None if self.is_ephemeral => Retention::Ephemeral,
            None => Retention::Queue,
        }
    }
    fn finishes(&self) -> bool {
        self.finishes
    }
    fn slot_json(&self) -> Result<Option<String>, EncodeError> {
        Ok(self.latest.filter(|name| is_slot(name)).map(str::to_owned))
    }
    fn latest_ttl(&self) -> Option<Duration> {
        self.latest.filter(|name| expires(name)).map(|_| Duration::from_millis(LATEST))
    }
    fn tombstone(&self) -> Result<Option<Tombstone>, EncodeError> {
        Ok(self.drops.map(Drops::tombstone))
    }
    fn event(&self) -> Result<Event, EncodeError> {
        let event = Event::text("x");
        Ok(match self.latest.filter(|name| !is_slot(name)) {
            Some(name) => event.with_name(name.try_into()?),
            None => event,
        })
    }
}

impl<const MEMORY: usize, const QUEUE: u64, const LATEST: u64> Finish for Note<MEMORY, QUEUE, LATEST> {}

fn random_drops(random: &mut Rng) -> Drops {
    if random.bool() { Drops::Slot(NAMES[random.usize(2..4)]) } else { Drops::Key }
}

/// Everything that happened to the store.
#[derive(Default)]
struct History {
    /// The queue messages of each key.
    queue: BTreeMap<u64, Vec<u64>>,
    /// The queue messages that are kept, with their keys.
    kept: BTreeMap<u64, u64>,
    /// The newest `latest` message of each key and name.
    latest: BTreeMap<(u64, &'static str), u64>,
    /// The ephemeral messages that are kept, with their keys and the times of their submits.
    ephemeral: BTreeMap<u64, (u64, Instant)>,
    /// The finish of each finished key.
    finishes: BTreeMap<u64, u64>,
    /// The removals, with their keys, and the queue messages that they have dropped.
    removals: BTreeMap<u64, u64>,
    removed: BTreeSet<u64>,
    /// The time, in milliseconds, and when each message was submitted that expires.
    now: u64,
    times: BTreeMap<u64, u64>,
    /// The ends of values, and what has ended.
    ends: BTreeMap<u64, End>,
    head: u64,
    /// How often `memory` has rejected a message, and how often it has trimmed one.
    rejected: usize,
    trimmed: usize,
    /// How many ephemeral messages it has dropped, and how many were too old.
    squeezed: usize,
    expired: usize,
}

/// The end of a value.
#[derive(Clone, Copy)]
struct End {
    key: u64,
    name: &'static str,
    value: u64,
}

impl History {
    fn submit<const MEMORY: usize, const QUEUE: u64, const LATEST: u64>(
        &mut self,
        store: &Store<Note<MEMORY, QUEUE, LATEST>>,
        random: &mut Rng,
    ) {
        let key = random.u64(..KEYS);
        let latest = NAMES.get(random.usize(..8)).copied();
        let is_ephemeral = latest.is_none() && random.u64(..3) == 0;
        if is_ephemeral {
            return self.submit_ephemeral(store, key);
        }
        // A finish would be forgotten with the messages of its key.
        let finishes = MEMORY > 1 << 20 && QUEUE == 0 && latest.is_none() && random.u64(..30) == 0;
        let drops = (latest.is_none() && !finishes && random.u64(..5) == 0).then(|| random_drops(random));
        let result = store.try_submit(Note { key, latest, is_ephemeral, finishes, drops });
        self.expire();
        if self.finishes.contains_key(&key) {
            assert!(matches!(result, Err(SubmitError::Finished { .. })), "{result:?}");
            return;
        }
        if self.is_full(key, latest, drops, MEMORY) {
            assert!(matches!(result, Err(SubmitError::Full { .. })), "{result:?}");
            self.rejected += 1;
            return;
        }
        self.drop_latest(key, drops);
        self.head += 1;
        assert_eq!(result.unwrap().unwrap().offset.minor(), self.head);
        self.times.insert(self.head, self.now);
        if let Some(name) = latest {
            self.latest.insert((key, name), self.head);
        } else {
            self.queue.entry(key).or_default().push(self.head);
            self.kept.insert(self.head, key);
        }
        if finishes {
            self.head += 1;
            self.finishes.insert(key, self.head);
        }
        if self.kept.values().filter(|other| **other == key).count() > KEPT {
            let oldest = *self.kept.iter().find(|(_, other)| **other == key).unwrap().0;
            self.kept.remove(&oldest);
        }
        self.make_room(store, false);
    }

    fn submit_ephemeral<const MEMORY: usize, const QUEUE: u64, const LATEST: u64>(
        &mut self,
        store: &Store<Note<MEMORY, QUEUE, LATEST>>,
        key: u64,
    ) {
        let note = Note { key, latest: None, is_ephemeral: true, finishes: false, drops: None };
        let result = store.try_submit(note);
        self.expire();
        if self.finishes.contains_key(&key) {
            assert!(matches!(result, Err(SubmitError::Finished { .. })), "{result:?}");
            return;
        }
        if self.is_full(key, None, None, MEMORY) {
            assert!(matches!(result, Err(SubmitError::Full { .. })), "{result:?}");
            self.rejected += 1;
            return;
        }
        self.head += 1;
        assert_eq!(result.unwrap().unwrap().offset.minor(), self.head);
        self.ephemeral.insert(self.head, (key, Instant::now()));
        self.make_room(store, true);
    }

    /// Drops what does not fit: ephemeral messages first. The newest message stays.
    fn make_room<const MEMORY: usize, const QUEUE: u64, const LATEST: u64>(
        &mut self,
        store: &Store<Note<MEMORY, QUEUE, LATEST>>,
        newest_is_ephemeral: bool,
    ) {
        // Of each key in the table: its digit. Of each idle key also its overhead.
        let remembered = store.shared().lock().log.remembered_bytes();
        let spared = usize::from(newest_is_ephemeral);
        while self.bytes() + remembered > MEMORY && self.ephemeral.len() > spared {
            self.ephemeral.pop_first().unwrap();
            self.squeezed += 1;
        }
        while self.bytes() + remembered > MEMORY && self.kept.keys().next().is_some_and(|oldest| *oldest < self.head) {
            self.kept.pop_first().unwrap();
            self.trimmed += 1;
        }
    }

    /// Drops the ephemeral messages that are too old.
    fn expire(&mut self) {
        let before = self.ephemeral.len();
        self.ephemeral.retain(|_, (_, at)| at.elapsed() < EPHEMERAL_AGE);
        self.expired += before - self.ephemeral.len();
    }

    /// Returns the ephemeral messages that are kept for these keys in a range.
    fn ephemeral_of(&self, keys: &Keys<u64>, range: impl RangeBounds<u64>) -> BTreeSet<u64> {
        let of_keys = self.ephemeral.range(range).filter(|(_, (key, _))| contains(keys, *key));
        of_keys.map(|(offset, _)| *offset).collect()
    }

    /// Lets time pass, and what is old expire.
    async fn pass<const MEMORY: usize, const QUEUE: u64, const LATEST: u64>(
        &mut self,
        store: &Store<Note<MEMORY, QUEUE, LATEST>>,
        random: &mut Rng,
    ) {
        let milliseconds = random.u64(..20);
        advance(Duration::from_millis(milliseconds)).await;
        self.now += milliseconds;
        let age = |offset: &u64| self.now - self.times[offset];
        if QUEUE > 0 {
            self.kept.retain(|offset, _| age(offset) < QUEUE);
        }
        let has_expired = |((_, name), value): &(&(u64, &'static str), &u64)| expires(name) && age(value) >= LATEST;
        let mut expired: Vec<End> = Vec::new();
        if LATEST > 0 {
            let ended = self.latest.iter().filter(has_expired);
            expired = ended.map(|((key, name), value)| End { key: *key, name, value: *value }).collect();
        }
        // Those that were submitted first end first.
        expired.sort_unstable_by_key(|end| end.value);
        for end in expired {
            self.latest.remove(&(end.key, end.name));
            self.head += 1;
            self.ends.insert(self.head, end);
        }
        // Without a chance for the task that sweeps, it expires now.
        store.latest(&0);
    }

    /// Returns the first end of a value of these keys after an offset.
    fn next_end(&self, keys: &Keys<u64>, after: u64) -> Option<(u64, End)> {
        let mut ends = self.ends.range(after + 1..).filter(|(_, end)| contains(keys, end.key));
        ends.next().map(|(offset, end)| (*offset, *end))
    }

    fn finish<const MEMORY: usize, const QUEUE: u64, const LATEST: u64>(
        &mut self,
        store: &Store<Note<MEMORY, QUEUE, LATEST>>,
        random: &mut Rng,
    ) {
        let key = random.u64(..KEYS);
        let finish = now(store.finish(&key)).unwrap();
        let expected = *self.finishes.entry(key).or_insert(self.head + 1);
        self.head = self.head.max(expected);
        assert_eq!(finish.offset.minor(), expected);
        assert_eq!((store.key_state(&key), now(store.finished(&key))), (KeyState::Finished, Some(finish)));
    }

    fn remove<const MEMORY: usize, const QUEUE: u64, const LATEST: u64>(
        &mut self,
        store: &Store<Note<MEMORY, QUEUE, LATEST>>,
        random: &mut Rng,
    ) {
        let key = random.u64(..KEYS);
        self.head += 1;
        assert_eq!(now(store.remove(&key)).unwrap().offset.minor(), self.head);
        self.removals.insert(self.head, key);
        self.removed.extend(self.kept.extract_if(.., |_, other| *other == key).map(|(offset, _)| offset));
        self.latest.retain(|(other, _), _| *other != key);
        self.ephemeral.retain(|_, (other, _)| *other != key);
        self.finishes.remove(&key);
        self.ends.retain(|_, end| end.key != key);
        assert_eq!(store.key_state(&key), KeyState::Open);
    }

    /// Returns the finishes of these keys.
    fn finishes_of(&self, keys: &Keys<u64>) -> BTreeSet<u64> {
        self.finishes.iter().filter(|(key, _)| contains(keys, **key)).map(|(_, finish)| *finish).collect()
    }

    /// Returns the last finish of these keys when all of them are finished.
    fn last_finish(&self, keys: &Keys<u64>) -> Option<u64> {
        match keys {
            Keys::All => None,
            Keys::One(key) => self.finishes.get(key).copied(),
            Keys::Set(keys) => {
                let finishes: Option<Vec<u64>> = keys.iter().map(|key| self.finishes.get(key).copied()).collect();
                finishes?.into_iter().max()
            }
        }
    }

    /// Returns the first removal that concerns a reader of these keys after an offset.
    fn next_removal(&self, keys: &Keys<u64>, after: u64) -> Option<u64> {
        self.removals.range(after + 1..).find(|(_, key)| contains(keys, **key)).map(|(offset, _)| *offset)
    }

    fn forget<const MEMORY: usize, const QUEUE: u64, const LATEST: u64>(
        &mut self,
        store: &Store<Note<MEMORY, QUEUE, LATEST>>,
        random: &mut Rng,
    ) {
        let (key, drops) = (random.u64(..KEYS), random_drops(random));
        self.drop_latest(key, Some(drops));
        drops.forget(store, key);
    }

    /// Drops the values of a key, or that in a slot.
    fn drop_latest(&mut self, key: u64, dropped: Option<Drops>) {
        let Some(dropped) = dropped else { return };
        self.latest.retain(|(other, name), _| *other != key || !dropped.has(name));
    }

    /// Returns the keys with something kept.
    fn keys(&self) -> BTreeSet<u64> {
        let latest = self.latest.keys().map(|(key, _)| *key);
        self.kept.values().copied().chain(latest).chain(self.ephemeral.values().map(|(key, _)| *key)).collect()
    }

    /// Returns the bytes of everything that is kept, as the store counts them, but the sizes of the keys: for each
    /// message, and for each key with something kept.
    fn bytes(&self) -> usize {
        let messages = self.kept.len() + self.ephemeral.len();
        self.keys().len() * ENTRY_OVERHEAD + messages * COST + self.latest.len() * (COST + NAME_COST)
    }

    /// Returns whether a message does not fit beside the `latest` values, which are never dropped.
    fn is_full(&self, key: u64, latest: Option<&'static str>, drops: Option<Drops>, memory: usize) -> bool {
        let mut alone = Self { latest: self.latest.clone(), ..Self::default() };
        alone.drop_latest(key, drops);
        match latest {
            Some(name) => drop(alone.latest.insert((key, name), 0)),
            None => drop(alone.kept.insert(0, key)),
        }
        alone.bytes() + alone.keys().len() > memory
    }

    fn queue_of<'a>(&'a self, keys: &'a Keys<u64>) -> impl Iterator<Item = (&'a u64, &'a Vec<u64>)> {
        self.queue.iter().filter(move |(key, _)| contains(keys, **key))
    }

    fn kept(&self, keys: &Keys<u64>) -> BTreeSet<u64> {
        self.kept.iter().filter(|(_, key)| contains(keys, **key)).map(|(offset, _)| *offset).collect()
    }

    fn all(&self, keys: &Keys<u64>) -> BTreeSet<u64> {
        self.queue_of(keys).flat_map(|(_, offsets)| offsets.iter().copied()).collect()
    }
}

/// Returns what a future returns that need not wait.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("a store in memory does not wait")
}

fn contains(keys: &Keys<u64>, key: u64) -> bool {
    match keys {
        Keys::All => true,
        Keys::One(one) => *one == key,
        Keys::Set(set) => set.contains(&key),
    }
}

/// A client as a page is: it knows what it has received, and the last id.
struct Client<const MEMORY: usize, const QUEUE: u64, const LATEST: u64> {
    keys: Keys<u64>,
    reader: Option<Reader<Note<MEMORY, QUEUE, LATEST>>>,
    position: Option<Id>,
    received: BTreeSet<u64>,
    /// Received with their ids: they may not be repeated.
    settled: BTreeSet<u64>,
    /// Queue messages that a gap has reported, or that were not owed to it when it connected.
    excused: BTreeSet<u64>,
    last: u64,
    /// Whether a message of its keys after its position was trimmed when it reconnected, so that a gap must be
    /// reported first.
    trimmed_at_open: bool,
    lost_at_open: BTreeSet<u64>,
    /// Finishes up to here were told before it connected, or are told by now.
    finishes_told_through: u64,
    /// Removals up to here are told, or concern messages that are not owed to it.
    removals_told_through: u64,
    /// The ends of values up to here are told, or concern values that it was never sent.
    ends_told_through: u64,
    /// Ephemeral messages up to here were there before it connected, or were read, or are missed.
    ephemeral_through: u64,
    ephemeral_read: usize,
}

impl<const MEMORY: usize, const QUEUE: u64, const LATEST: u64> Client<MEMORY, QUEUE, LATEST> {
    fn new(random: &mut Rng) -> Self {
        let keys = match random.u64(..3) {
            0 => Keys::One(random.u64(..KEYS)),
            1 if random.bool() => Keys::Set(vec![random.u64(..KEYS), random.u64(..KEYS)]),
            1 => Keys::Set(vec![random.u64(..KEYS), random.u64(..KEYS), KEYS + 1]),
            _ => Keys::All,
        };
        Self {
            keys,
            reader: None,
            position: None,
            received: BTreeSet::new(),
            settled: BTreeSet::new(),
            excused: BTreeSet::new(),
            last: 0,
            trimmed_at_open: false,
            lost_at_open: BTreeSet::new(),
            finishes_told_through: 0,
            removals_told_through: 0,
            ends_told_through: 0,
            ephemeral_through: 0,
            ephemeral_read: 0,
        }
    }

    fn connect(&mut self, store: &Store<Note<MEMORY, QUEUE, LATEST>>, history: &History, random: &mut Rng) {
        self.reader = None;
        let replay = random.usize(..6);
        let text = self.position.map(|id| id.to_string());
        let resume = text.as_deref().map_or(Resume::New, Resume::after_text);
        // Messages that were received without an id may be repeated.
        self.received.clone_from(&self.settled);
        if self.position.is_none() {
            self.excused.clear();
            let kept = history.kept(&self.keys);
            let replayed: BTreeSet<u64> = kept.iter().rev().take(replay).copied().collect();
            self.excused.extend(history.all(&self.keys).difference(&replayed));
        }
        self.trimmed_at_open = self.position.is_some_and(|id| {
            let gone = &history.all(&self.keys) - &history.kept(&self.keys);
            gone.range(id.offset.minor() + 1..).next().is_some()
                || history.next_removal(&self.keys, id.offset.minor()).is_some()
        });
        if let Some(id) = self.position {
            let has_seen_all = history.last_finish(&self.keys).is_some_and(|last| last <= id.offset.minor());
            assert_eq!(store.has_seen_all(&self.keys, id), has_seen_all);
        }
        self.finishes_told_through = self.position.map_or(0, |id| id.offset.minor());
        self.removals_told_through = history.head;
        self.ends_told_through = self.position.map_or(history.head, |id| id.offset.minor());
        self.ephemeral_through = history.head;
        self.lost_at_open = self.lost(history);
        self.last = self.position.map_or(0, |id| id.offset.minor());
        let options = ReaderOptions { replay, kind: ReaderKind::Sse, gets_snapshots: true };
        let reader = Reader::open(store.shared(), self.keys.clone(), resume, options);
        // Of a key that the store has forgotten it does not know how far it was trimmed: it reports a gap, to be safe.
        let forgotten_through = store.shared().lock().log.forgotten_through();
        self.trimmed_at_open |= self.position.is_some_and(|id| id.offset < forgotten_through)
            && !matches!(self.keys, Keys::All)
            && matches!(reader.resume_outcome(), Some(ResumeOutcome::Trimmed));
        self.reader = Some(reader);
    }

    fn step(&mut self, history: &mut History) {
        history.expire();
        let history = &*history;
        let Some(reader) = &mut self.reader else { return };
        match reader.poll(&NOOP_WAKER) {
            ReadStep::Gap(gap) => self.read_gap(history, gap),
            ReadStep::Batch { position, batch, with_ids } => {
                assert!(!self.trimmed_at_open, "a loss was not reported");
                if let Some(id) = position {
                    self.move_to(history, id);
                }
                let last = batch.last_offset().minor();
                self.assert_told_before(history, last);
                for entry in batch.entries() {
                    let offset = entry.offset().minor();
                    assert!(offset > self.last, "{offset} after {}", self.last);
                    assert!(contains(&self.keys, entry.message.key));
                    assert!(!self.settled.contains(&offset), "{offset} twice");
                    self.assert_ephemeral_read_before(history, offset);
                    self.last = offset;
                    if entry.message.is_ephemeral {
                        assert!(entry.is_ephemeral(), "{offset} is written with an id");
                        let is_kept = history.ephemeral.contains_key(&offset) && offset > self.ephemeral_through;
                        assert!(is_kept, "the ephemeral {offset} is not owed after {}", self.ephemeral_through);
                        self.ephemeral_through = offset;
                        self.ephemeral_read += 1;
                        continue;
                    }
                    self.received.insert(offset);
                    if with_ids {
                        self.settled.insert(offset);
                        self.move_to(history, entry.id);
                    }
                }
            }
            ReadStep::AtHead { head, is_first } => {
                if is_first && self.position != Some(head) {
                    self.move_to(history, head);
                }
                for ((key, name), newest) in &history.latest {
                    let current = !contains(&self.keys, *key) || self.received.contains(newest);
                    assert!(current, "the newest {name} of {key}, {newest}, is missing");
                }
                self.assert_told_before(history, history.head);
                self.assert_ephemeral_read_before(history, history.head + 1);
                self.assert_nothing_owed_up_to(history, history.head);
                assert_eq!(history.last_finish(&self.keys), None, "it has not ended");
            }
            ReadStep::Finished { position, id, with_id, key } => {
                assert!(!self.trimmed_at_open, "a loss was not reported");
                if let Some(id) = position {
                    self.move_to(history, id);
                }
                let finish = id.offset.minor();
                self.assert_told_before(history, finish);
                if let Some(key) = key {
                    assert!(finish > self.finishes_told_through.max(self.last));
                    assert_eq!(history.finishes.get(&key.parse().unwrap()), Some(&finish));
                    (self.last, self.finishes_told_through) = (finish, finish);
                } else {
                    assert!(with_id);
                    assert_eq!(history.last_finish(&self.keys), Some(finish));
                    self.assert_nothing_owed_up_to(history, history.head);
                    self.reader = None;
                }
                if with_id {
                    self.move_to(history, id);
                }
            }
            ReadStep::Expired { position, id, with_id, value } => {
                assert!(!self.trimmed_at_open, "a loss was not reported");
                if let Some(id) = position {
                    self.move_to(history, id);
                }
                let offset = id.offset.minor();
                let (next, end) = history.next_end(&self.keys, self.ends_told_through).unwrap();
                assert_eq!((next, end.value), (offset, value.entry.offset().minor()));
                assert!(offset > self.last, "{offset} after {}", self.last);
                let of = if is_slot(end.name) {
                    format!("\"slot\":{}", end.name)
                } else {
                    format!("\"event\":\"{}\"", end.name)
                };
                assert_eq!(*value.json, *format!("{{\"key\":{},{of}}}", end.key));
                (self.last, self.ends_told_through) = (offset, offset);
                self.assert_told_before(history, offset);
                if with_id {
                    self.move_to(history, id);
                }
            }
            ReadStep::Snapshot { .. } => panic!("a type without snapshots"),
            ReadStep::Pending => panic!("a store in memory has every id of its own"),
            ReadStep::Ended(end) => panic!("{end:?}"),
        }
    }

    fn read_gap(&mut self, history: &History, gap: Gap) {
        assert_eq!(gap.missed.is_some(), matches!(gap.reason, GapReason::Lagged | GapReason::Removed));
        if gap.reason == GapReason::Removed {
            assert!(!self.trimmed_at_open, "a loss was not reported");
            return self.read_removal(history, gap);
        }
        let at_open = std::mem::take(&mut self.trimmed_at_open);
        let lost = if at_open { std::mem::take(&mut self.lost_at_open) } else { self.lost(history) };
        assert_eq!(gap.reason, if at_open { GapReason::Trimmed } else { GapReason::Lagged });
        assert!(at_open || !lost.is_empty(), "a false gap at {:?}", self.position);
        if let Some(missed) = gap.missed {
            assert_eq!(missed, lost.len() as u64);
        }
        self.excused.extend(lost);
        // All values and finishes follow, whatever it has.
        self.finishes_told_through = 0;
        let queue = history.all(&self.keys);
        self.received.retain(|offset| queue.contains(offset));
        self.settled.retain(|offset| queue.contains(offset));
        self.last = 0;
    }

    fn read_removal(&mut self, history: &History, gap: Gap) {
        let removal = history.next_removal(&self.keys, self.removals_told_through).unwrap();
        assert!(removal > self.last, "the removal at {removal} after {}", self.last);
        let removed = &self.owed(history) & &history.removed;
        let missed: BTreeSet<u64> = removed.range(..removal).copied().collect();
        assert_eq!(gap.missed, Some(missed.len() as u64));
        self.excused.extend(missed);
        (self.last, self.removals_told_through) = (removal, removal);
    }

    /// Asserts that it has read each ephemeral message before an offset that is kept.
    fn assert_ephemeral_read_before(&self, history: &History, offset: u64) {
        let after = self.ephemeral_through.min(offset);
        let unread = history.ephemeral_of(&self.keys, (Bound::Excluded(after), Bound::Excluded(offset.max(after + 1))));
        assert!(unread.is_empty(), "the ephemeral {unread:?} are not read at {offset}");
    }

    fn owed(&self, history: &History) -> BTreeSet<u64> {
        &history.all(&self.keys) - &(&self.received | &self.excused)
    }

    /// Returns the messages that it is owed and cannot get. Those that were removed are told at the removal, but for a
    /// client that connects after it.
    fn lost(&self, history: &History) -> BTreeSet<u64> {
        let lost = &self.owed(history) - &history.kept(&self.keys);
        if self.reader.is_some() { &lost - &history.removed } else { lost }
    }

    /// Asserts that it was told of each finish and each removal before an offset.
    fn assert_told_before(&self, history: &History, offset: u64) {
        let removal = history.next_removal(&self.keys, self.removals_told_through);
        assert!(removal.is_none_or(|removal| removal > offset), "the removal at {removal:?} is not told at {offset}");
        let end = history.next_end(&self.keys, self.ends_told_through);
        assert!(end.is_none_or(|(end, _)| end > offset), "an end before {offset} is not told");
        let finishes = history.finishes_of(&self.keys);
        let finish = finishes.range(self.finishes_told_through + 1..).next();
        assert!(finish.is_none_or(|finish| *finish >= offset), "the finish at {finish:?} is not told at {offset}");
    }

    /// An id is valid only when everything that is owed up to it was received.
    fn move_to(&mut self, history: &History, id: Id) {
        self.assert_nothing_owed_up_to(history, id.offset.minor());
        self.settled.extend(self.received.range(..=id.offset.minor()));
        self.position = Some(id);
    }

    fn assert_nothing_owed_up_to(&self, history: &History, offset: u64) {
        // An id before a removal that is not told yet is trimmed.
        let owed = &self.owed(history) - &history.removed;
        assert!(owed.range(..=offset).next().is_none(), "owed {owed:?} up to {offset}");
    }
}

/// The events that random programs have tried.
#[derive(Default)]
struct Tried {
    /// How often `memory` has rejected a message, and how often it has trimmed one.
    rejected: usize,
    trimmed: usize,
    /// How many ephemeral messages were read, too old, and dropped to make room.
    ephemeral: [usize; 3],
}

/// Runs random programs over a store of so many bytes, in virtual time.
fn check<const MEMORY: usize, const QUEUE: u64, const LATEST: u64>(programs: u64) -> Tried {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let mut tried = Tried::default();
    for seed in 1..programs {
        runtime.block_on(check_one::<MEMORY, QUEUE, LATEST>(seed, &mut tried));
    }
    tried
}

async fn check_one<const MEMORY: usize, const QUEUE: u64, const LATEST: u64>(seed: u64, tried: &mut Tried) {
    let mut random = Rng::with_seed(seed);
    let store = Store::new();
    let mut history = History::default();
    let mut clients: Vec<Client<MEMORY, QUEUE, LATEST>> = (0..6).map(|_| Client::new(&mut random)).collect();
    for _ in 0..200 {
        let which = random.usize(..6);
        match random.u64(..10) {
            0 => clients[which].connect(&store, &history, &mut random),
            1 => clients[which].reader = None,
            2 if random.u64(..4) == 0 => history.forget(&store, &mut random),
            2 if MEMORY > 1 << 20 && random.u64(..4) == 0 => history.remove(&store, &mut random),
            3 if MEMORY > 1 << 20 && QUEUE == 0 && random.u64(..20) == 0 => history.finish(&store, &mut random),
            3 if QUEUE + LATEST > 0 && random.bool() => history.pass(&store, &mut random).await,
            3 if QUEUE + LATEST == 0 && random.u64(..8) == 0 => {
                advance(Duration::from_millis(random.u64(..4000))).await;
            }
            2..6 => history.submit(&store, &mut random),
            _ => clients[which].step(&mut history),
        }
    }
    tried.ephemeral[0] += clients.iter().map(|client| client.ephemeral_read).sum::<usize>();
    drop(clients);
    assert_eq!(store.subscribers(), 0);
    let state = store.shared().lock();
    assert_eq!(state.log.slot_count(), history.latest.len());
    let expiring = history.latest.keys().filter(|(_, name)| LATEST > 0 && expires(name)).count();
    assert_eq!(state.log.expiry_counts(), (expiring, history.ends.len()));
    tried.rejected += history.rejected;
    tried.trimmed += history.trimmed;
    tried.ephemeral[1] += history.expired;
    tried.ephemeral[2] += history.squeezed;
}

#[test]
fn every_reader_gets_each_message_once_and_in_order_or_a_gap() {
    // `./test --long` runs more of them.
    let programs = if std::env::var_os("TORNADOSE_LONG").is_some() { 100_000 } else { 2000 };
    let Tried { rejected, trimmed, ephemeral: [read, expired, squeezed] } = check::<{ 64 << 20 }, 0, 0>(programs);
    assert_eq!((rejected, trimmed, squeezed), (0, 0, 0), "only capacity trims here");
    assert!(read > 1000 && expired > 1000, "{read} ephemeral messages read, {expired} too old");
    // Less than the queues of all keys take: a message of one key evicts those of others.
    let Tried { rejected, trimmed, ephemeral: [read, _, squeezed] } = check::<{ 14 << 10 }, 0, 0>(programs);
    assert!(rejected == 0 && trimmed > 0 && read > 1000 && squeezed > 1000);
    // Little more than the `latest` values, which are never dropped.
    let Tried { rejected, trimmed, .. } = check::<10_700, 0, 0>(programs);
    assert!(rejected > 0 && trimmed > 0);
}

#[test]
fn every_reader_is_told_of_each_value_that_has_expired_and_lags_by_what_has() {
    let programs = if std::env::var_os("TORNADOSE_LONG").is_some() { 100_000 } else { 700 };
    assert_eq!(check::<{ 64 << 20 }, 0, 30>(programs).trimmed, 0);
    assert_eq!(check::<{ 64 << 20 }, 40, 0>(programs).trimmed, 0);
    assert_eq!(check::<{ 64 << 20 }, 40, 30>(programs).trimmed, 0);
}
