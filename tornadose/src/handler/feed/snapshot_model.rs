//! Clients of a type with snapshots against a plain model, over random programs: messages are submitted, trimmed and
//! removed, clients read slowly, are cut at any byte and return. At each quiet moment the state of a client is the sum of
//! all messages. A gap is told for messages alone that no snapshot contains.
//!
//! A program can have a fault in the store, which the model has to find.

mod beside;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};

use fastrand::Rng;
use futures_util::FutureExt;
use salvo::http::StatusError;
use salvo::{Depot, Request};
use serde_json::{Value, json};

use super::{Feed, FeedItem};
use crate::event::Event;
use crate::event::error::EncodeError;
use crate::handler::connection::record::{ConnectionRecord, Transport};
use crate::handler::feed::format::{Sse, Ws};
use crate::message::snapshot::{SnapshotRole, SnapshotRules};
use crate::message::{Finish, Keys, Message, Retention};
use crate::store::Store;
use crate::store::end::EndReason;
use crate::store::error::SubmitError;
use crate::store::reader::mailbox::NOOP_WAKER;
use crate::store::reader::resume::Resume;
use crate::store::reader::{Reader, ReaderOptions};
use crate::store::registry::kind::ReaderKind;
use crate::store::sum::Fault;
use crate::subscriber::Subscriber;
use crate::subscriber::options::Lag;

const KEYS: u64 = 3;
const KEPT: usize = 4;
const CLIENTS: usize = 5;

/// A message. Its number is its own.
#[derive(Clone)]
struct Line {
    key: u64,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    /// Is appended to the snapshot.
    Piece(u64),
    /// The snapshot: the numbers of the pieces.
    Whole(Vec<u64>),
    /// No snapshot knows of it.
    Note(u64),
    /// A note that finishes its key.
    Last(u64),
    /// A `latest` value.
    Value(u64),
}

impl Message for Line {
    type Key = u64;
    const CAPACITY: usize = KEPT;
    const CAN_FINISH: bool = true;
    const CHANNEL: &'static str = "lines";
    const SNAPSHOT: Option<SnapshotRules<Self, u64>> = Some(SnapshotRules::new(
        |key| Self { key: *key, kind: Kind::Whole(Vec::new()) },
        |whole, piece| {
            if let (Kind::Whole(numbers), Kind::Piece(number)) = (&mut whole.kind, &piece.kind) {
                numbers.push(*number);
            }
        },
        |line| match line.kind {
            Kind::Piece(_) => SnapshotRole::Summed,
            Kind::Whole(_) => SnapshotRole::Snapshot,
            _ => SnapshotRole::Other,
        },
    ));

    fn key(&self) -> u64 {
        self.key
    }
    fn retention(&self) -> Retention {
        if matches!(self.kind, Kind::Value(_)) { Retention::Latest } else { Retention::Queue }
    }
    fn finishes(&self) -> bool {
        matches!(self.kind, Kind::Last(_))
    }
    fn event(&self) -> Result<Event, EncodeError> {
        let key = self.key;
        Event::json(&match &self.kind {
            Kind::Piece(number) => json!({ "key": key, "piece": number }),
            Kind::Whole(numbers) => json!({ "key": key, "whole": numbers }),
            Kind::Note(number) | Kind::Last(number) => json!({ "key": key, "note": number }),
            Kind::Value(number) => json!({ "key": key, "value": number }),
        })
    }
}

impl Finish for Line {}

struct Reads;

impl Subscriber for Reads {
    type Message = Line;
    fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> {
        Err(StatusError::not_found())
    }
    fn keys(&self) -> Keys<u64> {
        Keys::All
    }
}

/// A note of the history.
struct Note {
    key: u64,
    offset: u64,
    is_kept: bool,
}

/// Everything that has happened.
#[derive(Default)]
struct History {
    number: u64,
    /// The pieces that the snapshot of each key has.
    sums: BTreeMap<u64, Vec<u64>>,
    notes: BTreeMap<u64, Note>,
    /// The queue messages that are kept of each key; of notes their numbers.
    kept: BTreeMap<u64, VecDeque<Option<u64>>>,
    values: BTreeMap<u64, u64>,
    finished: BTreeSet<u64>,
    /// The removals, by their offsets.
    removals: BTreeMap<u64, u64>,
}

