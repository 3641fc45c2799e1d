//! Ledgers against a plain model, over random programs. The model counts every number of a reader's ledger again from
//! outside: it sees every submit, every call of the filter, and the bytes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use futures_util::FutureExt;
use salvo::http::StatusError;
use salvo::{Depot, Request};
use serde_json::json;
use tokio::runtime::Builder;
use tokio::time::{Instant, advance};

use super::{Feed, FeedItem};
use crate::event::Event;
use crate::event::error::EncodeError;
use crate::handler::connection::record::{ConnectionRecord, Transport};
use crate::handler::feed::format::{Sse, Ws};
use crate::message::tombstone::Tombstone;
use crate::message::{Finish, Keys, Message, Retention};
use crate::store::Store;
use crate::store::end::{DRAIN_TIMEOUT, EndReason};
use crate::store::gap::GapReason;
use crate::store::ledger::Balance;
use crate::store::log::ephemeral::EPHEMERAL_AGE;
use crate::store::reader::mailbox::NOOP_WAKER;
use crate::store::reader::resume::Resume;
use crate::store::reader::{Reader, ReaderOptions};
use crate::store::registry::kind::ReaderKind;
use crate::store::subscription::{Received, Subscription};
use crate::subscriber::Subscriber;
use crate::subscriber::options::Lag;

const KEYS: u64 = 4;
const KEPT: usize = 4;

/// The names of `latest` messages. Those in quotes are the JSON of a slot.
const NAMES: [&str; 4] = ["bid", "ask", "\"1\"", "\"2\""];

/// A queue message, or the newest value of its key and name. Its number is its offset in the log. Queue messages expire
/// after so many milliseconds, and so do the values of two names; nothing does after 0.
struct Note<const QUEUE: u64, const LATEST: u64> {
    key: u64,
    number: u64,
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
#[derive(Clone, Copy)]
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

impl<const QUEUE: u64, const LATEST: u64> Finish for Note<QUEUE, LATEST> {}

impl<const QUEUE: u64, const LATEST: u64> Message for Note<QUEUE, LATEST> {
    type Key = u64;
    const CAN_FINISH: bool = true;
    const CAPACITY: usize = KEPT;
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
        let event = Event::text(self.number.to_string());
        Ok(match self.latest.filter(|name| !is_slot(name)) {
            Some(name) => event.with_name(name.try_into()?),
            None => event,
        })
    }
}

/// Xorshift random numbers: the same program for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn upto(&mut self, bound: u64) -> usize {
        usize::try_from(self.below(bound)).unwrap()
    }
}

/// A subscriber that passes some messages, withholds some, and panics at very few. It records the calls of its
/// filter.
struct Reads<const QUEUE: u64, const LATEST: u64> {
    salt: u64,
    asked: Mutex<Vec<(u64, bool)>>,
}

impl<const QUEUE: u64, const LATEST: u64> Subscriber for Reads<QUEUE, LATEST> {
    type Message = Note<QUEUE, LATEST>;
    fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> {
        Err(StatusError::not_found())
    }
    fn keys(&self) -> Keys<u64> {
        Keys::All
    }
    fn filter(&self, note: &Note<QUEUE, LATEST>) -> bool {
        let mut chance = Chance((note.number << 20 | self.salt) + 1);
        chance.below(7);
        if chance.below(60) == 0 {
            // Unlike `panic!`, this does not print.
            resume_unwind(Box::new("as asked"));
        }
        let passes = self.salt.is_multiple_of(3) || chance.below(3) > 0;
        self.asked.lock().unwrap().push((note.number, passes));
        passes
    }
}

/// Everything that has happened.
#[derive(Default)]
struct History {
    queue: BTreeMap<u64, Vec<u64>>,
    latest: BTreeMap<(u64, &'static str), u64>,
    /// The ephemeral messages that are kept, with their keys and the times of their submits; and all there ever were.
    ephemeral: BTreeMap<u64, (u64, Instant)>,
    all_ephemeral: BTreeSet<u64>,
    /// The finish of each finished key.
    finishes: BTreeMap<u64, u64>,
    /// The removals, with their keys, and the queue messages that they have dropped.
    removals: BTreeMap<u64, u64>,
    removed: BTreeSet<u64>,
    /// The time, in milliseconds, and when each message was submitted.
    now: u64,
    times: BTreeMap<u64, u64>,
    /// The queue messages that have expired.
    expired: BTreeSet<u64>,
    /// The ends of values, and what has ended.
    ends: BTreeMap<u64, End>,
    head: u64,
}

/// The end of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
struct End {
    key: u64,
    name: &'static str,
    number: u64,
}

impl End {
    /// Returns the data of the event that readers get.
    fn json(self) -> serde_json::Value {
        let Self { key, name, .. } = self;
        if is_slot(name) {
            json!({ "key": key, "slot": serde_json::from_str::<serde_json::Value>(name).unwrap() })
        } else {
            json!({ "key": key, "event": name })
        }
    }
}

impl History {
    fn queue_of<'a>(&'a self, keys: &'a Keys<u64>) -> impl Iterator<Item = &'a Vec<u64>> {
        self.queue.iter().filter(move |(key, _)| has(keys, **key)).map(|(_, numbers)| numbers)
    }

