//! Snapshots beside what else a connection and a store may have: a filter, a throttle, the hook `load`, messages that
//! expire, and too little memory. Where all snapshots are known and none is withheld, the state of a client is the sum of
//! all messages at each quiet moment, and it is told no gap. Elsewhere that holds from its last snapshot on, or from a gap
//! to the next one nothing is promised.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use salvo::http::StatusError;
use salvo::{Depot, Request};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{Told, has, parse_sse, parse_ws};
use crate::event::Event;
use crate::event::error::EncodeError;
use crate::handler::connection::catch_drop::CatchDrop;
use crate::handler::connection::record::{ConnectionRecord, Transport};
use crate::handler::feed::format::{Sse, Ws};
use crate::handler::feed::{Feed, FeedItem};
use crate::handler::lifecycle::HookName;
use crate::handler::load::loading::Loading;
use crate::handler::load::loads::Loads;
use crate::handler::served::Served;
use crate::message::snapshot::{SnapshotRole, SnapshotRules};
use crate::message::{Finish, Keys, Message, Retention};
use crate::store::Store;
use crate::store::end::EndReason;
use crate::store::reader::mailbox::NOOP_WAKER;
use crate::store::reader::resume::Resume;
use crate::store::reader::{Reader, ReaderOptions};
use crate::store::registry::kind::ReaderKind;
use crate::store::sum::Fault;
use crate::subscriber::Subscriber;
use crate::subscriber::options::Lag;

const KEYS: u64 = 3;
const CLIENTS: usize = 4;
const THROTTLE: Duration = Duration::from_millis(500);

/// A piece, or the pieces so far.
#[derive(Clone)]
struct Line {
    key: u64,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Piece(u64),
    Whole(Vec<u64>),
}

impl Message for Line {
    type Key = u64;
    const CAPACITY: usize = 4;
    const HAS_LATEST: bool = false;
    const CAN_FINISH: bool = true;
    const QUEUE_TTL: Option<Duration> = Some(Duration::from_secs(2));
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
        },
    ));

    fn key(&self) -> u64 {
        self.key
    }
    fn retention(&self) -> Retention {
        Retention::Queue
    }
    fn event(&self) -> Result<Event, EncodeError> {
        let key = self.key;
        Event::json(&match &self.kind {
            Kind::Piece(number) => json!({ "key": key, "piece": number }),
            Kind::Whole(numbers) => json!({ "key": key, "whole": numbers }),
        })
    }
}

impl Finish for Line {}

/// The messages that the filter of a client withholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filter {
    Nothing,
    /// Every third piece. The client gets no snapshots.
    Pieces,
    /// Snapshots of some lengths.
    Snapshots,
}

struct Reads(Filter);

impl Subscriber for Reads {
    type Message = Line;
    const LOADS: bool = true;

    fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> {
        Err(StatusError::not_found())
    }
    fn keys(&self) -> Keys<u64> {
        Keys::All
    }
    fn filter(&self, line: &Line) -> bool {
        match (self.0, &line.kind) {
            (Filter::Pieces, Kind::Piece(number)) => !number.is_multiple_of(3),
            (Filter::Snapshots, Kind::Whole(numbers)) => !numbers.len().is_multiple_of(3),
            _ => true,
        }
    }
    async fn load(&self, _: &Store<Line>) -> Result<Vec<Line>, StatusError> {
        tokio::task::yield_now().await;
        Ok(Vec::new())
    }
}

/// How often the programs met each situation.
#[derive(Clone, Copy, Debug, Default)]
struct Tried {
    snapshots: usize,
    gaps: usize,
    resets: usize,
    exact: usize,
    /// Gaps of clients that are withheld nothing.
    lost: usize,
}

struct Connection {
    feed: Feed<Line>,
    served: Box<dyn Served<Line>>,
}

