//! Random programs over a type with snapshots, over several processes on one engine. A page holds the sum of each of
//! its keys, or knows that it does not know it. At the end what it holds is the sum of what the engine has taken.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::step::{self, CLIENTS, FINISHED_KEYS, KEYS, PROCESSES, Pause, Program, Step};
use super::{Failure, SEEDS, find_failure_in, seeds};
use crate::event::Event;
use crate::event::error::EncodeError;
use crate::id::Id;
use crate::message::snapshot::{SnapshotRole, SnapshotRules};
use crate::message::{Finish, Keys, Message, Retention};
use crate::simulation::engine::{Engine, Snapshot};
use crate::simulation::mistakes::Mistake;
use crate::simulation::process::Process;
use crate::simulation::stream::Body;
use crate::store::Store;
use crate::store::reader::mailbox::NOOP_WAKER;
use crate::store::reader::resume::Resume;
use crate::store::reader::{ReadStep, Reader, ReaderOptions};
use crate::store::registry::kind::ReaderKind;

const CHANNEL: &str = "lines";
const ALL_KEYS: u64 = KEYS + FINISHED_KEYS;

/// The process that cannot read some messages, in some programs.
const OLD_PROCESS: usize = 2;

/// A message. Its number is its own.
#[derive(Clone, Serialize, Deserialize)]
struct Line {
    key: u64,
    kind: Kind,
}

#[derive(Clone, Serialize, Deserialize)]
enum Kind {
    /// Is appended to the snapshot.
    Piece(u64),
    /// A piece that a process of an older version cannot read.
    Newer(u64),
    /// The snapshot: the numbers of the pieces.
    Whole(Vec<u64>),
    /// Finishes its key.
    Last,
}

impl Line {
    /// Applies it to the sum of its key.
    fn apply(&self, sum: &mut Vec<u64>) {
        match &self.kind {
            Kind::Piece(number) | Kind::Newer(number) => sum.push(*number),
            Kind::Whole(numbers) => sum.clone_from(numbers),
            Kind::Last => {}
        }
    }
}

impl Finish for Line {}

impl Message for Line {
    type Key = u64;
    const CAPACITY: usize = 4;
    const CAN_FINISH: bool = true;
    const CHANNEL: &'static str = CHANNEL;
    const SNAPSHOT: Option<SnapshotRules<Self, u64>> = Some(SnapshotRules::new(
        |key| Self { key: *key, kind: Kind::Whole(Vec::new()) },
        |whole, piece| {
            if let Kind::Whole(numbers) = &mut whole.kind {
                piece.apply(numbers);
            }
        },
        |line| match line.kind {
            Kind::Piece(_) | Kind::Newer(_) => SnapshotRole::Summed,
            Kind::Whole(_) => SnapshotRole::Snapshot,
            Kind::Last => SnapshotRole::Other,
        },
    ));

    fn key(&self) -> u64 {
        self.key
    }
    fn retention(&self) -> Retention {
        Retention::Queue
    }
    fn finishes(&self) -> bool {
        matches!(self.kind, Kind::Last)
    }
    fn event(&self) -> Result<Event, EncodeError> {
        Event::json(self)
    }
}

fn is_newer(payload: &[u8]) -> bool {
    payload.windows(7).any(|part| part == b"\"Newer\"")
}

/// A page, which holds the sum of each of its keys, or `None` where it does not know it.
struct Page {
    keys: Keys<u64>,
    reader: Option<Reader<Line>>,
    position: Option<Id>,
    sums: BTreeMap<u64, Option<Vec<u64>>>,
    /// It was sent the end of its only key.
    is_finished: bool,
    transcript: String,
    gaps: usize,
}

impl Page {
    fn open(store: &Store<Line>, keys: Keys<u64>) -> Self {
        let mut page = Self {
            keys,
            reader: None,
            position: None,
            sums: BTreeMap::new(),
            is_finished: false,
            transcript: String::new(),
            gaps: 0,
        };
        page.connect(store);
        page
    }

    fn has(&self, key: u64) -> bool {
        match &self.keys {
            Keys::All => true,
            Keys::One(one) => *one == key,
            Keys::Set(keys) => keys.contains(&key),
        }
    }

