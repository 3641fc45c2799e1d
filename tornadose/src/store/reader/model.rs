//! Readers against a plain model, over random programs: every promise of order, loss, gap and position, seen from a client.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::Event;
use crate::event::error::EncodeError;
use crate::id::Id;
use crate::message::{Keys, Message, Retention};
use crate::store::Store;
use crate::store::error::SubmitError;
use crate::store::gap::{Gap, GapReason};
use crate::store::log::ENTRY_OVERHEAD;
use crate::store::reader::mailbox::NOOP_WAKER;
use crate::store::reader::resume::Resume;
use crate::store::reader::{ReadStep, Reader, ReaderOptions};

const KEYS: u64 = 4;
const KEPT: usize = 4;
/// What a queue message and a key take, and what more a `latest` one takes for its name, in a store that nobody encodes.
const CHARGE: usize = ENTRY_OVERHEAD + 1;
const NAME: usize = 3;

/// A queue message, or the newest value of its key and name, in a store of so many bytes.
struct Note<const MEMORY: usize> {
    key: u64,
    latest: Option<&'static str>,
}

impl<const MEMORY: usize> Message for Note<MEMORY> {
    type Key = u64;
    const CAPACITY: usize = KEPT;
    const MEMORY: usize = MEMORY;
    const CHANNEL: &'static str = "notes";

    fn key(&self) -> u64 {
        self.key
    }
    fn retention(&self) -> Retention {
        if self.latest.is_some() { Retention::Latest } else { Retention::Queue }
    }
    fn event(&self) -> Result<Event, EncodeError> {
        let event = Event::text("x");
        Ok(match self.latest {
            Some(name) => event.with_name(name.try_into()?),
            None => event,
        })
    }
}

/// Xorshift: the same program for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// All that ever happened.
#[derive(Default)]
struct History {
    /// Each key's queue messages.
    queue: BTreeMap<u64, Vec<u64>>,
    /// Those that are kept, with their keys.
    kept: BTreeMap<u64, u64>,
    /// The newest of each key and name.
    latest: BTreeMap<(u64, &'static str), u64>,
    head: u64,
    /// How often `memory` has refused, and how often it has trimmed.
    refused: usize,
    made_room: usize,
}

impl History {
    fn submit<const MEMORY: usize>(&mut self, store: &Store<Note<MEMORY>>, chance: &mut Chance) {
        let key = chance.below(KEYS);
        let latest = ["bid", "ask"].get(usize::try_from(chance.below(4)).unwrap()).copied();
        let answer = store.try_submit(Note { key, latest });
        if self.is_full(key, latest, MEMORY) {
            assert!(matches!(answer, Err(SubmitError::Full { .. })), "{answer:?}");
            self.refused += 1;
            return;
        }
        self.head += 1;
        assert_eq!(answer.unwrap().unwrap().offset.minor(), self.head);
        if let Some(name) = latest {
            self.latest.insert((key, name), self.head);
        } else {
            self.queue.entry(key).or_default().push(self.head);
            self.kept.insert(self.head, key);
        }
        if self.kept.values().filter(|of| **of == key).count() > KEPT {
            let oldest = *self.kept.iter().find(|(_, of)| **of == key).unwrap().0;
            self.kept.remove(&oldest);
        }
        while self.bytes() > MEMORY {
            self.kept.pop_first().unwrap();
            self.made_room += 1;
        }
    }

    fn forget<const MEMORY: usize>(&mut self, store: &Store<Note<MEMORY>>, chance: &mut Chance) {
        let key = chance.below(KEYS);
        self.latest.retain(|(of, _), _| *of != key);
        store.forget(&key);
    }

    /// What is kept, counted as the store counts it: each message, and each key with something kept.
    fn bytes(&self) -> usize {
        let keys: BTreeSet<u64> = self.kept.values().copied().chain(self.latest.keys().map(|(key, _)| *key)).collect();
        keys.len() * ENTRY_OVERHEAD + self.kept.len() * CHARGE + self.latest.len() * (CHARGE + NAME)
    }

    /// Whether a message does not fit beside the `latest` values, which are never dropped.
    fn is_full(&self, key: u64, latest: Option<&'static str>, memory: usize) -> bool {
        let mut alone = Self { latest: self.latest.clone(), ..Self::default() };
        match latest {
            Some(name) => drop(alone.latest.insert((key, name), 0)),
            None => drop(alone.kept.insert(0, key)),
        }
        alone.bytes() > memory
    }

    fn of<'a>(&'a self, keys: &'a Keys<u64>) -> impl Iterator<Item = (&'a u64, &'a Vec<u64>)> {
        self.queue.iter().filter(move |(key, _)| has(keys, **key))
    }

    fn kept(&self, keys: &Keys<u64>) -> BTreeSet<u64> {
        self.kept.iter().filter(|(_, key)| has(keys, **key)).map(|(offset, _)| *offset).collect()
    }

    fn all(&self, keys: &Keys<u64>) -> BTreeSet<u64> {
        self.of(keys).flat_map(|(_, offsets)| offsets.iter().copied()).collect()
    }
}

fn has(keys: &Keys<u64>, key: u64) -> bool {
    match keys {
        Keys::All => true,
        Keys::One(one) => *one == key,
        Keys::Set(set) => set.contains(&key),
    }
}

/// A client as a page would be: it knows what it received, and the last id.
struct Client<const MEMORY: usize> {
    keys: Keys<u64>,
    reader: Option<Reader<Note<MEMORY>>>,
    position: Option<Id>,
    received: BTreeSet<u64>,
    /// Received with its id, so that it may not come again.
    settled: BTreeSet<u64>,
    /// Queue messages that it was told it will not get, or that were none of its business when it came.
    excused: BTreeSet<u64>,
    last: u64,
    /// Whether a message of its keys after its position was trimmed when it came back, so that a gap must be told first.
    trimmed_at_open: bool,
    lost_at_open: BTreeSet<u64>,
}