    fn kept(&self, keys: &Keys<u64>) -> BTreeSet<u64> {
        let newest = self.queue_of(keys).flat_map(|numbers| numbers.iter().rev().take(KEPT));
        newest.copied().filter(|number| !self.removed.contains(number) && !self.expired.contains(number)).collect()
    }

    fn newest_trimmed(&self, keys: &Keys<u64>) -> u64 {
        let trimmed = self.queue_of(keys).filter_map(|numbers| numbers.iter().rev().nth(KEPT)).max().copied();
        let removal = self.removals.iter().rfind(|(_, key)| has(keys, **key)).map(|(offset, _)| *offset);
        let expired = self.queue_of(keys).flatten().filter(|number| self.expired.contains(number)).max().copied();
        trimmed.max(removal).max(expired).unwrap_or(0)
    }

    fn next_removal(&self, keys: &Keys<u64>, after: u64) -> Option<u64> {
        self.removals.range(after + 1..).find(|(_, key)| has(keys, **key)).map(|(offset, _)| *offset)
    }

    /// Returns the first end of a value of these keys after an offset.
    fn next_end(&self, keys: &Keys<u64>, after: u64) -> Option<(u64, End)> {
        let mut ends = self.ends.range(after + 1..).filter(|(_, end)| has(keys, end.key));
        ends.next().map(|(offset, end)| (*offset, *end))
    }

    fn next_finish(&self, keys: &Keys<u64>, after: u64) -> Option<u64> {
        let of_keys = self.finishes.iter().filter(|(key, finish)| has(keys, **key) && **finish > after);
        of_keys.map(|(_, finish)| *finish).min()
    }

    fn is_finished(&self, keys: &Keys<u64>) -> bool {
        match keys {
            Keys::All => false,
            Keys::One(key) => self.finishes.contains_key(key),
            Keys::Set(keys) => keys.iter().all(|key| self.finishes.contains_key(key)),
        }
    }

    fn newest_queued(&self, keys: &Keys<u64>) -> u64 {
        self.queue_of(keys).filter_map(|numbers| numbers.last()).max().copied().unwrap_or(0)
    }

    fn latest(&self, keys: &Keys<u64>) -> BTreeSet<u64> {
        self.latest.iter().filter(|((key, _), _)| has(keys, *key)).map(|(_, number)| *number).collect()
    }

