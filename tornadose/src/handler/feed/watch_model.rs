//! Clients that watch keys, over random programs: keys are watched and watched no more in any order, messages are submitted
//! meanwhile, clients read slowly, are cut at any byte and return. Each client gets the messages of each of its keys once and
//! in order, or a gap, of the key or of all keys.
//!
//! A program can have a fault, which the model has to find.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::BytesMut;
use salvo::http::StatusError;
use salvo::{Depot, Request as HttpRequest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::Event;
use crate::event::error::EncodeError;
use crate::handler::connection::catch_drop::CatchDrop;
use crate::handler::connection::record::{ConnectionRecord, Transport};
use crate::handler::feed::format::{Format, Ws};
use crate::handler::feed::{Feed, FeedItem};
use crate::handler::served::Served;
use crate::handler::watch::watches::{NamedKey, Request, WatchRequest, Watches};
use crate::handler::watch::watching::Watching;
use crate::message::{Keys, Message, Retention};
use crate::store::Store;
use crate::store::ledger::Balance;
use crate::store::reader::mailbox::NOOP_WAKER;
use crate::store::reader::resume::{PendingResume, Resume};
use crate::store::reader::{Reader, ReaderOptions};
use crate::subscriber::Subscriber;
use crate::subscriber::options::Lag;

const KEYS: u64 = 4;
const CLIENTS: u64 = 3;
const CAPACITY: u64 = 3;

/// The messages of each key are numbered from 1, those of the queue and values apart.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Item {
    key: u64,
    number: u64,
    is_value: bool,
}

impl Message for Item {
    type Key = u64;
    const CAPACITY: usize = 3;
    const CHANNEL: &'static str = "items";
    fn key(&self) -> u64 {
        self.key
    }
    fn retention(&self) -> Retention {
        if self.is_value { Retention::Latest } else { Retention::Queue }
    }
    fn event(&self) -> Result<Event, EncodeError> {
        Event::json(self)
    }
}

struct Plain;

impl Subscriber for Plain {
    type Message = Item;

    fn from_request(_: &HttpRequest, _: &Depot) -> Result<Self, StatusError> {
        Err(StatusError::not_found())
    }
    fn keys(&self) -> Keys<u64> {
        Keys::All
    }
}

/// A fault that is planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// The past of a key is written twice.
    PastTwice,
    /// The past of a key is not written, and the key is covered by the position all the same.
    PastSkipped,
    /// A client takes the place in a past for a position.
    AtIsId,
    /// The confirmation is written before the past.
    ConfirmedFirst,
    /// A key is delivered after it was confirmed that it is not.
    UnwatchedDelivered,
    /// A client sends its newest id for a key that was not confirmed.
    SinceIsId,
    /// A client that is cut in a past begins again.
    SinceForgotten,
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

/// The messages of a key that a client has.
#[derive(Clone, Copy, Debug, Default)]
struct Track {
    last: Option<u64>,
    value: u64,
    /// Whether a gap was reported since the last number.
    has_gap: bool,
    /// Whether that gap says that messages may come again.
    may_repeat: bool,
}

/// A key that a client has: what it has received, and what of it stays after a cut.
#[derive(Clone, Copy, Debug, Default)]
struct Tracked {
    now: Track,
    placed: Track,
    /// The highest number that may come first.
    first_max: Option<u64>,
}

#[derive(Clone, Debug)]
enum Text {
    Watch(Vec<u64>, Option<String>),
    Unwatch(u64),
}

/// A client, as `docs/protocol.md` tells it to behave.
#[derive(Default)]
struct Page {
    fields: BTreeSet<u64>,
    wanted: BTreeSet<u64>,
    confirmed: BTreeSet<u64>,
    /// The state of each key that is not confirmed.
    since: BTreeMap<u64, Option<String>>,
    /// How many texts that end the watching of a key are not confirmed.
    unwatching: BTreeMap<u64, u32>,
    id: Option<String>,
    tracks: BTreeMap<u64, Tracked>,
}

impl Page {
    fn is_unwatching(&self, key: u64) -> bool {
        self.unwatching.get(&key).is_some_and(|count| *count > 0)
    }