    fn connect(&mut self, store: &Store<Line>) {
        if self.is_finished || self.position.is_some_and(|position| store.has_seen_all(&self.keys, position)) {
            return;
        }
        let resume = self.position.map_or(Resume::New, Resume::After);
        if self.position.is_none() {
            // A newcomer knows that a key is new where the process does.
            let knows = |key: &u64| store.shared().lock().log.knows_snapshot(key);
            let keys = (0..ALL_KEYS).filter(|key| self.has(*key));
            self.sums = keys.map(|key| (key, knows(&key).then(Vec::new))).collect();
        }
        writeln!(self.transcript, "    comes with {:?}", self.position.map(|id| id.to_string())).unwrap();
        let options = ReaderOptions { replay: 0, kind: ReaderKind::Subscription, gets_snapshots: true };
        self.reader = Some(Reader::open(store.shared(), self.keys.clone(), resume, options));
    }

    fn detach(&mut self) {
        self.reader = None;
    }

    fn receive(&mut self, line: &Line, id: Option<Id>) {
        let id = id.map(|id| id.to_string());
        writeln!(self.transcript, "    {id:?} {}", serde_json::to_string(line).unwrap()).unwrap();
        let sum = self.sums.entry(line.key).or_default();
        match (&line.kind, sum.as_mut()) {
            (Kind::Whole(numbers), _) => *sum = Some(numbers.clone()),
            (_, Some(sum)) => line.apply(sum),
            (_, None) => {}
        }
    }

    /// Receives the next item. Returns whether there may be more.
    fn read(&mut self) -> bool {
        let Some(reader) = &mut self.reader else { return false };
        match reader.poll(&NOOP_WAKER) {
            ReadStep::Gap(gap) => {
                writeln!(self.transcript, "    gap {:?} {:?}", gap.reason, gap.missed).unwrap();
                self.gaps += 1;
                self.sums.values_mut().for_each(|sum| *sum = None);
            }
            ReadStep::Batch { position, batch, with_ids } => {
                self.position = position.or(self.position);
                reader.record_delivered(batch.entries().len());
                for entry in batch.entries() {
                    self.receive(&entry.message, with_ids.then_some(entry.id));
                    self.position = Some(entry.id).filter(|_| with_ids).or(self.position);
                }
            }
            ReadStep::Snapshot { entry, with_id, .. } => {
                self.receive(&entry.message, with_id.then_some(entry.id));
                self.position = Some(entry.id).filter(|_| with_id).or(self.position);
            }
            ReadStep::AtHead { head, is_first } => {
                self.position = Some(head).filter(|_| is_first).or(self.position);
                return false;
            }
            ReadStep::Finished { position, id, with_id, key } => {
                self.position = Some(id).filter(|_| with_id).or(position).or(self.position);
                writeln!(self.transcript, "    finished {key:?}").unwrap();
                if key.is_none() {
                    self.is_finished = true;
                    self.detach();
                    return false;
                }
            }
            ReadStep::Expired { .. } | ReadStep::Pending => return false,
            ReadStep::Ended(_) => {
                self.detach();
                return false;
            }
        }
        true
    }

    fn read_all(&mut self) {
        while self.read() {}
    }
}

/// The losses of a program's engine.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Losses {
    /// No page is told a gap.
    None,
    /// The engine keeps few entries, and loses none that no snapshot contains.
    TrimmedAlone,
    /// The engine is trimmed and rolled back, and has entries that processes cannot read.
    All,
}

struct World {
    engine: Engine,
    losses: Losses,
    processes: Vec<Process>,
    stores: Vec<Option<Store<Line>>>,
    pages: Vec<Option<Page>>,
    places: [usize; CLIENTS],
    snapshot: Option<Snapshot>,
    number: u64,
    mistake: Option<Mistake>,
    was_restored: bool,
    has_stopped: bool,
    was_removed: bool,
}

impl World {
    fn new(seed: u64, mistake: Option<Mistake>) -> Self {
        let losses = [Losses::None, Losses::TrimmedAlone, Losses::All][usize::try_from(seed % 3).unwrap_or(0)];
        let engine = Engine::new(seed).history(match losses {
            Losses::None => 1000,
            Losses::TrimmedAlone => 6,
            Losses::All => 3,
        });
        let processes = (0..PROCESSES).map(|index| engine.process(format!("process {index}"))).collect();
        Self {
            engine,
            losses,
            processes,
            stores: (0..PROCESSES).map(|_| None).collect(),
            pages: (0..CLIENTS).map(|_| None).collect(),
            places: [0; CLIENTS],
            snapshot: None,
            number: 0,
            mistake,
            was_restored: false,
            has_stopped: false,
            was_removed: false,
        }
    }

