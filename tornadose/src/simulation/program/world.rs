//! The processes, stores and clients of a running program.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::event::error::EncodeError;
use crate::id::{Epoch, Id, Offset};
use crate::message::tombstone::Tombstone;
use crate::message::{Finish, Keys, Message, Retention};
use crate::simulation::checker::Checker;
use crate::simulation::checker::client::{Client, Reading};
use crate::simulation::checker::record::{Answer, SharedRecord, describe};
use crate::simulation::checker::rules::find_early_expiry;
use crate::simulation::engine::{Engine, Snapshot};
use crate::simulation::mistakes::Mistake;
use crate::simulation::process::Process;
use crate::simulation::program::Failure;
use crate::simulation::program::step::{CLIENTS, FINISHED_KEYS, KEYS, PROCESSES, Step};
use crate::simulation::stream::{Body, Entry};
use crate::store::Store;
use crate::store::finish::KeyState;
use crate::store::reader::mailbox::NOOP_WAKER;

const CHANNEL: &str = "notes";

/// A message that is unlike all others by its number. Queue messages expire after so many milliseconds, unless it is 0.
#[derive(Clone, Serialize, Deserialize)]
struct Note<const QUEUE_TTL_MS: u64> {
    key: u64,
    number: u64,
    kind: Kind,
    finishes: bool,
    /// Of a latest value.
    slot: Option<u8>,
    is_tombstone: bool,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum Kind {
    Queue,
    Latest,
    Ephemeral,
}

impl<const TTL: u64> Finish for Note<TTL> {}

impl<const TTL: u64> Message for Note<TTL> {
    type Key = u64;
    const CAN_FINISH: bool = true;
    const CAPACITY: usize = 8;
    const HAS_EPHEMERAL: bool = true;
    const CHANNEL: &'static str = CHANNEL;
    const HAS_SLOTS: bool = true;
    const HAS_TOMBSTONES: bool = true;
    const HAS_LATEST_TTL: bool = true;
    const QUEUE_TTL: Option<Duration> = if TTL == 0 { None } else { Some(Duration::from_millis(TTL)) };

    fn key(&self) -> u64 {
        self.key
    }
    fn retention(&self) -> Retention {
        match self.kind {
            Kind::Queue => Retention::Queue,
            Kind::Latest => Retention::Latest,
            Kind::Ephemeral => Retention::Ephemeral,
        }
    }
    fn finishes(&self) -> bool {
        self.finishes
    }
    fn slot_json(&self) -> Result<Option<String>, EncodeError> {
        Ok(self.slot.map(|slot| slot.to_string()))
    }
    fn latest_ttl(&self) -> Option<Duration> {
        // Shorter than many a pause, and longer than most.
        (self.slot == Some(0)).then_some(Duration::from_millis(300))
    }
    fn tombstone(&self) -> Result<Option<Tombstone>, EncodeError> {
        Ok(self.is_tombstone.then_some(Tombstone::Key))
    }
    fn event(&self) -> Result<Event, EncodeError> {
        let event = Event::text(self.number.to_string());
        // The checker tells the values of one key apart by their names.
        Ok(match self.slot {
            Some(slot) => event.with_name(format!("slot {slot}").as_str().try_into()?),
            None => event,
        })
    }
}

pub(super) struct World<const TTL: u64> {
    engine: Engine,
    processes: Vec<Process>,
    /// The running store of each process.
    stores: Vec<Option<Store<Note<TTL>>>>,
    clients: Vec<Option<Client<Note<TTL>>>>,
    /// The process of each client.
    places: [usize; CLIENTS],
    record: SharedRecord,
    checker: Checker,
    snapshot: Option<Snapshot>,
    number: u64,
    mistake: Option<Mistake>,
    rollbacks: Vec<Rollback>,
    was_forgotten_or_trimmed: bool,
    has_stopped: bool,
}

/// Returns where the engine has taken a message first, if it has taken it before the copy with this id too.
fn first_copy_of(engine: &Engine, payload: &[u8], id: Id) -> Option<Id> {
    let is_copy = |entry: &Entry| matches!(&entry.body, Body::Message { payload: other, .. } if other == payload);
    let first = engine.appended(CHANNEL).into_iter().find(is_copy)?.place.offset;
    (first < id.offset).then_some(Id { offset: first, ..id })
}

/// Entries in this range, without its start, were lost. The stream has this epoch since.
struct Rollback {
    after: Offset,
    up_to: Offset,
    epoch: Epoch,
    /// Whether a process ended before the epoch was changed. It may have been the only one that knew of the entries.
    may_be_unnoticed: bool,
}

impl<const TTL: u64> World<TTL> {
    pub(super) fn new(seed: u64, mistake: Option<Mistake>) -> Self {
        let engine = Engine::new(seed);
        let processes = (0..PROCESSES).map(|index| engine.process(format!("process {index}"))).collect();
        let checker = Checker::new();
        Self {
            engine,
            processes,
            stores: (0..PROCESSES).map(|_| None).collect(),
            clients: (0..CLIENTS).map(|_| None).collect(),
            places: [0; CLIENTS],
            record: checker.record_handle(),
            checker,
            snapshot: None,
            number: 0,
            mistake,
            rollbacks: Vec::new(),
            was_forgotten_or_trimmed: false,
            has_stopped: false,
        }
    }