    /// Returns the keys that a position covers.
    fn covered(&self) -> Vec<u64> {
        self.fields.union(&self.confirmed).copied().collect()
    }

    fn read(&mut self, frame: &Value, fault: Fault) {
        let (id, at) = (frame["id"].as_str(), frame["at"].as_str());
        assert!(id.is_none() || at.is_none());
        assert_eq!(at.is_some(), frame.get("key").is_some());
        let data = &frame["data"];
        match frame["event"].as_str() {
            None if data.is_null() => assert!(id.is_some()),
            None => self.read_item(&serde_json::from_value(data.clone()).unwrap(), id.is_some(), at, fault),
            Some("tornadose:gap") => self.read_gap(data),
            Some("tornadose:watching") => {
                for key in keys_of(data) {
                    if !self.is_unwatching(key) && self.wanted.contains(&key) {
                        self.since.remove(&key);
                        self.confirmed.insert(key);
                        // The position stands before the confirmation.
                        self.place(key);
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
        if let Some(id) = id {
            let number = |id: &str| id.rsplit('-').next().unwrap().parse::<u64>().unwrap_or(0);
            let is_later = self.id.as_deref().is_none_or(|before| number(before) <= number(id));
            assert!(is_later || fault == Fault::AtIsId, "{:?}, then {id}", self.id);
            self.id = Some(id.to_owned());
            self.covered().into_iter().for_each(|key| self.place(key));
        }
    }

    fn place(&mut self, key: u64) {
        let tracked = self.tracks.entry(key).or_default();
        tracked.placed = tracked.now;
    }

    fn read_item(&mut self, item: &Item, has_id: bool, at: Option<&str>, fault: Fault) {
        let Item { key, number, is_value } = *item;
        if self.is_unwatching(key) {
            return;
        }
        let is_field = self.fields.contains(&key);
        assert!(is_field || self.wanted.contains(&key), "the key {key} is not watched");
        assert!(!has_id || is_field || self.confirmed.contains(&key), "an id before the confirmation of {key}");
        let tracked = self.tracks.entry(key).or_default();
        let track = &mut tracked.now;
        if is_value {
            assert!(number > track.value || track.may_repeat, "the value {number} of {key} after {track:?}");
            track.value = number;
        } else {
            match track.last {
                _ if track.may_repeat => {}
                Some(last) if track.has_gap => assert!(number > last, "{number} of {key} after {track:?}"),
                Some(last) => assert_eq!(number, last + 1, "of {key} after {track:?}"),
                None if track.has_gap => {}
                None => assert!(tracked.first_max.is_none_or(|max| number <= max), "{number} of {key}: {tracked:?}"),
            }
            *track = Track { last: Some(number), value: track.value, has_gap: false, may_repeat: false };
        }
        if let Some(at) = at {
            assert!(!self.confirmed.contains(&key), "the past of {key} after its confirmation");
            count(0);
            self.since.insert(key, Some(at.to_owned()));
            self.place(key);
            if fault == Fault::AtIsId {
                self.id = Some(at.to_owned());
            }
        }
    }

    fn read_gap(&mut self, data: &Value) {
        let keys: Vec<u64> = data["key"].as_u64().map_or_else(|| (0..KEYS).collect(), |key| vec![key]);
        count(if keys.len() == 1 { 1 } else { 2 });
        for key in keys {
            let track = &mut self.tracks.entry(key).or_default().now;
            track.has_gap = true;
            track.may_repeat |= data["reason"] == "restarted";
        }
    }

    fn watch(&mut self, key: u64) -> Option<Text> {
        if self.fields.contains(&key) || !self.wanted.insert(key) {
            return None;
        }
        self.since.insert(key, None);
        self.tracks.insert(key, Tracked::default());
        Some(Text::Watch(vec![key], None))
    }

    fn unwatch(&mut self, key: u64) -> Option<Text> {
        if !self.wanted.remove(&key) {
            return None;
        }
        self.since.remove(&key);
        self.confirmed.remove(&key);
        *self.unwatching.entry(key).or_default() += 1;
        Some(Text::Unwatch(key))
    }

    /// Returns the texts of a new connection.
    fn open(&mut self, fault: Fault) -> Vec<Text> {
        for key in std::mem::take(&mut self.confirmed) {
            self.since.insert(key, self.id.clone());
        }
        if fault == Fault::SinceIsId && self.id.is_some() {
            self.since.values_mut().for_each(|since| *since = self.id.clone());
        }
        if fault == Fault::SinceForgotten {
            self.since.values_mut().for_each(|since| *since = None);
        }
        self.unwatching.clear();
        let mut groups: BTreeMap<Option<String>, Vec<u64>> = BTreeMap::new();
        for (key, since) in &self.since {
            groups.entry(since.clone()).or_default().push(*key);
        }
        groups.into_iter().map(|(since, keys)| Text::Watch(keys, since)).collect()
    }

    /// Forgets what may come again after a cut.
    fn lose(&mut self) {
        for tracked in self.tracks.values_mut() {
            tracked.now = tracked.placed;
            tracked.first_max = None;
        }
    }
}

fn keys_of(data: &Value) -> Vec<u64> {
    serde_json::from_value(data["keys"].clone()).unwrap()
}

struct Connection {
    feed: Feed<Item>,
    subscriber: Watching<Item>,
    texts: VecDeque<Text>,
    /// The keys that the server reads for it.
    held: BTreeSet<u64>,
    under_way: VecDeque<u8>,
    arrived: VecDeque<u8>,
}

struct Client {
    replay: u64,
    page: Page,
    connection: Option<Connection>,
}

struct World {
    store: Store<Item>,
    /// The newest number and the newest value of each key.
    newest: BTreeMap<u64, (u64, u64)>,
    fault: Fault,
}

impl World {
    fn submit(&mut self, key: u64, is_value: bool) {
        let (number, value) = self.newest.entry(key).or_default();
        let newest = if is_value { value } else { number };
        *newest += 1;
        let item = Item { key, number: *newest, is_value };
        self.store.try_submit(item).unwrap();
    }

    fn newest(&self, key: u64) -> (u64, u64) {
        self.newest.get(&key).copied().unwrap_or_default()
    }

    /// Returns the number with which the messages of a key begin that a newcomer gets.
    fn first_of_newcomer(&self, key: u64, replay: u64) -> u64 {
        let (newest, _) = self.newest(key);
        newest + 1 - replay.min(newest.min(CAPACITY))
    }

    fn open(&self, client: &mut Client) {
        let replay = usize::try_from(client.replay).unwrap();
        let resume = client.page.id.as_deref().map_or(Resume::New, Resume::after_text);
        let options = ReaderOptions { replay, is_connection: true, gets_snapshots: true };
        let fields: Vec<u64> = client.page.fields.iter().copied().collect();
        for key in &fields {
            let first = self.first_of_newcomer(*key, client.replay);
            client.page.tracks.entry(*key).or_default().first_max = Some(first);
        }
        let mut reader = Reader::open(self.store.shared(), Keys::Set(fields.clone()), resume, options);
        reader.allow_key_changes();
        let record = ConnectionRecord::open(Transport::Ws, 1, &reader);
        let watches = Watches::new(&reader, 16, replay);
        client.connection = Some(Connection {
            feed: Feed::new(reader, record, Lag::Skip),
            subscriber: Watching::new(CatchDrop::new(Box::new(Plain) as Box<_>), watches),
            texts: client.page.open(self.fault).into(),
            held: fields.into_iter().collect(),
            under_way: VecDeque::new(),
            arrived: VecDeque::new(),
        });
    }
}

impl Client {
    fn send(&mut self, text: Option<Text>) {
        if let (Some(connection), Some(text)) = (&mut self.connection, text) {
            connection.texts.push_back(text);
        }
    }

    /// Lets the server receive a text, as a session does.
    fn take_text(&mut self, fault: Fault) -> bool {
        let Some(Connection { feed, subscriber, texts, under_way, .. }) = &mut self.connection else { return false };
        let Some(watches) = subscriber.watches_mut().filter(|watches| !watches.is_busy()) else { return false };
        let Some(text) = texts.pop_front() else { return false };
        let name_key = |key: u64| NamedKey { key, json: key.to_string().into() };
        let request = match text {
            Text::Watch(keys, since) => {
                let (mut added, mut confirmed) = (Vec::new(), Vec::new());
                for key in keys {
                    confirmed.push(key.to_string().into());
                    if feed.reader().index_of_key(&key).is_none() {
                        let named = name_key(key);
                        assert!(!watches.withdraw(&named), "a client confirmed a key once");
                        added.push(named);
                    }
                }
                let since = since.map_or(Resume::New, |since| Resume::after_text(&since));
                let since = PendingResume::new(since, watches.replay);
                Request::Watch(WatchRequest { keys: added, named: confirmed, since })
            }
            Text::Unwatch(key) if fault == Fault::UnwatchedDelivered => {
                let mut frame = BytesMut::new();
                Ws::notice(&mut frame, None, "tornadose:unwatched", &format!("{{\"keys\":[{key}]}}"));
                under_way.extend(frame);
                return true;
            }
            Text::Unwatch(key) => Request::Unwatch(vec![name_key(key)]),
        };
        watches.set_request(request);
        feed.begin_request();
        true
    }

    /// Lets the server write what it can. Returns whether it has written anything.
    fn write(&mut self, world: &World) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        // As the socket's task does.
        if connection.feed.try_park(&NOOP_WAKER) {
            return false;
        }
        let item = connection.feed.next::<Ws>(&mut connection.subscriber, &NOOP_WAKER);
        let held: BTreeSet<u64> =
            (0..KEYS).filter(|key| connection.feed.reader().index_of_key(key).is_some()).collect();
        for key in held.difference(&connection.held) {
            let first = world.first_of_newcomer(*key, self.replay);
            self.page.tracks.entry(*key).or_default().first_max = Some(first);
        }
        connection.held = held;
        if connection.subscriber.watches_mut().is_some_and(|watches| !watches.waiting.is_empty()) {
            count(3);
        }
        match item {
            FeedItem::Bytes(bytes) => {
                connection.under_way.extend(plant(&bytes, world.fault));
                true
            }
            FeedItem::Pending => false,
            FeedItem::NotLoaded(_) | FeedItem::Ended(_) => panic!("it ends"),
        }
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
        self.page.lose();
        let Balance { owed, delivered, filtered, conflated, missed, ephemeral_missed, summed, unread } =
            connection.feed.reader().balance();
        assert_eq!(
            owed,
            delivered + filtered + conflated + missed + ephemeral_missed + summed + unread,
            "it does not balance"
        );
    }
}

/// Takes the text of the first frame, if it is there in full.
fn take_frame(bytes: &mut VecDeque<u8>) -> Option<String> {
    let (header, length) = match *bytes.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        length => (2, usize::from(length)),
    };
    if bytes.len() < header + length {
        return None;
    }
    bytes.drain(..header);
    Some(String::from_utf8(bytes.drain(..length).collect()).unwrap())
}

/// Plants a fault of the server into what it writes.
fn plant(bytes: &[u8], fault: Fault) -> Vec<u8> {
    if !matches!(fault, Fault::PastTwice | Fault::PastSkipped | Fault::ConfirmedFirst) {
        return bytes.to_vec();
    }
    let mut bytes: VecDeque<u8> = bytes.iter().copied().collect();
    let mut frames = Vec::new();
    while let Some(frame) = take_frame(&mut bytes) {
        let is_past = frame.starts_with("{\"at\"");
        match fault {
            Fault::PastSkipped if is_past => {}
            Fault::PastTwice if is_past => frames.extend([frame.clone(), frame]),
            Fault::ConfirmedFirst if frame.contains("tornadose:watching") => frames.insert(0, frame),
            _ => frames.push(frame),
        }
    }
    let mut planted = Vec::new();
    for frame in frames {
        planted.extend([0x81, 126]);
        planted.extend(u16::try_from(frame.len()).unwrap().to_be_bytes());
        planted.extend(frame.into_bytes());
    }
    planted
}

thread_local! {
    /// How often, in all programs: a message of a past came, a gap of a key and of all keys, and a request waited; and how many
    /// clients there were.
    static TRIED: Cell<[u64; 5]> = const { Cell::new([0; 5]) };
}

fn count(what: usize) {
    let mut tried = TRIED.get();
    tried[what] += 1;
    TRIED.set(tried);
}

fn new_client(chance: &mut Chance) -> Client {
    let fields = if chance.below(2) == 0 { BTreeSet::from([0]) } else { BTreeSet::new() };
    Client { replay: chance.below(5), page: Page { fields, ..Page::default() }, connection: None }
}

fn run(seed: u64, fault: Fault) {
    let mut chance = Chance(seed * 0x9E37_79B9);
    let mut world = World { store: Store::new(), newest: BTreeMap::new(), fault };
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| new_client(&mut chance)).collect();
    for _ in 0..6 {
        for _ in 0..60 {
            let client = &mut clients[usize::try_from(chance.below(CLIENTS)).unwrap()];
            let key = chance.below(KEYS);
            match chance.below(16) {
                0 | 1 if client.connection.is_none() => world.open(client),
                2 if chance.below(3) == 0 => {
                    // At any byte of what is under way.
                    client.receive(usize::try_from(chance.below(400)).unwrap(), fault);
                    client.cut();
                }
                3 | 4 => {
                    let text = client.page.watch(key);
                    client.send(text);
                }
                5 if chance.below(2) == 0 => {
                    let text = client.page.unwatch(key);
                    if client.connection.is_none() {
                        client.page.unwatching.clear();
                    }
                    client.send(text);
                }
                6 if chance.below(4) == 0 => {
                    // More than is kept of a key.
                    for _ in 0..chance.below(9) {
                        world.submit(key, false);
                    }
                }
                5..8 => world.submit(key, chance.below(3) == 0),
                8..10 => drop(client.take_text(fault)),
                10..13 => drop(client.write(&world)),
                _ => client.receive(usize::try_from(chance.below(200)).unwrap(), fault),
            }
        }
        // A quiet moment: every client is there, and everything has arrived.
        for client in &mut clients {
            if client.connection.is_none() {
                world.open(client);
            }
            while client.write(&world) || client.take_text(fault) {}
            client.receive(usize::MAX, fault);
            let Page { fields, wanted, confirmed, tracks, .. } = &client.page;
            assert_eq!(wanted, confirmed, "seed {seed}");
            for key in fields.union(wanted) {
                let (number, value) = world.newest(*key);
                let tracked = tracks.get(key).copied().unwrap_or_default();
                assert_eq!(tracked.now.value, value, "seed {seed}: the value of {key} of {tracked:?}");
                let has_none = tracked.now.last.is_none() && tracked.first_max.is_none_or(|first| first > number);
                assert!(has_none || tracked.now.last == Some(number), "seed {seed}: {key} to {number}: {tracked:?}");
            }
        }
    }
    for client in &mut clients {
        client.cut();
        count(4);
    }
}

#[test]
fn each_watched_key_is_delivered_once_and_in_order() {
    for seed in 1..600 {
        run(seed, Fault::None);
    }
    let [past, gaps_of_keys, gaps, waits, clients] = TRIED.get();
    let is_tried = past > 5 * clients && gaps_of_keys > clients / 3 && gaps > clients && waits > 20;
    assert!(is_tried, "{:?}", TRIED.get());
}

#[test]
fn a_planted_fault_is_found() {
    for fault in [
        Fault::PastTwice,
        Fault::PastSkipped,
        Fault::AtIsId,
        Fault::ConfirmedFirst,
        Fault::UnwatchedDelivered,
        Fault::SinceIsId,
        Fault::SinceForgotten,
    ] {
        let fails = |seed| catch_unwind(AssertUnwindSafe(|| run(seed, fault))).is_err();
        assert!((1..600).any(fails), "{fault:?}");
    }
}