impl<const MEMORY: usize> Client<MEMORY> {
    fn new(chance: &mut Chance) -> Self {
        let keys = match chance.below(3) {
            0 => Keys::One(chance.below(KEYS)),
            1 => Keys::Set(vec![chance.below(KEYS), chance.below(KEYS), KEYS + 1]),
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
        }
    }

    fn connect(&mut self, store: &Store<Note<MEMORY>>, history: &History, chance: &mut Chance) {
        let replay = usize::try_from(chance.below(6)).unwrap();
        let text = self.position.map(|id| id.to_string());
        let resume = text.as_deref().map_or(Resume::New, Resume::after_text);
        // What came without an id may come again.
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
        });
        self.lost_at_open = self.lost(history);
        self.last = self.position.map_or(0, |id| id.offset.minor());
        let options = ReaderOptions { replay, is_connection: true };
        self.reader = Some(Reader::open(store.shared(), self.keys.clone(), resume, options));
    }

    fn step(&mut self, history: &History) {
        let Some(reader) = &mut self.reader else { return };
        match reader.poll(&NOOP_WAKER) {
            ReadStep::Gap(gap) => self.gap(history, gap),
            ReadStep::Batch { position, batch, with_ids } => {
                assert!(!self.trimmed_at_open, "a loss was not told");
                if let Some(id) = position {
                    self.moves_to(history, id);
                }
                for entry in batch.entries() {
                    let offset = entry.offset().minor();
                    assert!(offset > self.last, "{offset} after {}", self.last);
                    assert!(has(&self.keys, entry.message.key));
                    assert!(!self.settled.contains(&offset), "{offset} twice");
                    self.last = offset;
                    self.received.insert(offset);
                    if with_ids {
                        self.settled.insert(offset);
                        self.moves_to(history, entry.id);
                    }
                }
            }
            ReadStep::CaughtUp { head, is_first } => {
                if is_first && self.position != Some(head) {
                    self.moves_to(history, head);
                }
                for ((key, name), newest) in &history.latest {
                    let current = !has(&self.keys, *key) || self.received.contains(newest);
                    assert!(current, "the newest {name} of {key}, {newest}, did not come");
                }
                self.owes_nothing_up_to(history, history.head);
            }
            ReadStep::Pending => panic!("a store in memory is never behind"),
            ReadStep::Ended(end) => panic!("{end:?}"),
        }
    }

    fn gap(&mut self, history: &History, gap: Gap) {
        assert_eq!(gap.missed.is_some(), gap.reason == GapReason::Lagged);
        let at_open = std::mem::take(&mut self.trimmed_at_open);
        let lost = if at_open { std::mem::take(&mut self.lost_at_open) } else { self.lost(history) };
        assert_eq!(gap.reason, if at_open { GapReason::Trimmed } else { GapReason::Lagged });
        assert!(at_open || !lost.is_empty(), "a false gap at {:?}", self.position);
        if let Some(missed) = gap.missed {
            assert_eq!(missed, lost.len() as u64);
        }
        self.excused.extend(lost);
    }

    /// What it is owed and cannot get.
    fn lost(&self, history: &History) -> BTreeSet<u64> {
        let owed = &history.all(&self.keys) - &(&self.received | &self.excused);
        &owed - &history.kept(&self.keys)
    }

    /// An id stands only where all that is owed up to it has come.
    fn moves_to(&mut self, history: &History, id: Id) {
        self.owes_nothing_up_to(history, id.offset.minor());
        self.settled.extend(self.received.range(..=id.offset.minor()));
        self.position = Some(id);
    }

    fn owes_nothing_up_to(&self, history: &History, offset: u64) {
        let owed = &history.all(&self.keys) - &(&self.received | &self.excused);
        assert!(owed.range(..=offset).next().is_none(), "owed {owed:?} up to {offset}");
    }
}

/// Random programs over a store of so many bytes; answers how often that bound refused and how often it trimmed.
fn check<const MEMORY: usize>(programs: u64) -> (usize, usize) {
    let mut bound = (0, 0);
    for seed in 1..programs {
        let mut chance = Chance(seed * 0x9E37_79B9);
        let store = Store::new();
        let mut history = History::default();
        let mut clients: Vec<Client<MEMORY>> = (0..6).map(|_| Client::new(&mut chance)).collect();
        for _ in 0..200 {
            let which = usize::try_from(chance.below(6)).unwrap();
            match chance.below(10) {
                0 => clients[which].connect(&store, &history, &mut chance),
                1 => clients[which].reader = None,
                2 if chance.below(4) == 0 => history.forget(&store, &mut chance),
                2..6 => history.submit(&store, &mut chance),
                _ => clients[which].step(&history),
            }
        }
        drop(clients);
        assert_eq!(store.subscribers(), 0);
        bound = (bound.0 + history.refused, bound.1 + history.made_room);
    }
    bound
}

#[test]
fn every_reader_gets_each_message_once_and_in_order_or_is_told() {
    // `./test --long` runs more of them.
    let programs = if std::env::var_os("TORNADOSE_LONG").is_some() { 1_000_000 } else { 2000 };
    assert_eq!(check::<{ 64 << 20 }>(programs), (0, 0), "here only capacity trims");
    // Less than the queues of all keys take, so that keys make room for one another.
    let (refused, made_room) = check::<{ 10 << 10 }>(programs);
    assert!(refused == 0 && made_room > 0);
    // Hardly more than the values that are never dropped.
    let (refused, made_room) = check::<6500>(programs);
    assert!(refused > 0 && made_room > 0);
}
