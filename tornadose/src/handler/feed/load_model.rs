//! Pages that show a table, over random programs: rows are committed and submitted later, hooks wait between their
//! steps, clients read slowly, are cut at any byte and return. At each quiet moment a page shows the table.
//!
//! A program can have a fault, which the model has to find.

mod table;
mod watched;

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use salvo::http::StatusError;
use salvo::{Depot, Request};
use serde_json::Value;
use tokio::sync::Semaphore;

use self::table::{Changes, Row, Table};
use crate::handler::connection::catch_drop::CatchDrop;
use crate::handler::connection::record::{self, CloseReason, ConnectionRecord};
use crate::handler::feed::format::{Format, Sse, Ws};
use crate::handler::feed::{Feed, FeedItem};
use crate::handler::lifecycle::HookName;
use crate::handler::load::loading::Loading;
use crate::handler::load::loads::Loads;
use crate::message::Keys;
use crate::store::Store;
use crate::store::ledger::Balance;
use crate::store::reader::mailbox::NOOP_WAKER;
use crate::store::reader::resume::Resume;
use crate::store::reader::{Reader, ReaderOptions};
use crate::store::registry::kind::ReaderKind;
use crate::subscriber::Subscriber;
use crate::subscriber::options::Lag;

const KEYS: u64 = 3;
const CLIENTS: u64 = 4;

/// A fault that is planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// The state is read before the reader is placed.
    LoadsTooEarly,
    /// An id is written inside the loaded block.
    WritesAnId,
    /// A page does not clear its state at a reset.
    IgnoresReset,
    /// Rows are submitted before they are committed.
    SubmitsFirst,
}

fn has(keys: &Keys<u64>, key: u64) -> bool {
    match keys {
        Keys::All => true,
        Keys::One(one) => *one == key,
        Keys::Set(set) => set.contains(&key),
    }
}

/// A subscriber whose hook waits before it reads the table, and before it returns.
struct Reads {
    keys: Keys<u64>,
    table: Table,
    steps: Arc<Semaphore>,
    /// The rows that it returns instead, where it loads too early.
    early: Option<Vec<Row>>,
}

impl Subscriber for Reads {
    type Message = Row;
    const LOADS: bool = true;

    fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> {
        Err(StatusError::not_found())
    }
    fn keys(&self) -> Keys<u64> {
        self.keys.clone()
    }
    async fn load(&self, _: &Store<Row>) -> Result<Vec<Row>, StatusError> {
        let step = || async { self.steps.acquire().await.unwrap().forget() };
        step().await;
        let rows = self.early.clone().unwrap_or_else(|| self.table.rows_of(|key| has(&self.keys, key)));
        step().await;
        Ok(rows)
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
}

/// The rows that a page shows. It clears them at a reset, and ignores older versions.
#[derive(Default)]
struct Page {
    rows: BTreeMap<(u64, u64), Row>,
    last_id: Option<String>,
    resets: u64,
    gaps: u64,
    loaded: u64,
}

impl Page {
    fn read(&mut self, id: Option<&str>, name: Option<&str>, data: Option<&str>, fault: Fault) {
        match (name, data) {
            (Some("tornadose:reset"), Some("{}")) => {
                assert_eq!(id, None);
                self.resets += 1;
                if fault != Fault::IgnoresReset {
                    self.rows.clear();
                }
            }
            (Some("tornadose:gap"), _) => self.gaps += 1,
            (None, Some(data)) => {
                let row: Row = serde_json::from_str(data).unwrap();
                self.loaded += u64::from(id.is_none());
                let shown = self.rows.entry((row.key, row.id)).or_insert(row);
                if row.version > shown.version {
                    *shown = row;
                }
            }
            (None, None) => {}
            other => panic!("unexpected {other:?}"),
        }
        if let Some(id) = id {
            self.last_id = Some(id.to_owned());
        }
    }