    fn line(&mut self, key: u64, is_whole: bool) -> Line {
        self.number += 1;
        let number = self.number;
        let kind = match number % 8 {
            0 if self.losses == Losses::All => Kind::Newer(number),
            1 if is_whole => Kind::Whole(vec![number]),
            _ => Kind::Piece(number),
        };
        Line { key, kind }
    }

    async fn take(&mut self, step: Step) {
        let loses_all = self.losses == Losses::All;
        match step {
            Step::Start { process } => self.start(process).await,
            Step::Stop { process } => self.stop(process),
            Step::Kill { process } => {
                self.processes[process].kill();
                self.stop(process);
            }
            Step::Submit { process, key, is_latest } => self.submit(process, key, is_latest),
            Step::TrySubmit { process, key, is_latest } => {
                let line = self.line(key, is_latest);
                self.stores[process].as_ref().map(|store| store.try_submit(line).ok());
            }
            Step::SubmitLast { process, key } => self.spawn(process, |store| async move {
                store.submit(Line { key, kind: Kind::Last }).await.ok();
            }),
            Step::Finish { process, key } => self.spawn(process, |store| async move {
                store.finish(&key).await.ok();
            }),
            Step::Remove { process, key } => {
                self.was_removed = true;
                self.spawn(process, |store| async move {
                    store.remove(&key).await.ok();
                });
            }
            Step::Connect { client, process, key, .. } => {
                self.connect(client, process, key.map_or(Keys::All, Keys::One));
            }
            Step::Detach { client } => self.pages[client].iter_mut().for_each(Page::detach),
            Step::Read { client, items } => {
                let Some(page) = &mut self.pages[client] else { return };
                for _ in 0..items {
                    page.read();
                }
            }
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
            Step::Trim { kept } if loses_all => self.engine.trim(CHANNEL, kept),
            Step::Snapshot => self.snapshot = Some(self.engine.snapshot()),
            Step::Restore if loses_all => {
                if let Some(snapshot) = &self.snapshot {
                    self.was_restored = true;
                    self.engine.restore(snapshot);
                }
            }
            Step::Foreign { key, is_latest } => {
                let line = self.line(key, is_latest);
                self.engine.append_foreign(CHANNEL, serde_json::to_vec(&line).unwrap());
            }
            Step::OtherVersion { key, is_readable } if loses_all || is_readable => {
                let line = self.line(key, false);
                let payload = if is_readable { serde_json::to_vec(&line).unwrap() } else { b"{}".to_vec() };
                self.engine.append_as("version2", self.number, CHANNEL, key.to_string(), payload);
            }
            Step::Unreadable if loses_all => self.engine.append_unreadable(CHANNEL),
            Step::Whisper { process, key } => self.submit(process, key, false),
            Step::TryWhisper { .. }
            | Step::Forget { .. }
            | Step::Bury { .. }
            | Step::Trim { .. }
            | Step::Restore
            | Step::OtherVersion { .. }
            | Step::Unreadable => {}
        }
    }

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, process: usize, task: impl FnOnce(Store<Line>) -> F) {
        if let Some(store) = self.stores[process].clone() {
            tokio::spawn(task(store));
        }
    }

    fn submit(&mut self, process: usize, key: u64, is_whole: bool) {
        let line = self.line(key, is_whole);
        self.spawn(process, |store| async move {
            store.submit(line).await.ok();
        });
    }

    async fn start(&mut self, process: usize) {
        if self.stores[process].is_some() {
            return;
        }
        let backend = self.processes[process].backend().with_mistake(self.mistake);
        let backend = if process == OLD_PROCESS { backend.unable_to_read(is_newer) } else { backend };
        self.stores[process] = Store::open(backend).await.ok();
    }

    fn stop(&mut self, process: usize) {
        if let Some(store) = self.stores[process].take() {
            store.close();
            self.has_stopped = true;
        }
    }

    fn connect(&mut self, client: usize, process: usize, keys: Keys<u64>) {
        let Some(store) = &self.stores[process] else { return };
        match &mut self.pages[client] {
            Some(page) if page.reader.is_some() => return,
            Some(page) => page.connect(store),
            page => *page = Some(Page::open(store, keys)),
        }
        self.places[client] = process;
    }

    /// Undoes all faults, starts a process that loads what is kept, and checks what all pages hold, and new ones.
    async fn finish(mut self) -> Option<Failure> {
        self.processes.iter().for_each(Process::heal);
        tokio::time::sleep(Duration::from_secs(30)).await;
        self.pages.iter_mut().flatten().for_each(Page::read_all);
        self.stop(0);
        self.start(0).await;
        let mut fresh = Vec::new();
        for (process, store) in self.stores.iter().enumerate() {
            let Some(store) = store else { continue };
            let keys = [Keys::All, Keys::One(0), Keys::One(KEYS)];
            fresh.extend(keys.into_iter().map(|keys| (process, Page::open(store, keys))));
        }
        for _ in 0..8 {
            self.pages.iter_mut().flatten().for_each(Page::read_all);
            for client in 0..CLIENTS {
                for process in 0..PROCESSES {
                    if self.pages[client].is_some() {
                        self.connect(client, (client + process) % PROCESSES, Keys::All);
                    }
                }
            }
            for (_, page) in &mut fresh {
                page.read_all();
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let sums = self.sums();
        let fresh = fresh.iter().map(|(process, page)| (format!("a new page of process {process}"), page));
        // A process that ends before it has noticed that the engine lost an entry takes the knowledge along.
        let may_be_unnoticed = self.was_restored && self.has_stopped;
        let pages = self.pages.iter().enumerate().filter_map(|(client, page)| Some((client, page.as_ref()?)));
        let pages = pages.filter(|_| !may_be_unnoticed);
        let pages = pages.map(|(client, page)| (format!("page {client} of process {}", self.places[client]), page));
        fresh.chain(pages).find_map(|(name, page)| self.find_wrong(&name, page, &sums))
    }

    /// Returns what the engine has, as text.
    fn engine_state(&self) -> String {
        let mut text = String::from("the engine has\n");
        for entry in self.engine.appended(CHANNEL) {
            let body = match &entry.body {
                Body::Message { payload, .. } => String::from_utf8_lossy(payload).into_owned(),
                body => format!("{body:?}"),
            };
            writeln!(text, "    {} {:?} {body}", entry.place.offset, entry.sender).unwrap();
        }
        let (snapshots, place, trimmed) = self.engine.kept_snapshots(CHANNEL);
        for kept in snapshots {
            let payload = String::from_utf8_lossy(&kept.payload).into_owned();
            writeln!(text, "    a snapshot up to {}: {payload}", kept.stamp.offset).unwrap();
        }
        writeln!(text, "    {place:?}\n    {trimmed:?}").unwrap();
        text
    }

    fn find_wrong(&self, name: &str, page: &Page, sums: &BTreeMap<u64, Option<Vec<u64>>>) -> Option<Failure> {
        let failure = |promise: &str, detail: String| {
            let transcript = format!("{name}: {detail}\n{}\n{}", page.transcript, self.engine_state());
            Some(Failure { promise: promise.into(), transcript })
        };
        if self.losses == Losses::None && !self.was_removed && page.gaps > 0 {
            return failure("a gap is told although nothing is lost", String::new());
        }
        if page.is_finished && (self.was_removed || self.was_restored) {
            return None;
        }
        for (key, held) in &page.sums {
            let (sum, mut held) = (&sums[key], held.clone());
            if let Some(held) = held.as_mut().filter(|_| self.engine.was_cut(CHANNEL)) {
                // Of a message that was sent again, a process may have missed the first copy.
                let mut seen = BTreeSet::new();
                held.retain(|number| seen.insert(*number));
            }
            if held.is_some() && held != *sum {
                let detail = format!("of {key} it has {held:?}, and the sum is {sum:?}");
                return failure("a page does not hold the sum of all messages", detail);
            }
            if self.losses == Losses::None && !self.was_removed && held.is_none() {
                return failure("a page does not know a sum although nothing is lost", format!("of {key}"));
            }
        }
        None
    }

    /// Returns the sums of what the engine has taken: `None` where some of it cannot be read by any process.
    fn sums(&self) -> BTreeMap<u64, Option<Vec<u64>>> {
        let mut sums: BTreeMap<u64, Option<Vec<u64>>> = (0..ALL_KEYS).map(|key| (key, Some(Vec::new()))).collect();
        let (mut seen, mut finished) = (BTreeSet::new(), BTreeSet::new());
        // Nothing is added to a key that is finished.
        let lose = |sums: &mut BTreeMap<u64, Option<Vec<u64>>>, finished: &BTreeSet<u64>, key: Option<u64>| {
            let lost = sums.iter_mut().filter(|(other, _)| key.is_none_or(|key| key == **other));
            lost.filter(|(key, _)| !finished.contains(key)).for_each(|(_, sum)| *sum = None);
        };
        for entry in self.engine.appended(CHANNEL) {
            if entry.sender.is_some_and(|sender| !seen.insert(sender)) {
                continue;
            }
            let number = |key: &str| key.parse::<u64>().unwrap();
            match entry.body {
                Body::Message { payload, key, .. } => match serde_json::from_slice::<Line>(&payload) {
                    Ok(line) if finished.contains(&line.key) => {}
                    Ok(line) => match (&line.kind, sums.get_mut(&line.key).unwrap()) {
                        (Kind::Whole(numbers), sum) => *sum = Some(numbers.clone()),
                        (_, Some(sum)) => line.apply(sum),
                        (_, None) => {}
                    },
                    Err(_) => lose(&mut sums, &finished, key.as_deref().map(number)),
                },
                Body::Finish { key } => _ = finished.insert(number(&key)),
                Body::Remove { key } => {
                    finished.remove(&number(&key));
                    sums.insert(number(&key), Some(Vec::new()));
                }
                Body::Unreadable => lose(&mut sums, &finished, None),
                Body::Forget { .. } | Body::Expire { .. } => {}
            }
        }
        sums
    }
}

/// Returns the program of a seed.
fn generate(seed: u64) -> Program {
    let mut program = step::generate(seed);
    // The engine goes back to before it was given snapshots, and loses no entry.
    let at = 10 + usize::try_from(seed % 40).unwrap_or(0);
    program.splice(at..at, [(Step::Snapshot, Pause::Milliseconds(150)), (Step::Restore, Pause::Turns(0))]);
    program
}

fn run(seed: u64, program: &Program, mistake: Option<Mistake>) -> Option<Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(seed, mistake);
        for (step, pause) in program {
            world.take(*step).await;
            match pause {
                // Snapshots are kept after a second, and those of a process that has ended after six more.
                Pause::Milliseconds(milliseconds) => tokio::time::sleep(Duration::from_millis(milliseconds * 10)).await,
                Pause::Turns(_) => pause.wait().await,
            }
        }
        world.finish().await
    })
}