impl History {
    fn submit(&mut self, store: &Store<Line>, random: &mut Rng) {
        let key = random.u64(..KEYS);
        self.number += 1;
        let number = self.number;
        let kind = match random.u64(..100) {
            0..65 => Kind::Piece(number),
            65..70 => Kind::Whole(vec![number]),
            70..86 => Kind::Note(number),
            86..89 => Kind::Last(number),
            _ => Kind::Value(number),
        };
        let result = store.try_submit(Line { key, kind: kind.clone() });
        if self.finished.contains(&key) {
            assert!(matches!(result, Err(SubmitError::Finished { .. })));
            return;
        }
        let offset = result.unwrap_or_else(|_| panic!("refused")).expect("in memory").offset.minor();
        let is_last = matches!(kind, Kind::Last(_));
        let note = match kind {
            Kind::Piece(number) => {
                self.sums.entry(key).or_default().push(number);
                None
            }
            Kind::Whole(numbers) => {
                self.sums.insert(key, numbers);
                None
            }
            Kind::Note(number) | Kind::Last(number) => {
                self.notes.insert(number, Note { key, offset, is_kept: true });
                Some(number)
            }
            Kind::Value(number) => {
                self.values.insert(key, number);
                return;
            }
        };
        if is_last {
            self.finished.insert(key);
        }
        let kept = self.kept.entry(key).or_default();
        kept.push_back(note);
        if kept.len() > KEPT
            && let Some(Some(trimmed)) = kept.pop_front()
        {
            self.notes.get_mut(&trimmed).expect("a note").is_kept = false;
        }
    }

    fn remove(&mut self, store: &Store<Line>, random: &mut Rng) {
        let key = random.u64(..KEYS);
        let id = store.remove(&key).now_or_never().expect("in memory").expect("it is open");
        self.removals.insert(id.offset.minor(), key);
        for note in self.kept.remove(&key).into_iter().flatten().flatten() {
            self.notes.get_mut(&note).expect("a note").is_kept = false;
        }
        self.sums.remove(&key);
        self.values.remove(&key);
        self.finished.remove(&key);
    }

    fn finish(&mut self, store: &Store<Line>, random: &mut Rng) {
        let key = random.u64(..KEYS);
        store.finish(&key).now_or_never().expect("in memory").expect("it is open");
        self.finished.insert(key);
    }

    fn sum(&self, key: u64) -> &[u64] {
        self.sums.get(&key).map_or(&[], Vec::as_slice)
    }
}

fn has(keys: &Keys<u64>, key: u64) -> bool {
    match keys {
        Keys::All => true,
        Keys::One(one) => *one == key,
        Keys::Set(set) => set.contains(&key),
    }
}

/// An event as a client has parsed it.
struct Told {
    id: Option<String>,
    name: Option<String>,
    data: Option<Value>,
}

/// Parses the events that have arrived whole.
fn parse_sse(bytes: &[u8]) -> Vec<Told> {
    let text = String::from_utf8_lossy(bytes);
    let whole = text.rfind("\n\n").map_or("", |end| &text[..end]);
    let blocks = whole.split("\n\n").filter(|block| !block.is_empty());
    let told = blocks.map(|block| {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        Told {
            id: field("id").map(str::to_owned),
            name: field("event").map(str::to_owned),
            data: field("data").map(|data| serde_json::from_str(data).expect("JSON")),
        }
    });
    told.collect()
}

