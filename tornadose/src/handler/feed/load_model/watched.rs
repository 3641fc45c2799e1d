//! Pages that watch keys of a table which a hook loads, over random programs: keys are watched and watched no more in any
//! order, rows are committed and submitted meanwhile, hooks take their time, clients read slowly, are cut at any byte and
//! return. At every quiet moment each page shows the rows of its keys.
//!
//! A program can have a fault, which the model has to find.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use salvo::http::StatusError;
use salvo::{Depot, Request as HttpRequest};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::Chance;
use super::table::{Changes, Row, Table};
use crate::handler::connection::catch_drop::CatchDrop;
use crate::handler::connection::record::{CloseReason, ConnectionRecord, Transport};
use crate::handler::feed::format::Ws;
use crate::handler::feed::watch_model::take_frame;
use crate::handler::feed::{Feed, FeedItem};
use crate::handler::lifecycle::HookName;
use crate::handler::load::loading::Loading;
use crate::handler::load::loads::Loads;
use crate::handler::served::Served;
use crate::handler::watch::watches::{NamedKey, Request, WatchRequest, Watches};
use crate::handler::watch::watching::Watching;
use crate::message::Keys;
use crate::store::Store;
use crate::store::ledger::Balance;
use crate::store::reader::mailbox::NOOP_WAKER;
use crate::store::reader::resume::{PendingResume, Resume};
use crate::store::reader::{Reader, ReaderOptions};
use crate::store::registry::kind::ReaderKind;
use crate::subscriber::options::Lag;
use crate::subscriber::{ParseKey, Subscriber};

const KEYS: u64 = 4;
const CLIENTS: u64 = 3;

/// A fault that is planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// A page does not clear the rows of a key at its reset.
    IgnoresReset,
    /// Rows are submitted before they are committed.
    SubmitsFirst,
    /// The hook loads nothing.
    LoadsNothing,
    /// A client goes on after the last place of a key that it has unwatched, although it has dropped the rows.
    RemembersUnwatched,
}

/// A subscriber whose hook waits before it reads the table, and before it returns.
struct Reads {
    table: Table,
    steps: Arc<Semaphore>,
    fault: Fault,
}

impl Subscriber for Reads {
    type Message = Row;
    const LOADS: bool = true;
    const WATCH: Option<ParseKey<u64>> = Some(ParseKey::json());

    fn from_request(_: &HttpRequest, _: &Depot) -> Result<Self, StatusError> {
        Err(StatusError::not_found())
    }
    fn keys(&self) -> Keys<u64> {
        Keys::Set(Vec::new())
    }
    async fn load_keys(&self, keys: &[u64], _: &Store<Row>) -> Result<Vec<Row>, StatusError> {
        let step = || async { self.steps.acquire().await.unwrap().forget() };
        step().await;
        let rows = self.table.rows_of(|key| keys.contains(&key));
        step().await;
        Ok(if self.fault == Fault::LoadsNothing { Vec::new() } else { rows })
    }
}

#[derive(Clone, Debug)]
enum Text {
    Watch(Vec<u64>, Option<String>),
    Unwatch(u64),
}

/// A page, as `docs/protocol.md` tells it to behave.
#[derive(Default)]
struct Page {
    fields: BTreeSet<u64>,
    wanted: BTreeSet<u64>,
    confirmed: BTreeSet<u64>,
    /// The state of each key that is not confirmed.
    since: BTreeMap<u64, Option<String>>,
    /// How many texts that end the watching of a key are not confirmed.
    unwatching: BTreeMap<u64, u32>,
    /// The place of each key that was unwatched.
    unwatched: BTreeMap<u64, Option<String>>,
    id: Option<String>,
    rows: BTreeMap<(u64, u64), Row>,
}

impl Page {
    fn is_unwatching(&self, key: u64) -> bool {
        self.unwatching.get(&key).is_some_and(|count| *count > 0)
    }

    fn keys(&self) -> BTreeSet<u64> {
        self.fields.union(&self.wanted).copied().collect()
    }

    fn forget_rows(&mut self, of: u64) {
        self.rows.retain(|(key, _), _| *key != of);
    }