struct Client {
    keys: Keys<u64>,
    is_ws: bool,
    filter: Filter,
    loads: bool,
    is_throttled: bool,
    connection: Option<Connection>,
    id: Option<String>,
    /// The offset of the id with which it has connected.
    came_with: u64,
    /// The state that a page shows.
    sums: BTreeMap<u64, Vec<u64>>,
    /// The keys of which it has had a snapshot, and no gap since.
    sure: BTreeSet<u64>,
}

struct Program {
    store: Store<Line>,
    has_little_memory: bool,
    number: u64,
    /// The pieces of each key since it was removed, or a snapshot was submitted.
    sums: BTreeMap<u64, Vec<u64>>,
    /// The keys that were removed or finished, by the offsets.
    ends: BTreeMap<u64, u64>,
    finished: BTreeSet<u64>,
    turns: Arc<Semaphore>,
    tried: Tried,
}

impl Program {
    fn submit(&mut self, random: &mut Rng) {
        let key = random.u64(..KEYS);
        if self.finished.contains(&key) {
            // Once the finish is forgotten it would be open.
            return;
        }
        self.number += 1;
        let number = self.number;
        let kind = if random.u64(..20) == 0 { Kind::Whole(vec![number]) } else { Kind::Piece(number) };
        if self.store.try_submit(Line { key, kind: kind.clone() }).is_err() {
            return;
        }
        match kind {
            Kind::Piece(number) => self.sums.entry(key).or_default().push(number),
            Kind::Whole(numbers) => drop(self.sums.insert(key, numbers)),
        }
    }

    async fn remove(&mut self, random: &mut Rng) {
        let key = random.u64(..KEYS);
        let id = self.store.remove(&key).await.expect("it is open");
        self.ends.insert(id.offset.minor(), key);
        self.sums.remove(&key);
        self.finished.remove(&key);
    }

    async fn finish(&mut self, random: &mut Rng) {
        let key = random.u64(..KEYS);
        let id = self.store.finish(&key).await.expect("it is open");
        if self.finished.insert(key) {
            self.ends.insert(id.offset.minor(), key);
        }
    }

