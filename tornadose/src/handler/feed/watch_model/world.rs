//! The messages of a program, and the processes that have them: one with a store in memory, or two on an engine, of which
//! each has read as far as it has.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::backend::{Backend, BackendLink, IncomingEntry, OpenError};
use crate::event::Event;
use crate::event::error::EncodeError;
use crate::id::{Epoch, Offset};
use crate::message::{Finish, Message, Retention};
use crate::store::Store;
use crate::store::shared::Shared;

pub(super) const KEYS: u64 = 4;
pub(super) const CAPACITY: u64 = 3;

/// The messages of each key are numbered from 1, those of the queue and values apart.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Item {
    pub(super) key: u64,
    pub(super) number: u64,
    pub(super) is_value: bool,
}

impl Message for Item {
    type Key = u64;
    const CAPACITY: usize = 3;
    const CAN_FINISH: bool = true;
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

impl Finish for Item {}

/// An entry of the log.
#[derive(Clone, Copy, Debug)]
pub(super) enum Entry {
    Item(Item),
    Finish(u64),
    Remove(u64),
}

/// The state of a key in a process.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kept {
    /// The newest number, kept or not.
    pub(super) number: u64,
    /// Up to here the messages were removed.
    pub(super) gone_through: u64,
    pub(super) value: Option<u64>,
    pub(super) is_finished: bool,
}

/// Hands its link to the model, which plays the engine.
struct PassesLink(mpsc::UnboundedSender<BackendLink>);

impl Backend for PassesLink {
    async fn run(self, link: BackendLink) -> Result<(), OpenError> {
        self.0.send(link).unwrap();
        pending().await
    }
}

pub(super) struct Process {
    store: Store<Item>,
    /// `None` of a store in memory.
    link: Option<BackendLink>,
    /// How many entries of the engine it has read.
    read: usize,
    kept: BTreeMap<u64, Kept>,
}

impl Process {
    fn new(store: Store<Item>, link: Option<BackendLink>) -> Self {
        Self { store, link, read: 0, kept: BTreeMap::new() }
    }

    pub(super) fn shared(&self) -> &Arc<Shared<Item>> {
        self.store.shared()
    }

    pub(super) fn kept(&self, key: u64) -> Kept {
        self.kept.get(&key).copied().unwrap_or_default()
    }

    /// Returns the number with which the messages of a key begin that a newcomer gets.
    pub(super) fn first_of_newcomer(&self, key: u64, replay: u64) -> u64 {
        let Kept { number, gone_through, .. } = self.kept(key);
        number + 1 - replay.min((number - gone_through).min(CAPACITY))
    }

    fn record(&mut self, entry: Entry) {
        match entry {
            Entry::Item(Item { key, number, is_value }) => {
                let kept = self.kept.entry(key).or_default();
                if is_value {
                    kept.value = Some(number);
                } else {
                    kept.number = number;
                }
            }
            Entry::Finish(key) => self.kept.entry(key).or_default().is_finished = true,
            Entry::Remove(key) => {
                let kept = self.kept.entry(key).or_default();
                *kept = Kept { number: kept.number, gone_through: kept.number, value: None, is_finished: false };
            }
        }
    }

    async fn append(&mut self, entry: Entry) {
        match entry {
            Entry::Item(item) => self.store.try_submit(item).map(drop).unwrap(),
            Entry::Finish(key) => drop(self.store.finish(&key).await.unwrap()),
            Entry::Remove(key) => drop(self.store.remove(&key).await.unwrap()),
        }
        self.record(entry);
    }

    fn ingest(&mut self, entry: Entry) {
        let Some(link) = &self.link else { return };
        self.read += 1;
        let offset = Offset::new(7, self.read as u64);
        match entry {
            Entry::Item(item) => {
                let payload = serde_json::to_vec(&item).unwrap();
                link.ingest(offset, IncomingEntry::new(&payload));
            }
            Entry::Finish(key) => link.finish(offset, &key.to_string()),
            Entry::Remove(key) => drop(link.remove(offset, &key.to_string())),
        }
        self.record(entry);
    }

    fn begin_epoch(&mut self, epoch: Epoch) {
        let Some(link) = &self.link else { return };
        link.reset(epoch, Offset::START);
        link.caught_up();
        self.read = 0;
        for kept in self.kept.values_mut() {
            *kept = Kept { number: kept.number, gone_through: kept.number, value: None, is_finished: false };
        }
    }
}

pub(super) struct World {
    pub(super) processes: Vec<Process>,
    /// The log of the engine, which the processes read.
    entries: Vec<Entry>,
    /// The newest number and the newest value of each key.
    newest: BTreeMap<u64, (u64, u64)>,
    finished: BTreeSet<u64>,
    epochs: u64,
}

impl World {
    pub(super) fn in_memory() -> Self {
        Self::new(vec![Process::new(Store::new(), None)])
    }

    pub(super) async fn on_an_engine() -> Self {
        let mut processes = Vec::new();
        for _ in 0..2 {
            let (links, mut passed) = mpsc::unbounded_channel();
            let opening = tokio::spawn(Store::open(PassesLink(links)));
            let link = passed.recv().await.unwrap();
            link.reset(Epoch::of_bits(1), Offset::START);
            link.caught_up();
            processes.push(Process::new(opening.await.unwrap().unwrap(), Some(link)));
        }
        Self::new(processes)
    }

    fn new(processes: Vec<Process>) -> Self {
        Self { processes, entries: Vec::new(), newest: BTreeMap::new(), finished: BTreeSet::new(), epochs: 1 }
    }

    pub(super) fn has_engine(&self) -> bool {
        self.processes.len() > 1
    }

    /// Appends the next message of a key, unless that is finished.
    pub(super) async fn submit(&mut self, key: u64, is_value: bool) {
        if self.finished.contains(&key) {
            return;
        }
        let (number, value) = self.newest.entry(key).or_default();
        let newest = if is_value { value } else { number };
        *newest += 1;
        let number = *newest;
        self.append(Entry::Item(Item { key, number, is_value })).await;
    }

    pub(super) async fn finish(&mut self, key: u64) {
        if self.finished.insert(key) {
            self.append(Entry::Finish(key)).await;
        }
    }

    pub(super) async fn remove(&mut self, key: u64) {
        self.finished.remove(&key);
        self.append(Entry::Remove(key)).await;
    }

    async fn append(&mut self, entry: Entry) {
        self.entries.push(entry);
        if !self.has_engine() {
            self.processes[0].append(entry).await;
        }
    }

    /// Lets a process read the next entry of the engine. Returns false when there is none.
    pub(super) fn read_next(&mut self, process: usize) -> bool {
        let process = &mut self.processes[process];
        let next = self.entries.get(process.read).filter(|_| process.link.is_some());
        next.map(|entry| process.ingest(*entry)).is_some()
    }

    pub(super) fn read_all(&mut self) {
        for process in 0..self.processes.len() {
            while self.read_next(process) {}
        }
    }

    /// Empties the engine, whose log begins another epoch.
    pub(super) fn begin_epoch(&mut self) {
        if !self.has_engine() {
            return;
        }
        self.read_all();
        self.epochs += 1;
        self.entries.clear();
        self.finished.clear();
        for process in &mut self.processes {
            process.begin_epoch(Epoch::of_bits(self.epochs));
        }
    }
}