fn parse_ws(mut bytes: &[u8]) -> Vec<Told> {
    let mut told = Vec::new();
    loop {
        let (length, rest) = match bytes {
            [0x81, 126, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
            [0x81, 126, ..] => return told,
            [0x81, length, rest @ ..] => (usize::from(*length), rest),
            _ => return told,
        };
        let Some((text, rest)) = rest.split_at_checked(length) else { return told };
        let frame: Value = serde_json::from_slice(text).expect("JSON");
        let text_of = |member: &str| frame[member].as_str().map(str::to_owned);
        told.push(Told { id: text_of("id"), name: text_of("event"), data: frame.get("data").cloned() });
        bytes = rest;
    }
}

struct Client {
    keys: Keys<u64>,
    is_ws: bool,
    lag: Lag,
    replay: usize,
    feed: Option<Feed<Line>>,
    id: Option<String>,
    /// The state that a page shows.
    sums: BTreeMap<u64, Vec<u64>>,
    notes: BTreeSet<u64>,
    values: BTreeMap<u64, u64>,
    /// The notes that it has with an id after them.
    settled: BTreeSet<u64>,
    /// The notes that are not owed, or whose loss was reported.
    excused: BTreeSet<u64>,
    /// The notes that were kept when it opened and are not replayed. A snapshot that was made before some of them brings
    /// these too.
    optional: BTreeSet<u64>,
    /// The offset of the id with which it has come, until it is told a gap or anything else.
    came_with: Option<u64>,
    has_unknown_id: bool,
    /// The notes that were owed, and gone, when it opened.
    lost_at_open: BTreeSet<u64>,
    /// The messages that were delivered, and reported missing, by this connection.
    delivered: u64,
    missed: u64,
    /// The snapshots that this connection was sent, or that were submitted.
    wholes: u64,
    seen: Seen,
}

/// The number of times that each situation occurred.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    snapshots: usize,
    gaps: usize,
    quiet: usize,
    summed: u64,
    finished: usize,
}

impl Client {
    fn new(random: &mut Rng) -> Self {
        let keys = match random.u64(..4) {
            0 | 1 => Keys::One(random.u64(..KEYS)),
            2 => Keys::Set(vec![random.u64(..KEYS), random.u64(..KEYS)]),
            _ => Keys::All,
        };
        Self {
            keys,
            is_ws: random.bool(),
            lag: Lag::Skip,
            replay: [0, 0, 2, 100][random.usize(..4)],
            feed: None,
            id: None,
            sums: BTreeMap::new(),
            notes: BTreeSet::new(),
            values: BTreeMap::new(),
            settled: BTreeSet::new(),
            excused: BTreeSet::new(),
            optional: BTreeSet::new(),
            came_with: None,
            has_unknown_id: false,
            lost_at_open: BTreeSet::new(),
            delivered: 0,
            missed: 0,
            wholes: 0,
            seen: Seen::default(),
        }
    }

    fn connect(&mut self, store: &Store<Line>, history: &History, random: &mut Rng) {
        self.disconnect();
        if random.u64(..8) == 0 {
            // The page is loaded again.
            self.id = None;
        }
        if random.u64(..20) == 0 && self.id.is_some() {
            self.id = Some("abcdefgh-7".into());
        }
        let resume = self.id.as_deref().map_or(Resume::New, Resume::after_text);
        if let Resume::After(id) = resume
            && store.has_seen_all(&self.keys, id)
        {
            return;
        }
        self.notes.clone_from(&self.settled);
        self.has_unknown_id = false;
        self.came_with = None;
        if let Resume::After(id) = resume {
            self.has_unknown_id = id.epoch != store.head().epoch;
            self.came_with = Some(id.offset.minor());
            if self.has_unknown_id {
                // Everything comes again.
                self.notes.clear();
                self.settled.clear();
            }
        } else {
            self.sums.clear();
            self.notes.clear();
            self.settled.clear();
            let kept = history.notes.iter().filter(|(_, note)| note.is_kept && has(&self.keys, note.key));
            let kept: BTreeSet<u64> = kept.map(|(number, _)| *number).collect();
            let replayed: BTreeSet<u64> = kept.iter().rev().take(self.replay).copied().collect();
            self.excused = history.notes.keys().copied().filter(|number| !replayed.contains(number)).collect();
            self.optional = &kept - &replayed;
        }
        self.lost_at_open = self.lost(history);
        let options = ReaderOptions { replay: self.replay, kind: ReaderKind::Sse, gets_snapshots: true };
        let reader = Reader::open(store.shared(), self.keys.clone(), resume, options);
        let record = ConnectionRecord::open(if self.is_ws { Transport::Ws } else { Transport::Sse }, 1, &reader);
        self.feed = Some(Feed::new(reader, record, self.lag));
        (self.delivered, self.missed, self.wholes) = (0, 0, 0);
    }

    fn disconnect(&mut self) {
        if let Some(feed) = self.feed.take() {
            self.seen.summed += feed.reader().balance().summed;
        }
    }