fn find_failure(seeds: impl Iterator<Item = u64>, mistake: Option<Mistake>) -> Option<String> {
    find_failure_in(run, generate, seeds, mistake)
}

#[test]
fn a_page_holds_the_sum_of_all_messages_or_knows_that_it_does_not_whatever_fails() {
    if let Some(failure) = find_failure(seeds(), None) {
        panic!("{failure}");
    }
}

#[test]
fn a_seed_decides_everything() {
    for seed in 1..20 {
        let transcript =
            || run(seed, &generate(seed), Some(Mistake::KeepsAnOlderSnapshot)).map(|failure| failure.transcript);
        assert_eq!(transcript(), transcript(), "seed {seed}");
    }
}

#[test]
fn each_planted_mistake_with_snapshots_is_found() {
    for mistake in [
        Mistake::KeepsAnOlderSnapshot,
        Mistake::LosesASnapshot,
        Mistake::OverlooksLostSnapshots,
        Mistake::BelievesAnOlderPlace,
        Mistake::KeepsRemovedSnapshots,
        Mistake::CoversTheSkipped,
        Mistake::LosesTheSender,
        Mistake::ForgetsTheGap,
    ] {
        find_failure(1..=4 * SEEDS, Some(mistake)).unwrap_or_else(|| panic!("{mistake:?} is not found"));
    }
}