    pub(super) async fn take(&mut self, step: Step) {
        self.record.lock().note(format!("{step:?}"));
        match step {
            Step::Start { process } => self.start(process).await,
            Step::Stop { process } => self.stop(process),
            Step::Kill { process } => {
                self.processes[process].kill();
                self.stop(process);
            }
            Step::Submit { process, key, is_latest } => {
                let note = self.note(key, is_latest);
                self.submit(process, note);
            }
            Step::SubmitLast { process, key } => {
                let note = Note { finishes: true, ..self.note(key, false) };
                self.submit(process, note);
            }
            Step::Whisper { process, key } => {
                let note = Note { kind: Kind::Ephemeral, ..self.note(key, false) };
                self.submit(process, note);
            }
            Step::TryWhisper { process, key } => {
                let note = Note { kind: Kind::Ephemeral, ..self.note(key, false) };
                if let Some(store) = &self.stores[process] {
                    self.checker.try_submit(store, note).ok();
                }
            }
            Step::Finish { process, key } => {
                if let Some(store) = self.stores[process].clone() {
                    tokio::spawn(async move { store.finish(&key).await.ok() });
                }
            }
            Step::Remove { process, key } => {
                if let Some(store) = self.stores[process].clone() {
                    self.record.lock().remove(key.to_string());
                    tokio::spawn(async move { store.remove(&key).await.ok() });
                }
            }
            Step::TrySubmit { process, key, is_latest } => self.try_submit(process, key, is_latest),
            Step::Forget { process, key } => {
                if let Some(store) = &self.stores[process] {
                    self.was_forgotten_or_trimmed = true;
                    self.record.lock().forget(key.to_string());
                    store.forget(&key);
                }
            }
            Step::Bury { process, key } => {
                let note = Note { is_tombstone: true, ..self.note(key, false) };
                self.record.lock().forget(key.to_string());
                if let Some(store) = &self.stores[process] {
                    self.checker.try_submit(store, note).ok();
                }
            }
            Step::Connect { client, process, key, replay } => self.connect(client, process, key, replay),
            Step::Detach { client } => self.clients[client].iter_mut().for_each(Client::detach),
            Step::Read { client, items } => self.read(client, items),
            Step::Disconnect { process } => self.processes[process].disconnect(),
            Step::Delay { process, milliseconds } => {
                self.processes[process].delay(Duration::from_millis(milliseconds));
            }
            Step::Refuse { process } => self.processes[process].refuse("OOM"),
            Step::Heal { process } => self.processes[process].heal(),
            Step::LoseRequest { process } => self.processes[process].lose_next_request(),
            Step::LoseReply { process } => self.processes[process].lose_next_reply(),
            Step::Interrupt { process } => self.processes[process].interrupt_next_append(),
            Step::Duplicate { process } => self.processes[process].duplicate_next_append(),
            Step::DeliverAgain { process } => self.processes[process].deliver_again(),
            Step::Trim { kept } => {
                self.was_forgotten_or_trimmed = true;
                self.engine.trim(CHANNEL, kept);
            }
            Step::Snapshot => self.snapshot = Some(self.engine.snapshot()),
            Step::Restore => self.restore(),
            Step::Foreign { key, is_latest } => {
                let note = self.note(key, is_latest);
                self.engine.append_foreign(CHANNEL, serde_json::to_vec(&note).unwrap());
            }
            Step::OtherVersion { key, is_readable } => {
                let note = self.note(key, false);
                let payload = if is_readable { serde_json::to_vec(&note).unwrap() } else { b"{}".to_vec() };
                self.engine.append_as("version2", note.number, CHANNEL, key.to_string(), payload);
            }
            Step::Unreadable => self.engine.append_unreadable(CHANNEL),
        }
    }

    fn note(&mut self, key: u64, is_latest: bool) -> Note<TTL> {
        self.number += 1;
        // Of three latest values, two have slots.
        let slot = [Some(0), Some(1), None][usize::try_from(self.number % 3).unwrap_or(0)].filter(|_| is_latest);
        let kind = if is_latest { Kind::Latest } else { Kind::Queue };
        Note { key, number: self.number, kind, finishes: false, slot, is_tombstone: false }
    }

    async fn start(&mut self, process: usize) {
        if self.stores[process].is_some() {
            return;
        }
        let backend = self.processes[process].backend().with_mistake(self.mistake);
        if let Ok(store) = Store::open(backend).await {
            self.stores[process] = Some(store);
        }
    }

    fn stop(&mut self, process: usize) {
        let Some(store) = self.stores[process].take() else { return };
        store.close();
        self.has_stopped = true;
        let epoch = self.engine.epoch(CHANNEL);
        self.mark_unnoticed(epoch);
    }