    fn shown(&self) -> Vec<Row> {
        self.rows.values().filter(|row| !row.is_gone).copied().collect()
    }
}

/// A transport as a client reads it: takes what is complete.
trait Transport: Format + Sized {
    fn read(bytes: &mut VecDeque<u8>, page: &mut Page, fault: Fault);
}

impl Transport for Sse {
    fn read(bytes: &mut VecDeque<u8>, page: &mut Page, fault: Fault) {
        while let Some(end) = bytes.make_contiguous().windows(2).position(|pair| pair == b"\n\n") {
            let block: Vec<u8> = bytes.drain(..end + 2).collect();
            let block = String::from_utf8(block).unwrap();
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            page.read(field("id"), field("event"), field("data"), fault);
        }
    }
}

impl Transport for Ws {
    fn read(bytes: &mut VecDeque<u8>, page: &mut Page, fault: Fault) {
        loop {
            // Every frame here is a text of less than 126 bytes.
            let Some(&length) = bytes.get(1).filter(|length| bytes.len() >= 2 + usize::from(**length)) else { return };
            let frame: Vec<u8> = bytes.drain(..2 + usize::from(length)).collect();
            let frame: Value = serde_json::from_slice(&frame[2..]).unwrap();
            let data = frame.get("data").map(Value::to_string);
            page.read(frame["id"].as_str(), frame["event"].as_str(), data.as_deref(), fault);
        }
    }
}

struct Connection {
    feed: Feed<Row>,
    subscriber: Loading<Row>,
    /// The bytes that were written and have not arrived.
    under_way: VecDeque<u8>,
    /// The bytes that have arrived and are not a whole frame.
    arrived: VecDeque<u8>,
}

struct Client {
    keys: Keys<u64>,
    replay: usize,
    page: Page,
    steps: Arc<Semaphore>,
    connection: Option<Connection>,
}

struct World {
    changes: Changes,
    turns: Arc<Semaphore>,
    fault: Fault,
}

impl World {
    fn open(&self, client: &mut Client) {
        let Changes { store, table, later, .. } = &self.changes;
        let early = (self.fault == Fault::LoadsTooEarly).then(|| table.rows_of(|key| has(&client.keys, key)));
        client.steps = Arc::new(Semaphore::new(0));
        let steps = Arc::clone(&client.steps);
        let reads = Reads { keys: client.keys.clone(), table: table.clone(), steps, early };
        if self.fault == Fault::LoadsTooEarly {
            // The rows are read, and others are submitted before the reader is there.
            for row in later.iter().copied() {
                store.try_submit(row).unwrap();
            }
        }
        let resume = client.page.last_id.as_deref().map_or(Resume::New, Resume::after_text);
        let options = ReaderOptions { replay: client.replay, kind: ReaderKind::Sse, gets_snapshots: true };
        let reader = Reader::open(store.shared(), client.keys.clone(), resume, options);
        let record = ConnectionRecord::open(record::Transport::Sse, 1, &reader);
        let loads = Loads::new(&reader, client.replay);
        let name = HookName { hook: "load", transport: "sse", number: 1 };
        let turns = Arc::clone(&self.turns);
        let subscriber = Loading::new(CatchDrop::new(Box::new(reads) as Box<_>), loads, store.clone(), turns, name);
        client.connection = Some(Connection {
            feed: Feed::new(reader, record, Lag::Skip),
            subscriber,
            under_way: VecDeque::new(),
            arrived: VecDeque::new(),
        });
    }
}

impl Client {
    /// Lets the server write what it can. Returns whether it has written anything.
    fn write<F: Transport>(&mut self, world: &World) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        let item = connection.feed.next::<F>(&mut connection.subscriber, &NOOP_WAKER);
        let mut bytes = match item {
            FeedItem::Bytes(bytes) => bytes.to_vec(),
            FeedItem::Pending => return false,
            // The hook has waited for too long.
            FeedItem::NotLoaded(CloseReason::TimedOut) => {
                self.receive::<F>(usize::MAX, world.fault);
                self.cut();
                return false;
            }
            FeedItem::NotLoaded(_) | FeedItem::Ended(_) => panic!("it ends"),
        };
        if world.fault == Fault::WritesAnId {
            plant_id::<F>(&mut bytes, world);
        }
        connection.under_way.extend(bytes);
        true
    }

    fn receive<F: Transport>(&mut self, bytes: usize, fault: Fault) {
        let Some(connection) = &mut self.connection else { return };
        let bytes = bytes.min(connection.under_way.len());
        connection.arrived.extend(connection.under_way.drain(..bytes));
        F::read(&mut connection.arrived, &mut self.page, fault);
    }

    /// Ends the connection, after a check of its ledger.
    fn cut(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let Balance { owed, delivered, filtered, conflated, missed, ephemeral_missed, summed: _, unread } =
            connection.feed.reader().balance();
        assert_eq!(owed, delivered + filtered + conflated + missed + ephemeral_missed + unread, "it does not balance");
    }
}

/// Writes the id of the head behind a reset.
fn plant_id<F: Transport>(bytes: &mut Vec<u8>, world: &World) {
    let reset = b"tornadose:reset";
    let Some(at) = bytes.windows(reset.len()).position(|window| window == reset) else { return };
    let end =
        if F::SLOT == 0 { at + bytes[at..].windows(2).position(|pair| pair == b"\n\n").unwrap() + 2 } else { at + 27 };
    let mut id = bytes::BytesMut::new();
    F::position(&mut id, world.changes.store.head());
    bytes.splice(end..end, id);
}