    fn sum(&self, key: u64) -> &[u64] {
        self.sums.get(&key).map_or(&[], Vec::as_slice)
    }
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
            filter: [Filter::Nothing, Filter::Nothing, Filter::Pieces, Filter::Snapshots][random.usize(..4)],
            loads: random.bool(),
            is_throttled: random.bool(),
            connection: None,
            id: None,
            came_with: 0,
            sums: BTreeMap::new(),
            sure: BTreeSet::new(),
        }
    }

    fn connect(&mut self, program: &Program, random: &mut Rng) {
        self.disconnect();
        if random.u64(..8) == 0 {
            // The page is loaded again.
            self.id = None;
        }
        let resume = self.id.as_deref().map_or(Resume::New, Resume::after_text);
        if let Resume::After(id) = resume {
            self.came_with = id.offset.minor();
        }
        match resume {
            Resume::After(id) if program.store.has_seen_all(&self.keys, id) => return,
            Resume::After(_) | Resume::Unknown => {}
            Resume::New => {
                self.sums.clear();
                self.sure.clear();
            }
        }
        let options = ReaderOptions { replay: 0, kind: ReaderKind::Sse, gets_snapshots: self.filter != Filter::Pieces };
        let reader = Reader::open(program.store.shared(), self.keys.clone(), resume, options);
        let record = ConnectionRecord::open(if self.is_ws { Transport::Ws } else { Transport::Sse }, 1, &reader);
        let mut served: Box<dyn Served<Line>> = Box::new(Reads(self.filter));
        if self.loads {
            let name = HookName { hook: "load", transport: "sse", number: 1 };
            let (loads, turns) = (Loads::new(&reader, 0), Arc::clone(&program.turns));
            served = Box::new(Loading::new(CatchDrop::new(served), loads, program.store.clone(), turns, name));
        }
        let feed = Feed::new(reader, record, Lag::Skip);
        let feed = if self.is_throttled { feed.with_throttle(THROTTLE) } else { feed };
        self.connection = Some(Connection { feed, served });
    }

    /// Ends the connection, after a check of its ledger.
    fn disconnect(&mut self) {
        let Some(Connection { feed, .. }) = self.connection.take() else { return };
        let balance = feed.reader().balance();
        let rest = balance.delivered + balance.filtered + balance.conflated + balance.missed;
        assert_eq!(balance.owed, rest + balance.summed + balance.unread, "it does not balance: {balance:?}");
    }

    /// Reads the next piece of bytes. With a cut it arrives up to any byte, and the connection is gone. Returns false when
    /// there is nothing to read.
    fn step(&mut self, program: &mut Program, random: &mut Rng, cuts: bool) -> bool {
        let Some(Connection { feed, served }) = &mut self.connection else { return false };
        let next = if self.is_ws {
            feed.next::<Ws>(&mut **served, &NOOP_WAKER)
        } else {
            feed.next::<Sse>(&mut **served, &NOOP_WAKER)
        };
        match next {
            FeedItem::Bytes(mut bytes) => {
                let is_cut = cuts && random.u64(..6) == 0;
                if is_cut {
                    bytes.truncate(random.usize(..=bytes.len()));
                }
                for told in if self.is_ws { parse_ws(&bytes) } else { parse_sse(&bytes) } {
                    self.receive(program, told);
                }
                if is_cut {
                    self.disconnect();
                }
                true
            }
            FeedItem::Pending => false,
            FeedItem::Ended(EndReason::Finished) => {
                self.disconnect();
                false
            }
            FeedItem::Ended(reason) => panic!("{reason:?}"),
            FeedItem::NotLoaded(_) => panic!("the hook does not fail"),
        }
    }

    fn receive(&mut self, program: &mut Program, Told { id, name, data }: Told) {
        match (name.as_deref(), data) {
            (Some("tornadose:gap"), Some(gap)) => {
                program.tried.gaps += 1;
                program.tried.lost += usize::from(self.filter == Filter::Nothing);
                // Removed messages are gone, and so is a key whose finish was forgotten.
                let mut ends = program.ends.range(self.came_with + 1..);
                let has_ended = gap["reason"] == "trimmed" && ends.any(|(_, key)| has(&self.keys, *key));
                assert!(has_ended || !self.is_exact(program), "{gap}");
                self.sure.clear();
            }
            (Some("tornadose:reset"), Some(_)) => {
                program.tried.resets += 1;
                self.sums.clear();
                self.sure.clear();
            }
            (Some("tornadose:finished"), _) | (None, None) => {}
            (Some(other), _) => panic!("{other}"),
            (None, Some(data)) => self.receive_line(program, &data, id.is_some()),
        }
        if let Some(id) = id {
            self.id = Some(id);
        }
    }

    fn receive_line(&mut self, program: &mut Program, data: &Value, has_id: bool) {
        let key = data["key"].as_u64().expect("a key");
        assert!(has(&self.keys, key));
        if let Some(numbers) = data["whole"].as_array() {
            self.sums.insert(key, numbers.iter().filter_map(Value::as_u64).collect());
            self.sure.insert(key);
            program.tried.snapshots += 1;
        } else if let Some(number) = data["piece"].as_u64() {
            assert!(has_id || self.filter == Filter::Pieces, "a piece without an id");
            self.sums.entry(key).or_default().push(number);
        }
    }

    /// Returns whether its state is that of the store at each quiet moment.
    fn is_exact(&self, program: &Program) -> bool {
        self.filter == Filter::Nothing && !program.has_little_memory
    }

    fn check(&self, program: &mut Program) {
        for key in (0..KEYS).filter(|key| has(&self.keys, *key)) {
            // A key whose finish is forgotten is new: nothing is sent of it, or a blank snapshot.
            let may_be_new = program.finished.contains(&key);
            let is_exact = self.is_exact(program) && !may_be_new;
            if !is_exact && !self.sure.contains(&key) {
                continue;
            }
            let is_sent = |number: &&u64| self.filter != Filter::Pieces || !number.is_multiple_of(3);
            let shown = self.sums.get(&key).map_or(&[][..], Vec::as_slice);
            let shown: Vec<u64> = shown.iter().filter(is_sent).copied().collect();
            let expected: Vec<u64> = program.sum(key).iter().filter(is_sent).copied().collect();
            if may_be_new && shown.is_empty() {
                continue;
            }
            assert_eq!(shown, expected, "the state of {key}, of a client of {:?} {:?}", self.keys, self.filter);
            program.tried.exact += 1;
        }
    }
}