    fn read(&mut self, frame: &Value, fault: Fault) {
        let data = &frame["data"];
        match frame["event"].as_str() {
            None if data.is_null() => assert!(frame["id"].is_string()),
            None => self.read_row(serde_json::from_value(data.clone()).unwrap(), frame["at"].as_str()),
            Some("tornadose:gap") => count(if data["key"].is_u64() { 1 } else { 2 }),
            Some("tornadose:reset") => {
                assert_eq!(frame["id"], Value::Null);
                let key = data["key"].as_u64().expect("each reset is of a key");
                if !self.is_unwatching(key) {
                    count(if self.since.contains_key(&key) { 0 } else { 3 });
                    self.since.entry(key).and_modify(|since| *since = None);
                    if fault != Fault::IgnoresReset {
                        self.forget_rows(key);
                    }
                }
            }
            Some("tornadose:watching") => {
                for key in keys_of(data) {
                    if !self.is_unwatching(key) && self.wanted.contains(&key) {
                        self.since.remove(&key);
                        self.confirmed.insert(key);
                    }
                }
            }
            Some("tornadose:unwatched") => {
                for key in keys_of(data) {
                    *self.unwatching.get_mut(&key).unwrap() -= 1;
                }
            }
            other => panic!("unexpected {other:?}"),
        }
        if let Some(id) = frame["id"].as_str() {
            self.id = Some(id.to_owned());
        }
    }

    fn read_row(&mut self, row: Row, at: Option<&str>) {
        if self.is_unwatching(row.key) {
            return;
        }
        assert!(self.keys().contains(&row.key), "the key {} is not watched", row.key);
        let shown = self.rows.entry((row.key, row.id)).or_insert(row);
        if row.version > shown.version {
            *shown = row;
        }
        if let Some(at) = at {
            self.since.insert(row.key, Some(at.to_owned()));
        }
    }

    fn watch(&mut self, key: u64, fault: Fault) -> Option<Text> {
        if self.fields.contains(&key) || !self.wanted.insert(key) {
            return None;
        }
        let place = self.unwatched.remove(&key).filter(|_| fault == Fault::RemembersUnwatched).flatten();
        self.since.insert(key, place.clone());
        Some(Text::Watch(vec![key], place))
    }

    fn unwatch(&mut self, key: u64) -> Option<Text> {
        if !self.wanted.remove(&key) {
            return None;
        }
        self.forget_rows(key);
        let place = self.since.remove(&key).unwrap_or_else(|| self.id.clone());
        self.unwatched.insert(key, place);
        self.confirmed.remove(&key);
        *self.unwatching.entry(key).or_default() += 1;
        Some(Text::Unwatch(key))
    }

    /// Returns the texts of a new connection.
    fn open(&mut self) -> VecDeque<Text> {
        for key in std::mem::take(&mut self.confirmed) {
            self.since.insert(key, self.id.clone());
        }
        self.unwatching.clear();
        let mut groups: BTreeMap<Option<String>, Vec<u64>> = BTreeMap::new();
        for (key, since) in &self.since {
            groups.entry(since.clone()).or_default().push(*key);
        }
        groups.into_iter().map(|(since, keys)| Text::Watch(keys, since)).collect()
    }

    fn shown(&self) -> Vec<Row> {
        self.rows.values().filter(|row| !row.is_gone).copied().collect()
    }
}

fn keys_of(data: &Value) -> Vec<u64> {
    serde_json::from_value(data["keys"].clone()).unwrap()
}

struct Connection {
    feed: Feed<Row>,
    subscriber: Watching<Row>,
    texts: VecDeque<Text>,
    /// The bytes that were written and have not arrived.
    under_way: VecDeque<u8>,
    /// The bytes that have arrived and are not a whole frame.
    arrived: VecDeque<u8>,
}