    /// Reads the next piece. With a cut it arrives up to any byte, and the connection is gone. Returns false when there is
    /// nothing to read.
    fn step(&mut self, history: &History, random: &mut Rng, cuts: bool) -> bool {
        let Some(feed) = &mut self.feed else { return false };
        let next = if self.is_ws {
            feed.next::<Ws>(&mut Reads, &NOOP_WAKER)
        } else {
            feed.next::<Sse>(&mut Reads, &NOOP_WAKER)
        };
        match next {
            FeedItem::Bytes(mut bytes) => {
                let is_cut = cuts && random.u64(..6) == 0;
                if is_cut {
                    bytes.truncate(random.usize(..=bytes.len()));
                }
                for told in if self.is_ws { parse_ws(&bytes) } else { parse_sse(&bytes) } {
                    self.receive(history, told);
                }
                if is_cut {
                    self.disconnect();
                }
                true
            }
            FeedItem::Pending => {
                self.check_quiet(history);
                false
            }
            FeedItem::Ended(EndReason::Finished) => {
                self.seen.finished += 1;
                self.disconnect();
                false
            }
            FeedItem::Ended(reason) => panic!("{reason:?}"),
            FeedItem::NotLoaded(_) => panic!("it loads nothing"),
        }
    }

    fn receive(&mut self, history: &History, Told { id, name, data }: Told) {
        match (name.as_deref(), data) {
            (Some("tornadose:gap"), Some(gap)) => self.receive_gap(history, &gap),
            (Some("tornadose:finished"), Some(finished)) => {
                if finished["key"].is_null() {
                    self.check_quiet(history);
                } else if let Some(key) = finished["key"].as_u64()
                    && history.finished.contains(&key)
                    && self.sums.contains_key(&key)
                {
                    assert_eq!(self.sums[&key], history.sum(key), "the sum of a key is sent before its finish");
                }
            }
            (Some(other), _) => panic!("{other}"),
            (None, Some(data)) => self.receive_message(&data, id.is_some()),
            (None, None) => {}
        }
        if let Some(id) = id {
            self.id = Some(id);
            self.settled.clone_from(&self.notes);
        }
    }

    fn receive_message(&mut self, data: &Value, has_id: bool) {
        let key = data["key"].as_u64().expect("a key");
        assert!(has(&self.keys, key));
        if let Some(numbers) = data["whole"].as_array() {
            let numbers = numbers.iter().filter_map(Value::as_u64).collect();
            self.sums.insert(key, numbers);
            self.seen.snapshots += 1;
            self.wholes += 1;
            return;
        }
        if let Some(number) = data["piece"].as_u64() {
            assert!(has_id, "a piece without an id");
            self.sums.entry(key).or_default().push(number);
        } else if let Some(number) = data["note"].as_u64() {
            assert!(self.notes.insert(number), "the note {number} twice");
        } else if let Some(number) = data["value"].as_u64() {
            self.values.insert(key, number);
        }
        self.delivered += 1;
    }

    fn receive_gap(&mut self, history: &History, gap: &Value) {
        self.seen.gaps += 1;
        let mut lost = self.lost(history);
        match gap["reason"].as_str().expect("a reason") {
            "restarted" => {
                assert!(self.has_unknown_id, "it has come with a known id");
                lost = std::mem::take(&mut self.lost_at_open);
            }
            "trimmed" => {
                let id = self.came_with.expect("it has come with an id");
                let notes = history.notes.values().filter(|note| has(&self.keys, note.key));
                let is_lost = notes.into_iter().any(|note| note.offset > id && !note.is_kept);
                let is_removed = history.removals.range(id + 1..).any(|(_, key)| has(&self.keys, *key));
                assert!(is_lost || is_removed, "a gap, although snapshots contain all that is gone");
                lost = std::mem::take(&mut self.lost_at_open);
            }
            "lagged" | "removed" => {
                let missed = gap["missed"].as_u64().expect("it is known");
                let optional = self.optional.extract_if(.., |number| !history.notes[number].is_kept).count();
                let (least, most) = (lost.len() as u64, (lost.len() + optional) as u64);
                assert!((least..=most).contains(&missed), "{missed} missed, not {least} to {most}");
                assert!(missed > 0, "a gap, although snapshots contain all that is gone");
                self.missed += missed;
            }
            other => panic!("{other}"),
        }
        self.excused.extend(lost);
    }