    fn is_latest(&self, number: u64) -> bool {
        !self.queue.values().any(|numbers| numbers.binary_search(&number).is_ok())
    }
}

fn has(keys: &Keys<u64>, key: u64) -> bool {
    match keys {
        Keys::All => true,
        Keys::One(one) => *one == key,
        Keys::Set(set) => set.contains(&key),
    }
}

enum Tap<const QUEUE: u64, const LATEST: u64> {
    Sse(Feed<Note<QUEUE, LATEST>>, Reads<QUEUE, LATEST>),
    Ws(Feed<Note<QUEUE, LATEST>>, Reads<QUEUE, LATEST>),
    Subscription(Subscription<Note<QUEUE, LATEST>>),
}

/// A reader, and everything that is known about it from outside.
#[expect(clippy::struct_excessive_bools, reason = "each is one fact of a model")]
struct Client<const QUEUE: u64, const LATEST: u64> {
    keys: Keys<u64>,
    tap: Tap<QUEUE, LATEST>,
    lag: Lag,
    owed: u64,
    /// Owed, and not read from the log.
    unread: BTreeSet<u64>,
    /// Read from the log, and not yet delivered.
    in_hand: BTreeSet<u64>,
    delivered: u64,
    filtered: u64,
    conflated: u64,
    missed: u64,
    ephemeral_missed: u64,
    /// The offset at which the batches of a subscription are split.
    border: u64,
    position: Option<String>,
    over: bool,
    panicked: bool,
    /// Whether it has lagged and ends because of that.
    lagged: bool,
    /// Whether it was told that all its keys are finished, and ends.
    finished: bool,
    /// Removals up to here are told, or concern messages that are not owed to it.
    removals_told_through: u64,
    /// The finishes up to here are told. This counts for subscriptions alone.
    finishes_told_through: u64,
    /// The ends of values up to here are told, or concern values that it was never sent.
    ends_told_through: u64,
    /// Ends that the filter has passed, and that were not written yet.
    ends_in_hand: VecDeque<End>,
    /// How far a subscription has read.
    reached: u64,
    disconnected: Option<Disconnected>,
}

/// A reader that was disconnected, as it is known from outside.
struct Disconnected {
    /// The newest message at that time.
    after: u64,
    /// When it ends, whether it has read everything or not.
    due_at: Instant,
    /// Whether it may have reported the loss of messages that it would not have been delivered, because they were
    /// submitted later. Its position decides, which is not known here.
    may_have_missed_later: bool,
}

impl<const QUEUE: u64, const LATEST: u64> Client<QUEUE, LATEST> {
    fn open(
        store: &Store<Note<QUEUE, LATEST>>,
        history: &History,
        position: Option<&str>,
        chance: &mut Chance,
    ) -> Self {
        let keys = match chance.below(3) {
            0 => Keys::One(chance.below(KEYS)),
            1 if chance.below(2) == 0 => Keys::Set(vec![chance.below(KEYS), chance.below(KEYS)]),
            1 => Keys::Set(vec![chance.below(KEYS), chance.below(KEYS), KEYS + 1]),
            _ => Keys::All,
        };
        let lag = if chance.below(3) == 0 { Lag::Close } else { Lag::Skip };
        let (replay, kind) = (chance.upto(6), chance.below(3));
        let position = position.filter(|_| kind > 0);
        let kept = history.kept(&keys);
        let mut ends_told_through = history.head;
        let unread: BTreeSet<u64> = match position {
            None => {
                let replay = if kind == 0 { 0 } else { replay };
                kept.iter().rev().take(replay).copied().chain(history.latest(&keys)).collect()
            }
            Some(id) => {
                let head = store.head().to_string();
                let (this, _) = head.split_once('-').unwrap();
                let of_this_log = id.split_once('-').filter(|(epoch, _)| *epoch == this);
                let after = of_this_log.map_or(0, |(_, offset)| offset.parse().unwrap());
                if of_this_log.is_some() {
                    ends_told_through = after;
                }
                let (mut queue, mut latest) = (kept.clone(), history.latest(&keys));
                // All values follow a gap.
                let is_trimmed = history.newest_trimmed(&keys) > after;
                if !is_trimmed {
                    latest = latest.split_off(&(after + 1));
                }
                &queue.split_off(&(after + 1)) | &latest
            }
        };
        let feed = |transport| {
            let terms = ReaderOptions { replay, kind: ReaderKind::Sse, gets_snapshots: true };
            let resume = position.map_or(Resume::New, Resume::after_text);
            let reader = Reader::open(store.shared(), keys.clone(), resume, terms);
            let record = ConnectionRecord::open(transport, 1, &reader);
            Feed::new(reader, record, lag)
        };
        let salt = chance.below(1 << 20);
        let reads = || Reads { salt, asked: Mutex::default() };
        let tap = match (kind, &keys) {
            (0, Keys::One(key)) => Tap::Subscription(store.subscribe_to(*key)),
            (0, _) => Tap::Subscription(store.subscribe()),
            (1, _) => Tap::Sse(feed(Transport::Sse), reads()),
            _ => Tap::Ws(feed(Transport::Ws), reads()),
        };
        let mut client = Self {
            keys,
            tap,
            lag,
            owed: 0,
            unread,
            in_hand: BTreeSet::new(),
            delivered: 0,
            filtered: 0,
            conflated: 0,
            missed: 0,
            ephemeral_missed: 0,
            border: 0,
            position: position.map(str::to_owned),
            over: false,
            panicked: false,
            lagged: false,
            finished: false,
            removals_told_through: history.head,
            finishes_told_through: 0,
            ends_told_through: 0,
            ends_in_hand: VecDeque::new(),
            reached: 0,
            disconnected: None,
        };
        if matches!(client.tap, Tap::Subscription(_)) {
            if !matches!(client.keys, Keys::One(_)) {
                client.keys = Keys::All;
                client.unread = history.latest(&client.keys);
            }
            client.lag = Lag::Skip;
            ends_told_through = history.head;
            client.border = history.newest_queued(&client.keys).max(history.newest_trimmed(&client.keys));
        }
        client.ends_told_through = ends_told_through;
        client.owed = client.unread.len() as u64;
        client
    }

    fn mark_received(&mut self, key: u64, number: u64, replaced: Option<u64>) {
        if has(&self.keys, key) {
            self.owed += 1;
            self.unread.insert(number);
        }
        self.loses(replaced);
    }

    fn loses(&mut self, latest: Option<u64>) {
        self.conflated += u64::from(latest.is_some_and(|number| self.unread.remove(&number)));
    }

    /// Ephemeral messages were dropped.
    fn misses_ephemeral(&mut self, dropped: &BTreeSet<u64>) {
        let unread = self.unread.len();
        self.unread.retain(|number| !dropped.contains(number));
        self.ephemeral_missed += (unread - self.unread.len()) as u64;
    }

