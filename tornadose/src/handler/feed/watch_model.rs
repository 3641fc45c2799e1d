//! Clients that watch keys, over random programs: keys are watched and watched no more in any order, messages are submitted,
//! keys finished and removed meanwhile, clients read slowly, are cut at any byte and return, to one process or another. Each
//! client gets the messages of each of its keys once and in order, or a gap, of the key or of all keys.
//!
//! A program can have a fault, which the model has to find.

mod page;
mod world;

use std::cell::Cell;
use std::collections::{BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::BytesMut;
use salvo::http::StatusError;
use salvo::{Depot, Request as HttpRequest};

use self::page::{Page, Text, is_visible};
use self::world::{Item, KEYS, Kept, World};
use crate::handler::connection::catch_drop::CatchDrop;
use crate::handler::connection::record::{ConnectionRecord, Transport};
use crate::handler::feed::format::{Format, Ws};
use crate::handler::feed::{Feed, FeedItem};
use crate::handler::served::Served;
use crate::handler::watch::watches::{NamedKey, Request, WatchRequest, Watches};
use crate::handler::watch::watching::Watching;
use crate::message::Keys;
use crate::store::ledger::Balance;
use crate::store::reader::mailbox::NOOP_WAKER;
use crate::store::reader::resume::{PendingResume, Resume};
use crate::store::reader::{Reader, ReaderOptions};
use crate::store::registry::kind::ReaderKind;
use crate::subscriber::Subscriber;
use crate::subscriber::options::Lag;

const CLIENTS: u64 = 3;

/// A subscriber from which every fourth message may be withheld.
struct Plain {
    is_filtered: bool,
}

impl Subscriber for Plain {
    type Message = Item;

    fn from_request(_: &HttpRequest, _: &Depot) -> Result<Self, StatusError> {
        Err(StatusError::not_found())
    }
    fn keys(&self) -> Keys<u64> {
        Keys::All
    }
    fn filter(&self, item: &Item) -> bool {
        item.is_value || is_visible(self.is_filtered, item.number)
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

struct Connection {
    process: usize,
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

impl Client {
    /// Connects to a process.
    fn open(&mut self, world: &World, process: usize, fault: Fault) {
        let replay = usize::try_from(self.replay).unwrap();
        let resume = self.page.id.as_deref().map_or(Resume::New, Resume::after_text);
        let options = ReaderOptions { replay, kind: ReaderKind::Sse, gets_snapshots: true };
        let fields: Vec<u64> = self.page.fields.iter().copied().collect();
        // An id may be ahead of a process.
        if resume == Resume::New || !world.has_engine() {
            for key in &fields {
                let first = world.processes[process].first_of_newcomer(*key, self.replay);
                self.page.tracks.entry(*key).or_default().first_max = Some(first);
            }
        }
        let mut reader = Reader::open(world.processes[process].shared(), Keys::Set(fields.clone()), resume, options);
        reader.allow_key_changes();
        let record = ConnectionRecord::open(Transport::Ws, 1, &reader);
        let watches = Watches::new(&reader, 16, replay);
        let plain = Plain { is_filtered: self.page.is_filtered };
        self.connection = Some(Connection {
            process,
            feed: Feed::new(reader, record, Lag::Skip),
            subscriber: Watching::new(CatchDrop::new(Box::new(plain) as Box<_>), watches),
            texts: self.page.open(fault).into(),
            held: fields.into_iter().collect(),
            under_way: VecDeque::new(),
            arrived: VecDeque::new(),
        });
    }

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
    fn write(&mut self, world: &World, fault: Fault) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        // As the socket's task does.
        if connection.feed.try_park(&NOOP_WAKER) {
            return false;
        }
        let item = connection.feed.next::<Ws>(&mut connection.subscriber, &NOOP_WAKER);
        let held: BTreeSet<u64> =
            (0..KEYS).filter(|key| connection.feed.reader().index_of_key(key).is_some()).collect();
        for key in held.difference(&connection.held) {
            let first = world.processes[connection.process].first_of_newcomer(*key, self.replay);
            self.page.tracks.entry(*key).or_default().first_max = Some(first);
        }
        connection.held = held;
        if connection.subscriber.watches_mut().is_some_and(|watches| !watches.waiting.is_empty()) {
            count(Tried::Wait);
        }
        match item {
            FeedItem::Bytes(bytes) => {
                connection.under_way.extend(plant(&bytes, fault));
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
pub(super) fn take_frame(bytes: &mut VecDeque<u8>) -> Option<String> {
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

/// The situations that the programs have to meet.
#[derive(Clone, Copy)]
enum Tried {
    /// A message of a past comes.
    Past,
    GapOfKey,
    /// A gap of all keys.
    Gap,
    /// A request waits.
    Wait,
    Finish,
    Client,
}

thread_local! {
    /// How often each was tried in all programs.
    static TRIED: Cell<[u64; 6]> = const { Cell::new([0; 6]) };
}

fn count(what: Tried) {
    let mut tried = TRIED.get();
    tried[what as usize] += 1;
    TRIED.set(tried);
}

fn new_client(chance: &mut Chance) -> Client {
    let fields = if chance.below(2) == 0 { BTreeSet::from([0]) } else { BTreeSet::new() };
    let is_filtered = chance.below(3) == 0;
    let page = Page::new(fields, is_filtered);
    Client { replay: chance.below(5), page, connection: None }
}

async fn run(seed: u64, fault: Fault) {
    let mut chance = Chance(seed * 0x9E37_79B9);
    let mut world = if seed.is_multiple_of(2) { World::on_an_engine().await } else { World::in_memory() };
    let processes = world.processes.len() as u64;
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| new_client(&mut chance)).collect();
    for _ in 0..6 {
        for _ in 0..60 {
            let client = &mut clients[usize::try_from(chance.below(CLIENTS)).unwrap()];
            let (key, process) = (chance.below(KEYS), usize::try_from(chance.below(processes)).unwrap());
            match chance.below(18) {
                0 | 1 if client.connection.is_none() => client.open(&world, process, fault),
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
                        world.submit(key, false).await;
                    }
                }
                7 => match chance.below(24) {
                    0 => world.finish(key).await,
                    1 | 2 => world.remove(key).await,
                    3 => world.begin_epoch(),
                    _ => tokio::time::advance(Duration::from_millis(chance.below(1500))).await,
                },
                5..9 => world.submit(key, chance.below(3) == 0).await,
                9 | 10 => while world.read_next(process) && chance.below(4) > 0 {},
                11 | 12 => drop(client.take_text(fault)),
                13..16 => drop(client.write(&world, fault)),
                _ => client.receive(usize::try_from(chance.below(200)).unwrap(), fault),
            }
        }
        // A quiet moment: every client is there, and everything has arrived.
        world.read_all();
        for client in &mut clients {
            if client.connection.is_none() {
                client.open(&world, 0, fault);
            }
            while client.write(&world, fault) || client.take_text(fault) {}
        }
        // An id of another epoch is waited for.
        tokio::time::advance(Duration::from_secs(3)).await;
        for client in &mut clients {
            while client.write(&world, fault) || client.take_text(fault) {}
            client.receive(usize::MAX, fault);
            check(seed, &client.page, &world);
        }
    }
    for client in &mut clients {
        client.cut();
        count(Tried::Client);
    }
}

/// Checks that a page has what the log has of its keys.
fn check(seed: u64, page: &Page, world: &World) {
    assert_eq!(page.wanted, page.confirmed, "seed {seed}");
    for key in page.fields.union(&page.wanted) {
        let kept @ Kept { number, gone_through, value, is_finished } = world.processes[0].kept(*key);
        let tracked = page.tracks.get(key).copied().unwrap_or_default();
        let now = tracked.now;
        assert!(value.is_none_or(|value| now.value == value), "seed {seed}: the value of {key} of {tracked:?}");
        let newest = page.first_visible((1..=number).rev()).unwrap_or(0);
        let is_complete = match now.last {
            Some(last) => last == newest || (now.has_gap && newest <= gone_through),
            None => (now.has_gap && newest <= gone_through) || tracked.first_max.is_none_or(|first| first > newest),
        };
        assert!(is_complete, "seed {seed}: {key} has {kept:?}, the page {tracked:?}");
        assert!(now.is_finished || !is_finished, "seed {seed}: {key} is finished, the page has {tracked:?}");
    }
}

/// Runs a program in a runtime of its own.
fn run_program(seed: u64, fault: Fault) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(run(seed, fault));
}

#[test]
fn each_watched_key_is_delivered_once_and_in_order() {
    for seed in 1..600 {
        run_program(seed, Fault::None);
    }
    let [past, gaps_of_keys, gaps, waits, finishes, clients] = TRIED.get();
    let is_tried =
        past > 4 * clients && gaps_of_keys > clients / 3 && gaps > clients && waits > 100 && finishes > clients / 3;
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
        let fails = |seed| catch_unwind(AssertUnwindSafe(|| run_program(seed, fault))).is_err();
        assert!((1..600).any(fails), "{fault:?}");
    }
}