async fn run(seed: u64) -> Tried {
    let mut random = Rng::with_seed(seed);
    let has_little_memory = random.bool();
    let memory = if has_little_memory { random.usize(3 << 10..10 << 10) } else { 64 << 20 };
    let mut program = Program {
        store: Store::builder().memory(memory).build(),
        has_little_memory,
        number: 0,
        sums: BTreeMap::new(),
        ends: BTreeMap::new(),
        finished: BTreeSet::new(),
        turns: Arc::new(Semaphore::new(2)),
        tried: Tried::default(),
    };
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::new(&mut random)).collect();
    for _ in 0..4 {
        for _ in 0..100 {
            let client = random.usize(..CLIENTS);
            match random.u64(..40) {
                0..3 => clients[client].connect(&program, &mut random),
                3 => clients[client].disconnect(),
                4 if random.u64(..3) == 0 => program.remove(&mut random).await,
                5 if random.u64(..10) == 0 => program.finish(&mut random).await,
                6 => while clients[client].step(&mut program, &mut random, false) {},
                7 => tokio::time::advance(Duration::from_millis(random.u64(..1500))).await,
                8..20 => _ = clients[client].step(&mut program, &mut random, true),
                _ => program.submit(&mut random),
            }
            tokio::task::yield_now().await;
        }
        // A quiet moment: no load is left, and no throttle.
        for _ in 0..4 {
            tokio::time::advance(Duration::from_secs(31)).await;
            for _ in 0..4 {
                for client in &mut clients {
                    while client.step(&mut program, &mut random, false) {}
                }
                tokio::task::yield_now().await;
            }
        }
        for client in clients.iter_mut().filter(|client| client.connection.is_some()) {
            client.check(&mut program);
        }
    }
    clients.iter_mut().for_each(Client::disconnect);
    program.store.shared().lock().log.snapshot_bytes();
    program.tried
}

/// Runs a program in a runtime of its own.
fn check_one(seed: u64) -> Tried {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("one");
    runtime.block_on(run(seed))
}

#[test]
fn the_state_of_a_client_is_the_sum_beside_all_other_features() {
    // `./test --long` runs more of them.
    let programs = if std::env::var_os("TORNADOSE_LONG").is_some() { 10_000 } else { 600 };
    let mut all = Tried::default();
    for seed in 1..programs {
        let tried = catch_unwind(AssertUnwindSafe(|| check_one(seed)));
        let Tried { snapshots, gaps, resets, exact, lost } = tried.unwrap_or_else(|_| panic!("program {seed}"));
        all.snapshots += snapshots;
        all.gaps += gaps;
        all.resets += resets;
        all.exact += exact;
        all.lost += lost;
    }
    let Tried { snapshots, gaps, resets, exact, lost } = all;
    let is_tried = snapshots > 2000 && gaps > 200 && resets > 500 && exact > 2000 && lost > 200;
    assert!(is_tried, "{all:?}");
}

#[test]
fn the_model_finds_each_fault() {
    for fault in [Fault::AppliedTwice, Fault::OneTooOld, Fault::SkippedKey, Fault::NeverApplied, Fault::SentTwice] {
        Fault::plant(Some(fault));
        let is_found = (1..300).any(|seed| catch_unwind(AssertUnwindSafe(|| check_one(seed))).is_err());
        Fault::plant(None);
        assert!(is_found, "{fault:?}");
    }
}