    /// Messages that are owed, not read, and were trimmed. Those that were removed are told at the removal.
    fn lost(&self, history: &History) -> BTreeSet<u64> {
        let kept = &history.kept(&self.keys) | &history.removed;
        self.unread.iter().copied().filter(|number| !kept.contains(number) && !history.is_latest(*number)).collect()
    }

    /// Is told of the next removal.
    fn read_removal(&mut self, history: &History, missed: u64) {
        let removal = history.next_removal(&self.keys, self.removals_told_through).unwrap();
        let removed: BTreeSet<u64> = (&self.unread & &history.removed).range(..removal).copied().collect();
        assert_eq!(missed, removed.len() as u64, "at the removal {removal}");
        self.removals_told_through = removal;
        self.reached = removal;
        self.misses(&removed);
    }

    /// Returns whether all of these messages were submitted after it was disconnected.
    fn is_lost_after_end(&self, lost: &BTreeSet<u64>) -> bool {
        self.disconnected.as_ref().is_some_and(|end| lost.iter().all(|number| *number > end.after))
    }

    /// Is owed all values again, because it is told of a loss.
    fn owe_again(&mut self, history: &History) {
        let again = &history.latest(&self.keys) - &self.unread;
        self.owed += again.len() as u64;
        self.unread.extend(again);
        self.finishes_told_through = 0;
        self.border = self.border.max(self.reached);
    }

    /// Is told of the next end of a value of its keys.
    fn take_end(&mut self, history: &History) -> End {
        let (offset, end) = history.next_end(&self.keys, self.ends_told_through).expect("a value has ended");
        self.ends_told_through = offset;
        self.reached = offset;
        end
    }

    /// Reads the calls of its filter: about messages that it has read, and about values that have expired.
    fn read_asked(&mut self, history: &History, asked: Vec<(u64, bool)>) {
        for (number, passes) in asked {
            if !self.unread.contains(&number) {
                let end = self.take_end(history);
                assert_eq!(end.number, number, "the filter is asked about the value that has expired");
                self.ends_in_hand.extend(Some(end).filter(|_| passes));
                continue;
            }
            assert!(self.unread.remove(&number), "{number} was read, and was not owed");
            let is_after_end = self.disconnected.as_ref().is_some_and(|end| number > end.after);
            assert!(!is_after_end, "{number} was submitted after the disconnect");
            if passes {
                self.in_hand.insert(number);
            } else {
                self.filtered += 1;
            }
        }
    }

    fn step(&mut self, history: &History) {
        if self.over {
            return;
        }
        let lost = self.lost(history);
        let (fed, asked) = match &mut self.tap {
            Tap::Subscription(_) => return self.step_subscription(history, &lost),
            Tap::Sse(feed, reads) => {
                let outcome = catch_unwind(AssertUnwindSafe(|| feed.next::<Sse>(reads, &NOOP_WAKER)));
                (outcome, std::mem::take(&mut *reads.asked.lock().unwrap()))
            }
            Tap::Ws(feed, reads) => {
                let outcome = catch_unwind(AssertUnwindSafe(|| feed.next::<Ws>(reads, &NOOP_WAKER)));
                (outcome, std::mem::take(&mut *reads.asked.lock().unwrap()))
            }
        };
        let said = match (&fed, &self.tap) {
            (Ok(FeedItem::Bytes(bytes)), Tap::Sse(..)) => sse(bytes),
            (Ok(FeedItem::Bytes(bytes)), _) => ws(bytes),
            _ => Vec::new(),
        };
        let is_told = said.iter().any(|said| matches!(said, Said::Gap(missed) if *missed > 0));
        let is_closed = self.lag == Lag::Close && !lost.is_empty() && !self.lagged && !self.is_lost_after_end(&lost);
        // A panic of the filter comes after the gap.
        let is_cut = fed.is_err() && !lost.is_empty();
        if is_told || is_closed || is_cut {
            self.owe_again(history);
        }
        self.read_asked(history, asked);
        let mut declared = 0;
        let is_lost_after_end = self.is_lost_after_end(&lost);
        match fed {
            Err(_) => {
                self.over = true;
                self.panicked = true;
            }
            Ok(FeedItem::Ended(EndReason::Disconnected)) => {
                self.over = true;
                let Disconnected { after, due_at, .. } = *self.disconnected.as_ref().unwrap();
                if Instant::now() >= due_at {
                    return;
                }
                let removal = history.next_removal(&self.keys, self.removals_told_through);
                let unread = if removal.is_some() { &self.unread - &history.removed } else { self.unread.clone() };
                assert!(self.is_lost_after_end(&unread), "it ends before it has read everything");
                assert!(removal.is_none_or(|removal| removal > after));
                return;
            }
            Ok(FeedItem::Ended(EndReason::Finished)) => {
                self.over = true;
                assert!(self.finished);
                return;
            }
            Ok(FeedItem::Ended(_) | FeedItem::NotLoaded(_)) => self.over = true,
            Ok(FeedItem::Pending) => {}
            Ok(FeedItem::Bytes(_)) => {
                for said in said {
                    match said {
                        Said::Position(id) => self.position = Some(id),
                        Said::Gap(missed) => declared += missed,
                        Said::Removed(missed) => self.read_removal(history, missed),
                        Said::Ended(json) => {
                            let end = self.ends_in_hand.pop_front().expect("the filter has passed it");
                            assert_eq!(json, end.json());
                        }
                        Said::Finished => {
                            self.finished = true;
                            assert!(history.is_finished(&self.keys));
                            assert!(self.unread.is_subset(&lost), "it ends before it has read everything");
                        }
                        Said::Number { number, has_id } => {
                            let is_ephemeral = history.all_ephemeral.contains(&number);
                            assert!(!(is_ephemeral && has_id), "the ephemeral {number} has an id");
                            assert!(self.in_hand.remove(&number), "{number} was not in hand");
                            self.delivered += 1;
                        }
                    }
                }
                assert!(self.in_hand.is_empty() && self.ends_in_hand.is_empty());
            }
        }
        if let Some(end) = self.disconnected.as_mut().filter(|_| is_lost_after_end)
            && !lost.is_empty()
            && declared == 0
        {
            end.may_have_missed_later = true;
            return;
        }
        match self.lag {
            Lag::Skip if self.panicked => {}
            Lag::Skip => assert_eq!(declared, lost.len() as u64),
            // A reader that is closed because it lagged gets no count of missed messages, and reads no further.
            Lag::Close => assert_eq!(declared, 0),
        }
        if !self.lagged {
            self.misses(&lost);
        }
        self.lagged |= self.lag == Lag::Close && !lost.is_empty();
    }