    /// Marks the rollbacks in an epoch, which is the engine's again if it had been replaced.
    fn mark_unnoticed(&mut self, epoch: Epoch) {
        for rollback in self.rollbacks.iter_mut().filter(|rollback| rollback.epoch == epoch) {
            rollback.may_be_unnoticed = true;
        }
    }

    fn submit(&mut self, process: usize, note: Note<TTL>) {
        let Some(store) = &self.stores[process] else { return };
        let message = self.record.lock().submit(describe(&note));
        let (store, record, engine) = (store.clone(), self.record.clone(), self.engine.clone());
        let payload = serde_json::to_vec(&note).expect("JSON");
        tokio::spawn(async move {
            let result = store.submit(note).await;
            let first_copy = result.as_ref().ok().and_then(|id| first_copy_of(&engine, &payload, *id));
            let mut record = record.lock();
            record.answer(message, Answer::of(&result));
            if let Some(first) = first_copy {
                record.record_first_copy(message, first);
            }
        });
    }

    fn try_submit(&mut self, process: usize, key: u64, is_latest: bool) {
        let note = self.note(key, is_latest);
        if let Some(store) = &self.stores[process] {
            self.checker.try_submit(store, note).ok();
        }
    }

    fn connect(&mut self, client: usize, process: usize, key: Option<u64>, replay: usize) {
        let Some(store) = &self.stores[process] else { return };
        match &mut self.clients[client] {
            Some(known) if known.is_attached() => return,
            Some(known) => known.resume(store, replay),
            unknown => {
                let keys = key.map_or(Keys::All, Keys::One);
                *unknown = Some(Client::open(&self.record, format!("client {client}"), store, keys, replay));
            }
        }
        self.places[client] = process;
    }

    fn read(&mut self, client: usize, items: usize) {
        let Some(client) = &mut self.clients[client] else { return };
        for _ in 0..items {
            if client.read(&NOOP_WAKER) != Reading::More {
                return;
            }
        }
    }

    fn restore(&mut self) {
        let Some(snapshot) = &self.snapshot else { return };
        let newest = |engine: &Engine| engine.newest(CHANNEL);
        let up_to = newest(&self.engine);
        self.engine.restore(snapshot);
        let (after, epoch) = (newest(&self.engine), self.engine.epoch(CHANNEL));
        self.rollbacks.push(Rollback { after, up_to, epoch, may_be_unnoticed: false });
        if self.has_stopped {
            self.mark_unnoticed(epoch);
        }
    }

    /// Undoes all faults, lets every client read to the end, and checks what was recorded.
    pub(super) async fn finish(mut self) -> Option<Failure> {
        self.record.lock().note("the faults are undone".into());
        self.processes.iter().for_each(Process::heal);
        tokio::time::sleep(Duration::from_secs(10)).await;
        if self.stores.iter().all(Option::is_none) {
            self.start(0).await;
        }
        for client in 0..CLIENTS {
            for process in 0..PROCESSES {
                if self.clients[client].is_some() {
                    self.connect(client, (client + process) % PROCESSES, None, 0);
                }
            }
        }
        for _ in 0..8 {
            for client in 0..CLIENTS {
                self.read(client, usize::MAX);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        self.excuse_what_nobody_could_notice();
        if let Err(violation) = self.checker.check() {
            return Some(Failure { promise: violation.promise().into(), transcript: violation.to_string() });
        }
        self.find_divergence()
    }

    /// A process that ends before it has noticed that the engine lost an entry takes the knowledge along.
    fn excuse_what_nobody_could_notice(&self) {
        for Rollback { after, up_to, .. } in self.rollbacks.iter().filter(|rollback| rollback.may_be_unnoticed) {
            // An offset is given once, whatever the epoch.
            let is_lost = |id: Id| id.offset > *after && id.offset <= *up_to;
            self.record.lock().excuse(is_lost);
        }
    }

    /// All processes have the same latest values, the same finishes, and the same head.
    fn find_divergence(&self) -> Option<Failure> {
        let stores: Vec<&Store<Note<TTL>>> = self.stores.iter().flatten().collect();
        let state = |store: &Store<Note<TTL>>| {
            let latest = (0..KEYS).map(|key| store.latest(&key).map(|note| note.number)).collect::<Vec<_>>();
            let finished = (KEYS..KEYS + FINISHED_KEYS).map(|key| store.key_state(&key) == KeyState::Finished);
            (
                store.head(),
                if self.was_forgotten_or_trimmed { Vec::new() } else { latest },
                finished.collect::<Vec<_>>(),
            )
        };
        if let Some(transcript) = find_early_expiry(&self.record.lock()) {
            return Some(Failure { promise: "a value has expired before its time".into(), transcript });
        }
        if stores.iter().any(|store| store.shared().lock().log.expiry_counts().0 > 0) {
            return Some(Failure {
                promise: "a process keeps a value that has expired".into(),
                transcript: String::new(),
            });
        }
        let states: Vec<_> = stores.iter().map(|store| state(store)).collect();
        states.windows(2).any(|pair| pair[0] != pair[1]).then(|| Failure {
            promise: "two processes have different heads, latest values or finishes".into(),
            transcript: format!("{states:?}"),
        })
    }
}