    /// Returns the notes that it is owed and cannot get.
    fn lost(&self, history: &History) -> BTreeSet<u64> {
        self.owed(history).into_iter().filter(|number| !history.notes[number].is_kept).collect()
    }

    /// Returns the notes that it has to receive, or to be told of.
    fn owed(&self, history: &History) -> BTreeSet<u64> {
        let owed = history.notes.iter().filter(|(_, note)| has(&self.keys, note.key));
        owed.map(|(number, _)| *number)
            .filter(|number| !self.notes.contains(number) && !self.excused.contains(number))
            .collect()
    }

    fn check_quiet(&mut self, history: &History) {
        self.seen.quiet += 1;
        for key in (0..KEYS).filter(|key| has(&self.keys, *key)) {
            let shown = self.sums.get(&key).map_or(&[][..], Vec::as_slice);
            assert_eq!(shown, history.sum(key), "the state of {key}, of a client of {:?}", self.keys);
            if let Some(value) = history.values.get(&key) {
                assert_eq!(self.values.get(&key), Some(value));
            }
        }
        let owed = self.owed(history);
        assert!(owed.is_empty(), "the notes {owed:?} were neither sent nor reported");
        let balance = self.feed.as_ref().expect("it is connected").reader().balance();
        assert_eq!((balance.unread, balance.filtered), (0, 0));
        assert_eq!(balance.missed, self.missed);
        assert!((self.delivered..=self.delivered + self.wholes).contains(&balance.delivered), "{balance:?}");
        let rest = balance.delivered + balance.conflated + balance.missed + balance.summed;
        assert_eq!(balance.owed, rest, "it does not balance");
    }
}

fn check_one(seed: u64) -> Seen {
    let mut random = Rng::with_seed(seed);
    let store = Store::new();
    let mut history = History::default();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::new(&mut random)).collect();
    for _ in 0..250 {
        let client = random.usize(..CLIENTS);
        match random.u64(..40) {
            0..3 => clients[client].connect(&store, &history, &mut random),
            3 => clients[client].disconnect(),
            4 if random.u64(..3) == 0 => history.remove(&store, &mut random),
            5 if random.u64(..10) == 0 => history.finish(&store, &mut random),
            6 => while clients[client].step(&history, &mut random, false) {},
            7..20 => _ = clients[client].step(&history, &mut random, true),
            _ => history.submit(&store, &mut random),
        }
    }
    let mut tried = Seen::default();
    for client in &mut clients {
        while client.step(&history, &mut random, false) {}
        client.disconnect();
        let Seen { snapshots, gaps, quiet, summed, finished } = client.seen;
        tried.snapshots += snapshots;
        tried.gaps += gaps;
        tried.quiet += quiet;
        tried.summed += summed;
        tried.finished += finished;
    }
    let state = store.shared().lock();
    assert_eq!(state.log.snapshot_counts().1, 0, "nothing waits to be applied");
    state.log.snapshot_bytes();
    tried
}

#[test]
fn the_state_of_a_client_is_the_sum_of_all_messages() {
    // `./test --long` runs more of them.
    let programs = if std::env::var_os("TORNADOSE_LONG").is_some() { 30_000 } else { 3000 };
    let mut all = Seen::default();
    for seed in 1..programs {
        let seen = catch_unwind(AssertUnwindSafe(|| check_one(seed)));
        let seen = seen.unwrap_or_else(|_| panic!("program {seed}"));
        all.snapshots += seen.snapshots;
        all.gaps += seen.gaps;
        all.quiet += seen.quiet;
        all.summed += seen.summed;
        all.finished += seen.finished;
    }
    assert!(
        all.snapshots > 5000 && all.gaps > 500 && all.quiet > 5000 && all.summed > 5000 && all.finished > 100,
        "{all:?}"
    );
}

#[test]
fn the_model_finds_each_fault() {
    let faults = [Fault::AppliedTwice, Fault::OneTooOld, Fault::SkippedKey, Fault::NeverApplied, Fault::SentTwice];
    for fault in faults {
        Fault::plant(Some(fault));
        let is_found = (1..500).any(|seed| catch_unwind(AssertUnwindSafe(|| check_one(seed))).is_err());
        Fault::plant(None);
        assert!(is_found, "{fault:?}");
    }
}