    fn step_subscription(&mut self, history: &History, lost: &BTreeSet<u64>) {
        let Tap::Subscription(subscription) = &mut self.tap else { return };
        let next = Pin::new(subscription).poll_next(&mut Context::from_waker(&NOOP_WAKER));
        match next {
            Poll::Ready(Some(Received::Message { message, .. })) => {
                if self.in_hand.is_empty() {
                    // It has taken a batch: everything that it was owed up to the split, or to the next finish or
                    // removal.
                    let finish = history.next_finish(&self.keys, self.finishes_told_through);
                    let removal = history.next_removal(&self.keys, self.removals_told_through);
                    let end = history.next_end(&self.keys, self.ends_told_through).map(|(offset, _)| offset);
                    let stop = finish.into_iter().chain(removal).chain(end).min().unwrap_or(u64::MAX);
                    let owed: BTreeSet<u64> = (&self.unread - &history.removed).range(..stop).copied().collect();
                    let up_to_split: BTreeSet<u64> = owed.range(..=self.border).copied().collect();
                    self.in_hand = if up_to_split.is_empty() { owed } else { up_to_split };
                    self.unread = &self.unread - &self.in_hand;
                    self.reached = self.in_hand.last().copied().unwrap_or(self.reached);
                    let after_end = self.disconnected.as_ref().map(|end| self.in_hand.split_off(&(end.after + 1)));
                    self.unread.extend(after_end.into_iter().flatten());
                }
                assert_eq!(self.in_hand.pop_first(), Some(message.number));
                self.delivered += 1;
            }
            Poll::Ready(Some(Received::Finished { id, .. })) => {
                let finish = history.next_finish(&self.keys, self.finishes_told_through);
                assert_eq!(finish, Some(id.offset.minor()));
                self.finishes_told_through = id.offset.minor();
                self.reached = self.finishes_told_through;
            }
            Poll::Ready(Some(Received::Gap { reason: GapReason::Removed, missed })) => {
                self.read_removal(history, missed.unwrap());
            }
            Poll::Ready(Some(Received::Expired { id, message })) => {
                let end = self.take_end(history);
                assert_eq!((id.offset.minor(), message.number), (self.ends_told_through, end.number));
            }
            Poll::Ready(Some(Received::Gap { missed, .. })) => {
                assert_eq!(missed, Some(lost.len() as u64));
                self.misses(lost);
                self.owe_again(history);
                self.border = self.border.max(history.newest_trimmed(&self.keys));
            }
            Poll::Ready(None) => self.over = true,
            Poll::Pending => self.reached = history.head,
        }
    }

    fn misses(&mut self, lost: &BTreeSet<u64>) {
        self.missed += lost.len() as u64;
        self.unread.retain(|number| !lost.contains(number));
    }