struct Client {
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
        client.steps = Arc::new(Semaphore::new(0));
        let Changes { store, table, .. } = &self.changes;
        let reads = Reads { table: table.clone(), steps: Arc::clone(&client.steps), fault: self.fault };
        let resume = client.page.id.as_deref().map_or(Resume::New, Resume::after_text);
        let options = ReaderOptions { replay: client.replay, kind: ReaderKind::Sse, gets_snapshots: true };
        let fields: Vec<u64> = client.page.fields.iter().copied().collect();
        let has_fields = !fields.is_empty();
        let mut reader = Reader::open(store.shared(), Keys::Set(fields), resume, options);
        reader.allow_key_changes();
        let record = ConnectionRecord::open(Transport::Ws, 1, &reader);
        let mut loads = Loads::new(&reader, client.replay);
        if !has_fields {
            loads.begin_without_keys();
        }
        let watches = Watches::new(&reader, 16, client.replay);
        let name = HookName { hook: "load", transport: "ws", number: 1 };
        let served = CatchDrop::new(Box::new(reads) as Box<dyn Served<Row>>);
        let loading = Loading::new(served, loads, store.clone(), Arc::clone(&self.turns), name);
        client.connection = Some(Connection {
            feed: Feed::new(reader, record, Lag::Skip),
            subscriber: Watching::new(CatchDrop::new(Box::new(loading) as Box<dyn Served<Row>>), watches),
            texts: client.page.open(),
            under_way: VecDeque::new(),
            arrived: VecDeque::new(),
        });
    }
}

impl Client {
    fn send(&mut self, text: Option<Text>) {
        match (&mut self.connection, text) {
            (Some(connection), Some(text)) => connection.texts.push_back(text),
            // The next connection begins without the key.
            (None, Some(Text::Unwatch(_))) => self.page.unwatching.clear(),
            _ => {}
        }
    }

    /// Lets the server receive a text, as a session does.
    fn take_text(&mut self) -> bool {
        let Some(Connection { feed, subscriber, texts, .. }) = &mut self.connection else { return false };
        if subscriber.loads_mut().is_some_and(|loads| loads.is_open()) {
            return false;
        }
        let Some(watches) = subscriber.watches_mut().filter(|watches| !watches.is_busy()) else { return false };
        let Some(text) = texts.pop_front() else { return false };
        let name_key = |key: u64| NamedKey { key, json: key.to_string().into() };
        let request = match text {
            Text::Watch(keys, since) => {
                let named = keys.iter().map(|key| key.to_string().into()).collect();
                let is_new = |key: &u64| feed.reader().index_of_key(key).is_none();
                let keys = keys.into_iter().filter(is_new).map(name_key).collect();
                let since = since.map_or(Resume::New, |since| Resume::after_text(&since));
                let since = PendingResume::new(since, watches.replay);
                Request::Watch(WatchRequest { keys, named, since })
            }
            Text::Unwatch(key) => Request::Unwatch(vec![name_key(key)]),
        };
        watches.set_request(request);
        feed.begin_request();
        true
    }

    /// Lets the server write what it can. Returns whether it has written anything.
    fn write(&mut self) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        match connection.feed.next::<Ws>(&mut connection.subscriber, &NOOP_WAKER) {
            FeedItem::Bytes(bytes) => connection.under_way.extend(bytes),
            FeedItem::Pending => return false,
            // The hook has waited for too long.
            FeedItem::NotLoaded(CloseReason::TimedOut) => {
                self.receive(usize::MAX, Fault::None);
                self.cut();
                return false;
            }
            FeedItem::NotLoaded(_) | FeedItem::Ended(_) => panic!("it ends"),
        }
        true
    }

    fn receive(&mut self, bytes: usize, fault: Fault) {
        let Some(connection) = &mut self.connection else { return };
        let bytes = bytes.min(connection.under_way.len());
        connection.arrived.extend(connection.under_way.drain(..bytes));
        while let Some(text) = take_frame(&mut connection.arrived) {
            self.page.read(&serde_json::from_str(&text).unwrap(), fault);
        }
    }

    /// Ends the connection, after a check of its ledger.
    fn cut(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let Balance { owed, delivered, filtered, conflated, missed, ephemeral_missed, summed: _, unread } =
            connection.feed.reader().balance();
        assert_eq!(owed, delivered + filtered + conflated + missed + ephemeral_missed + unread, "it does not balance");
    }
}