thread_local! {
    /// How often the pages of all programs were reset, were told of a gap and were loaded a row, and how many there were.
    static TRIED: Cell<[u64; 4]> = const { Cell::new([0; 4]) };
}

async fn run<F: Transport>(seed: u64, fault: Fault) {
    let mut chance = Chance(seed * 0x9E37_79B9);
    let turns = Arc::new(Semaphore::new(2));
    let mut world = World { changes: Changes::new(fault == Fault::SubmitsFirst), turns, fault };
    let new_client = |chance: &mut Chance| Client {
        keys: match chance.below(3) {
            0 => Keys::All,
            1 => Keys::One(chance.below(KEYS)),
            _ => Keys::Set(vec![0, chance.below(KEYS)]),
        },
        replay: usize::try_from(chance.below(4)).unwrap(),
        page: Page::default(),
        steps: Arc::new(Semaphore::new(0)),
        connection: None,
    };
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| new_client(&mut chance)).collect();
    for _ in 0..6 {
        for _ in 0..40 {
            let which = usize::try_from(chance.below(CLIENTS)).unwrap();
            let client = &mut clients[which];
            match chance.below(16) {
                0 if client.connection.is_none() => world.open(client),
                1 if chance.below(2) == 0 => {
                    // At any byte of what is under way.
                    client.receive::<F>(usize::try_from(chance.below(400)).unwrap(), fault);
                    client.cut();
                }
                2 if chance.below(20) == 0 => *client = new_client(&mut chance),
                3 if chance.below(30) == 0 => {
                    let key = chance.below(KEYS);
                    world.changes.store.remove(&key).await.unwrap();
                }
                4 => tokio::time::advance(Duration::from_millis(chance.below(3000))).await,
                5 if chance.below(3) == 0 => {
                    // More than is kept of a key.
                    for _ in 0..chance.below(16) {
                        world.changes.begin(&mut chance, KEYS);
                        world.changes.complete();
                    }
                }
                2..6 => world.changes.begin(&mut chance, KEYS),
                6..8 => drop(world.changes.complete()),
                8..10 => client.steps.add_permits(1),
                10..13 => {
                    client.write::<F>(&world);
                }
                _ => client.receive::<F>(usize::try_from(chance.below(120)).unwrap(), fault),
            }
            tokio::task::yield_now().await;
        }
        // A quiet moment: everything is submitted, every client is there, and everything has arrived.
        while world.changes.complete() {}
        for _ in 0..8 {
            for client in &mut clients {
                if client.connection.is_none() {
                    world.open(client);
                }
                client.steps.add_permits(2);
            }
            tokio::time::advance(Duration::from_secs(31)).await;
            for _ in 0..20 {
                for client in &mut clients {
                    while client.write::<F>(&world) {}
                }
                tokio::task::yield_now().await;
            }
        }
        for client in &mut clients {
            client.receive::<F>(usize::MAX, fault);
            let table = world.changes.table.rows_of(|key| has(&client.keys, key));
            assert_eq!(client.page.shown(), table, "seed {seed}: {:?} after {:?}", client.keys, client.page.last_id);
        }
    }
    for client in &mut clients {
        client.cut();
        let Page { resets, gaps, loaded, .. } = client.page;
        let tried = TRIED.get();
        TRIED.set([tried[0] + resets, tried[1] + gaps, tried[2] + loaded, tried[3] + 1]);
    }
}

/// Runs a program in a runtime of its own.
fn check<F: Transport>(seed: u64, fault: Fault) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(run::<F>(seed, fault));
}

#[test]
fn a_page_shows_the_table_at_every_quiet_moment() {
    for seed in 1..200 {
        check::<Sse>(seed, Fault::None);
        check::<Ws>(seed, Fault::None);
    }
    let [resets, gaps, loaded, clients] = TRIED.get();
    assert!(resets > clients && gaps > clients / 2 && loaded > 5 * clients, "{:?}", TRIED.get());
}

#[test]
fn a_planted_fault_is_found() {
    for fault in [Fault::LoadsTooEarly, Fault::WritesAnId, Fault::IgnoresReset, Fault::SubmitsFirst] {
        let fails = |check: fn(u64, Fault), seed| catch_unwind(AssertUnwindSafe(|| check(seed, fault))).is_err();
        assert!((1..200).any(|seed| fails(check::<Sse>, seed)), "{fault:?} over Server-Sent Events");
        assert!((1..200).any(|seed| fails(check::<Ws>, seed)), "{fault:?} over WebSocket");
    }
}