    /// Checks that its ledger, if it ends here, agrees with the model.
    fn check(&self) -> Balance {
        let unread = (self.unread.len() + self.in_hand.len()) as u64;
        let Self { owed, delivered, filtered, conflated, missed, ephemeral_missed, .. } = *self;
        let expected = Balance { owed, delivered, filtered, conflated, missed, ephemeral_missed, summed: 0, unread };
        let found = match &self.tap {
            Tap::Sse(feed, _) | Tap::Ws(feed, _) => feed.reader().balance(),
            Tap::Subscription(subscription) => subscription.balance(),
        };
        // Of a panic it is not known whether the reader was told of a removal before.
        if self.panicked || self.disconnected.as_ref().is_some_and(|end| end.may_have_missed_later) {
            let (found_lost, expected_lost) = (found.missed + found.unread, missed + unread);
            let rest = |balance: Balance, lost: u64| {
                // Nor is it known whether all values were owed again.
                let owed = balance.owed - lost - balance.conflated;
                Balance { owed, missed: 0, unread: 0, conflated: 0, ..balance }
            };
            assert_eq!(rest(found, found_lost), rest(expected, expected_lost));
            return found;
        }
        assert_eq!(found, expected);
        let sum = delivered + filtered + conflated + missed + ephemeral_missed + unread;
        assert_eq!(found.owed, sum, "it does not balance");
        found
    }
}

enum Said {
    Position(String),
    Gap(u64),
    Removed(u64),
    /// All its keys are finished.
    Finished,
    /// A value has expired.
    Ended(serde_json::Value),
    Number {
        number: u64,
        has_id: bool,
    },
}

fn of_data(data: &str, has_id: bool) -> Said {
    if let Ok(number) = data.parse() {
        return Said::Number { number, has_id };
    }
    if data == "{}" {
        return Said::Finished;
    }
    let gap: serde_json::Value = serde_json::from_str(data).unwrap();
    if gap["reason"] == "removed" {
        return Said::Removed(gap["missed"].as_u64().unwrap());
    }
    if !gap["slot"].is_null() || !gap["event"].is_null() {
        return Said::Ended(gap);
    }
    // The finish of one of several keys misses nothing.
    Said::Gap(gap["missed"].as_u64().unwrap_or(0))
}

fn sse(bytes: &[u8]) -> Vec<Said> {
    let mut has_id = false;
    let said = std::str::from_utf8(bytes).unwrap().lines().filter_map(|line| match line.split_once(": ") {
        Some(("id", id)) => {
            has_id = true;
            Some(Said::Position(id.to_owned()))
        }
        Some(("data", data)) => Some(of_data(data, has_id)),
        Some(_) => None,
        None => {
            has_id = false;
            None
        }
    });
    said.collect()
}

fn ws(mut bytes: &[u8]) -> Vec<Said> {
    let mut said = Vec::new();
    while let [_, length, rest @ ..] = bytes {
        let (length, rest) = match length {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            length => (usize::from(*length), rest),
        };
        let (frame, behind) = rest.split_at(length);
        bytes = behind;
        let frame: serde_json::Value = serde_json::from_slice(frame).unwrap();
        said.extend(frame["id"].as_str().map(|id| Said::Position(id.to_owned())));
        let has_id = frame["id"].is_string();
        match &frame["data"] {
            serde_json::Value::Null => {}
            serde_json::Value::String(text) => said.push(of_data(text, has_id)),
            data => said.push(of_data(&data.to_string(), has_id)),
        }
    }
    said
}

fn submit<const QUEUE: u64, const LATEST: u64>(
    store: &Store<Note<QUEUE, LATEST>>,
    history: &mut History,
    clients: &mut [Option<Client<QUEUE, LATEST>>],
    chance: &mut Chance,
) {
    let key = chance.below(KEYS);
    let latest = NAMES.get(chance.upto(8)).copied();
    let is_ephemeral = latest.is_none() && chance.below(3) == 0;
    // A finish would be forgotten with the messages of its key.
    let finishes = QUEUE == 0 && latest.is_none() && !is_ephemeral && chance.below(30) == 0;
    let drops = (latest.is_none() && !is_ephemeral && !finishes && chance.below(5) == 0).then(|| random_drops(chance));
    if history.finishes.contains_key(&key) {
        assert!(store.try_submit(Note { key, number: 0, latest, is_ephemeral, finishes, drops }).is_err());
        return;
    }
    if let Some(drops) = drops {
        drop_latest(history, clients, key, drops);
    }
    history.head += 1;
    let number = history.head;
    history.times.insert(number, history.now);
    let replaced = latest.and_then(|name| history.latest.insert((key, name), number));
    if is_ephemeral {
        history.ephemeral.insert(number, (key, Instant::now()));
        history.all_ephemeral.insert(number);
    } else if latest.is_none() {
        history.queue.entry(key).or_default().push(number);
    }
    for client in clients.iter_mut().flatten() {
        client.mark_received(key, number, replaced);
    }
    if finishes {
        history.head += 1;
        history.finishes.insert(key, history.head);
    }
    let id = store.try_submit(Note { key, number, latest, is_ephemeral, finishes, drops }).unwrap().unwrap();
    assert_eq!(id.offset.minor(), number);
}

fn finish<const QUEUE: u64, const LATEST: u64>(
    store: &Store<Note<QUEUE, LATEST>>,
    history: &mut History,
    chance: &mut Chance,
) {
    let key = chance.below(KEYS);
    let next = history.head + 1;
    history.head = (*history.finishes.entry(key).or_insert(next)).max(history.head);
    store.finish(&key).now_or_never().unwrap().unwrap();
}

fn remove<const QUEUE: u64, const LATEST: u64>(
    store: &Store<Note<QUEUE, LATEST>>,
    history: &mut History,
    clients: &mut [Option<Client<QUEUE, LATEST>>],
    chance: &mut Chance,
) {
    let key = chance.below(KEYS);
    history.removed.extend(history.kept(&Keys::One(key)));
    history.head += 1;
    history.removals.insert(history.head, key);
    history.finishes.remove(&key);
    history.ends.retain(|_, end| end.key != key);
    for (_, number) in history.latest.extract_if(.., |(of, _), _| *of == key) {
        for client in clients.iter_mut().flatten() {
            client.loses(Some(number));
        }
    }
    drop_ephemeral(history, clients, |of, _| of == key);
    store.remove(&key).now_or_never().unwrap().unwrap();
}

/// Drops ephemeral messages, by their keys and their times.
fn drop_ephemeral<const QUEUE: u64, const LATEST: u64>(
    history: &mut History,
    clients: &mut [Option<Client<QUEUE, LATEST>>],
    is_dropped: impl Fn(u64, Instant) -> bool,
) {
    let dropped = history.ephemeral.extract_if(.., |_, (key, at)| is_dropped(*key, *at));
    let dropped: BTreeSet<u64> = dropped.map(|(number, _)| number).collect();
    clients.iter_mut().flatten().for_each(|client| client.misses_ephemeral(&dropped));
}

/// Lets some time pass, in which ephemeral messages grow too old.
async fn wait<const QUEUE: u64, const LATEST: u64>(
    store: &Store<Note<QUEUE, LATEST>>,
    history: &mut History,
    clients: &mut [Option<Client<QUEUE, LATEST>>],
    chance: &mut Chance,
) {
    advance(Duration::from_millis(chance.below(4000))).await;
    drop_ephemeral(history, clients, |_, at| at.elapsed() >= EPHEMERAL_AGE);
    let expired = store.shared().lock().expire(Instant::now());
    drop(expired);
}

fn forget<const QUEUE: u64, const LATEST: u64>(
    store: &Store<Note<QUEUE, LATEST>>,
    history: &mut History,
    clients: &mut [Option<Client<QUEUE, LATEST>>],
    chance: &mut Chance,
) {
    let (key, drops) = (chance.below(KEYS), random_drops(chance));
    drop_latest(history, clients, key, drops);
    drops.forget(store, key);
}

/// Lets time pass, and what is old expire.
async fn pass<const QUEUE: u64, const LATEST: u64>(
    store: &Store<Note<QUEUE, LATEST>>,
    history: &mut History,
    clients: &mut [Option<Client<QUEUE, LATEST>>],
    chance: &mut Chance,
) {
    let milliseconds = chance.below(20);
    advance(Duration::from_millis(milliseconds)).await;
    history.now += milliseconds;
    let kept = history.kept(&Keys::All);
    let age = |number: u64| history.now - history.times[&number];
    if QUEUE > 0 {
        history.expired.extend(kept.into_iter().filter(|number| age(*number) >= QUEUE));
    }
    let mut ended: Vec<End> = Vec::new();
    if LATEST > 0 {
        let values = history.latest.iter().filter(|((_, name), number)| expires(name) && age(**number) >= LATEST);
        ended = values.map(|((key, name), number)| End { key: *key, name, number: *number }).collect();
    }
    // Those that were submitted first end first.
    ended.sort_unstable_by_key(|end| end.number);
    for end in ended {
        history.latest.remove(&(end.key, end.name));
        history.head += 1;
        history.ends.insert(history.head, end);
        for client in clients.iter_mut().flatten() {
            client.loses(Some(end.number));
        }
    }
    // Without a chance for the task that sweeps, it expires now.
    store.latest(&0);
}

fn random_drops(chance: &mut Chance) -> Drops {
    if chance.below(2) == 0 { Drops::Slot(NAMES[2 + chance.upto(2)]) } else { Drops::Key }
}

/// Drops the values of a key, or that in a slot.
fn drop_latest<const QUEUE: u64, const LATEST: u64>(
    history: &mut History,
    clients: &mut [Option<Client<QUEUE, LATEST>>],
    key: u64,
    drops: Drops,
) {
    let is_dropped = |(of, name): &(u64, &str)| *of == key && drops.has(name);
    for (_, number) in history.latest.extract_if(.., |of, _| is_dropped(of)) {
        for client in clients.iter_mut().flatten() {
            client.loses(Some(number));
        }
    }
}

#[test]
fn every_ledger_balances_after_chaos_and_is_the_models() {
    check::<0, 0>(2000);
}

#[test]
fn every_ledger_balances_where_messages_and_values_expire() {
    check::<0, 30>(700);
    check::<40, 0>(700);
    check::<40, 30>(700);
}

fn check<const QUEUE: u64, const LATEST: u64>(programs: u64) {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let mut sum = [0; 7];
    for seed in 1..programs {
        runtime.block_on(check_one::<QUEUE, LATEST>(seed, &mut sum));
    }
    let mut tried = sum.to_vec();
    if QUEUE + LATEST > 0 {
        // Too little time passes for ephemeral messages to be missed.
        tried.remove(5);
    }
    assert!(tried.iter().all(|messages| *messages > programs), "the programs do not try everything: {sum:?}");
}

async fn check_one<const QUEUE: u64, const LATEST: u64>(seed: u64, sum: &mut [u64; 7]) {
    let mut chance = Chance(seed * 0x9E37_79B9);
    let store = Store::new();
    let mut history = History::default();
    let mut clients: Vec<Option<Client<QUEUE, LATEST>>> = (0..6).map(|_| None).collect();
    let mut positions = vec![None, Some("0-1".to_owned()), Some("of no log".to_owned())];
    for _ in 0..250 {
        let which = chance.upto(6);
        match chance.below(10) {
            0 => {
                let position = chance.upto(positions.len() as u64);
                end(&mut clients[which], &mut positions, sum);
                let position = positions[position].as_deref();
                clients[which] = Some(Client::open(&store, &history, position, &mut chance));
            }
            1 if chance.below(2) == 0 => end(&mut clients[which], &mut positions, sum),
            2 if chance.below(4) == 0 => forget(&store, &mut history, &mut clients, &mut chance),
            2 if chance.below(4) == 0 => remove(&store, &mut history, &mut clients, &mut chance),
            2 if QUEUE == 0 && chance.below(20) == 0 => finish(&store, &mut history, &mut chance),
            3 if chance.below(20) == 0 => disconnect(&store, &history, &mut clients, &mut chance),
            3 if QUEUE + LATEST > 0 && chance.below(2) == 0 => {
                pass(&store, &mut history, &mut clients, &mut chance).await;
            }
            3 if QUEUE + LATEST == 0 && chance.below(8) == 0 => {
                wait(&store, &mut history, &mut clients, &mut chance).await;
            }
            2..6 => submit(&store, &mut history, &mut clients, &mut chance),
            _ => {
                clients[which].iter_mut().for_each(|client| client.step(&history));
                // How much of the batch the reader has taken from the log cannot be seen from outside, so it ends
                // here.
                if clients[which].as_ref().is_some_and(|client| client.panicked) {
                    end(&mut clients[which], &mut positions, sum);
                }
            }
        }
    }
    store.close();
    // Some read the rest of their messages, some do not.
    for client in clients.iter_mut().flatten() {
        for _ in 0..chance.below(40) {
            client.step(&history);
        }
    }
    for client in &mut clients {
        end(client, &mut positions, sum);
    }
    assert_eq!(store.subscribers(), 0);
}

fn disconnect<const QUEUE: u64, const LATEST: u64>(
    store: &Store<Note<QUEUE, LATEST>>,
    history: &History,
    clients: &mut [Option<Client<QUEUE, LATEST>>],
    chance: &mut Chance,
) {
    let key = chance.below(KEYS);
    store.disconnect(&key);
    for client in clients.iter_mut().flatten() {
        let holds_key = !matches!(client.keys, Keys::All) && has(&client.keys, key);
        if holds_key && !client.over && client.disconnected.is_none() {
            client.disconnected = Some(Disconnected {
                after: history.head,
                due_at: Instant::now() + DRAIN_TIMEOUT,
                may_have_missed_later: false,
            });
        }
    }
}

fn end<const QUEUE: u64, const LATEST: u64>(
    client: &mut Option<Client<QUEUE, LATEST>>,
    positions: &mut Vec<Option<String>>,
    sum: &mut [u64; 7],
) {
    let Some(client) = client.take() else { return };
    let Balance { owed, delivered, filtered, conflated, missed, ephemeral_missed, summed: _, unread } = client.check();
    let counts = [owed, delivered, filtered, conflated, missed, ephemeral_missed, unread];
    for (sum, messages) in sum.iter_mut().zip(counts) {
        *sum += messages;
    }
    positions.extend(client.position.is_some().then_some(client.position));
}