thread_local! {
    /// How often, in all programs: a key that was not confirmed was reset, a gap of a key and of all keys came, and another
    /// key was reset; and how many clients there were.
    static TRIED: Cell<[u64; 5]> = const { Cell::new([0; 5]) };
}

fn count(what: usize) {
    let mut tried = TRIED.get();
    tried[what] += 1;
    TRIED.set(tried);
}

fn new_client(chance: &mut Chance) -> Client {
    let fields = if chance.below(2) == 0 { BTreeSet::from([0]) } else { BTreeSet::new() };
    let replay = usize::try_from(chance.below(4)).unwrap();
    Client { replay, page: Page { fields, ..Page::default() }, steps: Arc::new(Semaphore::new(0)), connection: None }
}

async fn run(seed: u64, fault: Fault) {
    let mut chance = Chance(seed * 0x9E37_79B9);
    let turns = Arc::new(Semaphore::new(2));
    let mut world = World { changes: Changes::new(fault == Fault::SubmitsFirst), turns, fault };
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| new_client(&mut chance)).collect();
    for _ in 0..6 {
        for _ in 0..60 {
            let client = &mut clients[usize::try_from(chance.below(CLIENTS)).unwrap()];
            let key = chance.below(KEYS);
            match chance.below(20) {
                0 | 1 if client.connection.is_none() => world.open(client),
                2 if chance.below(3) == 0 => {
                    // At any byte of what is under way.
                    client.receive(usize::try_from(chance.below(400)).unwrap(), fault);
                    client.cut();
                }
                3 | 4 => {
                    let text = client.page.watch(key, fault);
                    client.send(text);
                }
                5 if chance.below(2) == 0 => {
                    let text = client.page.unwatch(key);
                    client.send(text);
                }
                6 if chance.below(20) == 0 => drop(world.changes.store.remove(&key).await.unwrap()),
                7 => tokio::time::advance(Duration::from_millis(chance.below(3000))).await,
                8 if chance.below(3) == 0 => {
                    // More than is kept of a key.
                    for _ in 0..chance.below(24) {
                        world.changes.begin(&mut chance, KEYS);
                        world.changes.complete();
                    }
                }
                5..9 => world.changes.begin(&mut chance, KEYS),
                9..11 => drop(world.changes.complete()),
                11 | 12 => client.steps.add_permits(1),
                13 => drop(client.take_text()),
                14..17 => drop(client.write()),
                _ => client.receive(usize::try_from(chance.below(200)).unwrap(), fault),
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
                client.steps.add_permits(16);
            }
            tokio::time::advance(Duration::from_secs(31)).await;
            for _ in 0..20 {
                for client in &mut clients {
                    while client.write() || client.take_text() {}
                }
                tokio::task::yield_now().await;
            }
        }
        for client in &mut clients {
            client.receive(usize::MAX, fault);
            let page = &client.page;
            assert_eq!(page.wanted, page.confirmed, "seed {seed}");
            assert_eq!(
                page.shown(),
                world.changes.table.rows_of(|key| page.keys().contains(&key)),
                "seed {seed}: {:?}",
                page.keys()
            );
        }
    }
    for client in &mut clients {
        client.cut();
        count(4);
    }
}

/// Runs a program in a runtime of its own.
fn check(seed: u64, fault: Fault) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(run(seed, fault));
}

#[test]
fn a_page_shows_the_rows_of_the_keys_that_it_watches_at_every_quiet_moment() {
    for seed in 1..200 {
        check(seed, Fault::None);
    }
    let [resets_of_new_keys, gaps_of_keys, gaps, resets, clients] = TRIED.get();
    let is_tried = resets_of_new_keys > 3 * clients && gaps_of_keys > clients / 3 && gaps > clients && resets > clients;
    assert!(is_tried, "{:?}", TRIED.get());
}

#[test]
fn a_planted_fault_is_found() {
    for fault in [Fault::IgnoresReset, Fault::SubmitsFirst, Fault::LoadsNothing, Fault::RemembersUnwatched] {
        let fails = |seed| catch_unwind(AssertUnwindSafe(|| check(seed, fault))).is_err();
        assert!((1..200).any(fails), "{fault:?}");
    }
}
