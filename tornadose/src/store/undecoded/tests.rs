//! A store that keeps entries as bytes, against one that decodes each when it arrives.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::backend::engine::Features;
use crate::backend::incoming::{IncomingEntry, Ingested, LogSink};
use crate::backend::outbox::Outbox;
use crate::event::Event;
use crate::event::error::EncodeError;
use crate::id::{Epoch, Id, Offset};
use crate::message::{Keys, Message, Retention};
use crate::store::gap::{Gap, GapReason};
use crate::store::ingest::Ingest;
use crate::store::limits::{ENTRY_OVERHEAD, Limits};
use crate::store::log::cursor::ResumeOutcome;
use crate::store::log::key::KeySelection;
use crate::store::reader::mailbox::NOOP_WAKER;
use crate::store::reader::resume::Resume;
use crate::store::reader::{ReadStep, Reader, ReaderOptions};
use crate::store::registry::kind::ReaderKind;
use crate::store::shared::{BackendHandle, Shared};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Note {
    key: u64,
    number: u64,
    is_latest: bool,
}

impl Message for Note {
    type Key = u64;
    const CHANNEL: &'static str = "notes";
    fn key(&self) -> u64 {
        self.key
    }
    fn retention(&self) -> Retention {
        if self.is_latest { Retention::Latest } else { Retention::Queue }
    }
    fn event(&self) -> Result<Event, EncodeError> {
        Event::json(self)
    }
}

const SENDER: &str = "a1b2c3d4";

/// A store and what fills it. An eager one is not passed the keys beside the entries.
struct Side {
    shared: Arc<Shared<Note>>,
    ingest: Ingest<Note>,
    is_lazy: bool,
    clients: Vec<Option<Reader<Note>>>,
}

impl Side {
    fn new(limits: Limits, is_lazy: bool) -> Self {
        let outbox = Arc::new(Outbox::new(limits.memory, Note::CHANNEL, None));
        let backend = BackendHandle::new(outbox, Duration::from_secs(3), limits, Features::NONE);
        let shared = Arc::new(Shared::<Note>::new(limits, Some(backend)));
        let ingest = Ingest::new(&shared);
        Self { shared, ingest, is_lazy, clients: (0..CLIENTS).map(|_| None).collect() }
    }

    fn begin(&self, epoch: Epoch) {
        self.ingest.reset(epoch, Offset::START);
        self.ingest.caught_up();
    }

    /// Ingests what a process of ours has sent, with this key beside it.
    fn ingest(&self, offset: Offset, number: u64, key: &str, payload: &[u8]) -> Ingested {
        let entry = IncomingEntry::new(payload).with_sender(SENDER, number);
        self.ingest.ingest(Some(offset), if self.is_lazy { entry.with_key(key) } else { entry }).1
    }

    fn ingest_note(&self, offset: Offset, note: &Note) -> Ingested {
        let payload = serde_json::to_vec(note).unwrap();
        if note.is_latest {
            return self.ingest.ingest(Some(offset), IncomingEntry::new(&payload).with_sender(SENDER, note.number)).1;
        }
        self.ingest(offset, note.number, &note.key.to_string(), &payload)
    }

    fn open(&self, keys: Keys<u64>, resume: Resume, replay: usize) -> Reader<Note> {
        Reader::open(
            &self.shared,
            keys,
            resume,
            ReaderOptions { replay, kind: ReaderKind::Subscription, gets_snapshots: true },
        )
    }

    fn bytes(&self) -> usize {
        self.shared.lock().log.bytes()
    }

    fn undecoded(&self) -> usize {
        self.shared.lock().log.undecoded_count()
    }
}

/// Takes one step of a reader. Returns it as text, with the newest id that the client has then.
fn step(reader: &mut Reader<Note>) -> (String, Option<Id>) {
    match reader.poll(&NOOP_WAKER) {
        ReadStep::Gap(Gap { reason, missed }) => (format!("gap {reason} {missed:?}"), None),
        ReadStep::Batch { position, batch, with_ids } => {
            reader.record_delivered(batch.entries().len());
            let notes: Vec<_> = batch.entries().iter().map(|entry| (entry.id, (*entry.message).clone())).collect();
            let newest = notes.last().map(|(id, _)| *id).filter(|_| with_ids).or(position);
            (format!("{position:?} {with_ids} {notes:?}"), newest)
        }
        ReadStep::AtHead { head, is_first } => (format!("at {head} {is_first}"), Some(head)),
        ReadStep::Pending => ("pending".into(), None),
        ReadStep::Finished { id, .. } | ReadStep::Expired { id, .. } => panic!("finished or expired at {id}"),
        ReadStep::Snapshot { .. } => panic!("a snapshot"),
        ReadStep::Ended(reason) => panic!("{reason:?}"),
    }
}

const CLIENTS: usize = 4;

/// An eager and a lazy store to which the same happens.
struct Pair {
    sides: [Side; 2],
    seed: u64,
    random: Rng,
    keys: u64,
    /// The number of the sender's newest message.
    number: u64,
    /// The newest id of each client.
    ids: [Option<Id>; CLIENTS],
}

impl Pair {
    fn new(seed: u64, limits: Limits, keys: u64) -> Self {
        let sides = [Side::new(limits, false), Side::new(limits, true)];
        Self { sides, seed, random: Rng::with_seed(seed), keys, number: 0, ids: [None; CLIENTS] }
    }

    /// Begins an epoch, in which the sender's numbers begin again.
    fn begin(&mut self) {
        let epoch = Epoch::fresh();
        for side in &self.sides {
            side.begin(epoch);
        }
        self.number = 0;
    }

    /// Ingests a message: the sender's next, a copy of its newest, or one of another program.
    fn ingest(&mut self, offset: Offset) {
        let kind = self.random.u64(..12);
        self.number += u64::from(kind > 1);
        let is_latest = kind > 1 && self.random.u64(..8) == 0;
        let note = Note { key: self.random.u64(..self.keys), number: self.number, is_latest };
        let payload = serde_json::to_vec(&note).unwrap();
        let outcomes = self.sides.each_ref().map(|side| match kind {
            0 => side.ingest.ingest(Some(offset), IncomingEntry::new(&payload)).1,
            _ => side.ingest_note(offset, &note),
        });
        assert_eq!(outcomes[0], outcomes[1], "seed {}", self.seed);
    }

    /// Loses or drops something.
    fn disturb(&mut self, offset: Offset) {
        let kind = self.random.u64(..6);
        if kind == 0 {
            return self.begin();
        }
        for Side { ingest, .. } in &self.sides {
            match kind {
                1 => ingest.report_trimmed(Some(1)),
                2 => ingest.report_outage(),
                3 => ingest.skip_unreadable(offset, "test"),
                4 => drop(ingest.forget(Some(offset), "1")),
                _ => ingest.advance_to(offset),
            }
        }
    }

    /// Opens a reader in the place of a client, or lets it resume.
    fn connect(&mut self, client: usize) {
        let keys = match self.random.u64(..8) {
            0 => Keys::All,
            1 | 2 => Keys::Set((0..self.keys).filter(|_| self.random.bool()).collect()),
            _ => Keys::One(self.random.u64(..self.keys)),
        };
        let resume = self.ids[client].filter(|_| self.random.u64(..4) > 0).map_or(Resume::New, Resume::After);
        let replay = self.random.usize(..4);
        for side in &mut self.sides {
            side.clients[client] = Some(side.open(keys.clone(), resume, replay));
        }
    }

    /// Takes a step of a client, which is the same on both sides. Returns it.
    fn read(&mut self, client: usize) -> Option<String> {
        let [eager, lazy] = &mut self.sides;
        let (eager, lazy) = (eager.clients[client].as_mut()?, lazy.clients[client].as_mut()?);
        let (found, id) = step(eager);
        assert_eq!(step(lazy).0, found, "seed {}", self.seed);
        assert_eq!(eager.balance(), lazy.balance(), "seed {}", self.seed);
        self.ids[client] = id.or(self.ids[client]);
        Some(found)
    }
}

/// Runs one random program on an eager and a lazy store with these bounds. Returns how many entries were undecoded at
/// some moment, and how often a reader was told of trimmed messages.
fn check_program(seed: u64, limits: Limits, keys: u64) -> (usize, usize) {
    let mut pair = Pair::new(seed, limits, keys);
    let (mut newest, mut undecoded, mut trimmed) = (0, 0, 0);
    pair.begin();
    for _ in 0..300 {
        newest += 1 + pair.random.u64(..2);
        let offset = Offset::new(7, newest);
        let client = pair.random.usize(..CLIENTS);
        match pair.random.u64(..40) {
            0..24 => pair.ingest(offset),
            24 => pair.disturb(offset),
            25..28 => pair.connect(client),
            28..31 => pair.sides.iter_mut().for_each(|side| side.clients[client] = None),
            _ => {
                let step = pair.read(client).unwrap_or_default();
                trimmed += usize::from(step.contains("trimmed") || step.contains("lagged"));
            }
        }
        let [eager, lazy] = &pair.sides;
        assert_eq!((eager.bytes(), eager.undecoded()), (lazy.bytes(), 0), "seed {seed}");
        undecoded = undecoded.max(lazy.undecoded());
    }
    (undecoded, trimmed)
}

#[test]
fn no_reader_can_tell_whether_entries_were_decoded_when_they_arrived() {
    let (mut undecoded, mut trimmed) = (0, 0);
    for seed in 1..200 {
        let limits = Limits::of::<Note>();
        for (limits, keys) in [
            (limits.with_capacity(3), 4),
            // What is kept of a few keys, and of the idle ones.
            (Limits { memory: 20_000, ..limits }.with_capacity(3), 30),
            (Limits { memory: 8000, ..limits }, 3),
        ] {
            let found = check_program(seed, limits, keys);
            (undecoded, trimmed) = (undecoded + found.0, trimmed + found.1);
        }
    }
    assert!(undecoded > 1000 && trimmed > 1000, "{undecoded} {trimmed}");
}

fn note(key: u64, number: u64) -> Note {
    Note { key, number, is_latest: false }
}

fn at(seq: u64) -> Offset {
    Offset::new(7, seq)
}

/// A lazy store that has decoded the first entry of the sender, of the key 0.
fn lazy_side(limits: Limits) -> Side {
    let side = Side::new(limits, true);
    side.begin(Epoch::fresh());
    side.ingest_note(at(1), &note(0, 1));
    assert_eq!(side.undecoded(), 0);
    side
}

/// Reads to the end. Returns the gaps, and the numbers of the messages.
fn read_all(reader: &mut Reader<Note>) -> (Vec<(GapReason, Option<u64>)>, Vec<u64>) {
    let (mut gaps, mut numbers) = (Vec::new(), Vec::new());
    loop {
        match reader.poll(&NOOP_WAKER) {
            ReadStep::Gap(gap) => gaps.push((gap.reason, gap.missed)),
            ReadStep::Batch { batch, .. } => numbers.extend(batch.entries().iter().map(|entry| entry.message.number)),
            ReadStep::AtHead { .. } => return (gaps, numbers),
            ReadStep::Pending
            | ReadStep::Finished { .. }
            | ReadStep::Expired { .. }
            | ReadStep::Snapshot { .. }
            | ReadStep::Ended(_) => {
                panic!("{numbers:?}")
            }
        }
    }
}

fn id_at(side: &Side, seq: u64) -> Id {
    side.shared.lock().log.id(at(seq))
}

#[test]
fn a_client_that_returns_to_a_key_is_told_of_trimmed_messages_of_that_key_alone() {
    let side = lazy_side(Limits::of::<Note>().with_capacity(2));
    // All of key 7 that is trimmed later precedes what the client has read.
    for number in 2..6 {
        side.ingest_note(at(number), &note(7, number));
    }
    let read = id_at(&side, 5);
    // Other keys are trimmed, before and after that.
    for number in 6..40 {
        side.ingest_note(at(number), &note(number % 3, number));
    }
    let mut client = side.open(Keys::One(7), Resume::After(read), 0);
    assert!(matches!(client.resume_outcome(), Some(ResumeOutcome::Known)));
    assert_eq!(read_all(&mut client), (vec![], vec![]));
    drop(client);
    // Of the next three, one is trimmed.
    for number in 40..43 {
        side.ingest_note(at(number), &note(7, number));
    }
    assert_eq!(side.undecoded(), 8);
    let mut client = side.open(Keys::One(7), Resume::After(read), 0);
    assert_eq!(read_all(&mut client), (vec![(GapReason::Trimmed, None)], vec![41, 42]));
}

#[test]
fn an_undecoded_entry_counts_until_memory_trims_it_and_its_key_is_remembered() {
    let limits = Limits { memory: 40 * ENTRY_OVERHEAD, ..Limits::of::<Note>() };
    let side = lazy_side(limits);
    for number in 2..200 {
        side.ingest_note(at(number), &note(number, number));
        assert!(side.bytes() <= limits.memory);
    }
    assert!((10..20).contains(&side.undecoded()), "{}", side.undecoded());
    let oldest = side.shared.lock().log.undecoded_of(&KeySelection::All, 1)[0].offset;
    // A key of which everything was trimmed, not long ago.
    let trimmed = oldest.minor() - 2;
    let client = side.open(Keys::One(trimmed), Resume::After(id_at(&side, trimmed)), 0);
    assert!(matches!(client.resume_outcome(), Some(ResumeOutcome::Known)));
    let client = side.open(Keys::One(trimmed), Resume::After(id_at(&side, trimmed - 1)), 0);
    assert!(matches!(client.resume_outcome(), Some(ResumeOutcome::Trimmed)));
}

#[test]
fn an_undecoded_entry_that_cannot_be_read_is_a_gap_for_clients_from_before_it() {
    let side = lazy_side(Limits::of::<Note>());
    let mut other = side.open(Keys::One(3), Resume::New, 0);
    assert_eq!(read_all(&mut other), (vec![], vec![]));
    side.ingest_note(at(2), &note(7, 2));
    assert_eq!(side.ingest(at(3), 3, "7", b"{}"), Ingested::Queue);
    side.ingest_note(at(4), &note(7, 4));
    side.ingest_note(at(5), &note(3, 5));
    assert_eq!((side.undecoded(), read_all(&mut other)), (3, (vec![], vec![5])));

    let unreadable = vec![(GapReason::Unreadable, None)];
    let mut before = side.open(Keys::One(7), Resume::After(id_at(&side, 2)), 0);
    assert_eq!(side.undecoded(), 0);
    assert_eq!(read_all(&mut before), (unreadable.clone(), vec![4]));
    let mut after = side.open(Keys::One(7), Resume::After(id_at(&side, 3)), 0);
    assert_eq!(read_all(&mut after), (vec![], vec![4]));
    // As for an entry that is decoded when it arrives: every reader is told.
    assert_eq!(read_all(&mut other), (unreadable, vec![]));
    assert_eq!(read_all(&mut other), (vec![], vec![]));
    let mut new = side.open(Keys::One(7), Resume::New, 9);
    assert_eq!(read_all(&mut new), (vec![], vec![2, 4]));
}

#[test]
fn a_message_of_another_key_than_the_one_beside_it_is_not_lost_silently() {
    let side = lazy_side(Limits::of::<Note>());
    let mut reader = side.open(Keys::One(3), Resume::New, 0);
    assert_eq!(read_all(&mut reader), (vec![], vec![]));
    let payload = serde_json::to_vec(&note(3, 2)).unwrap();
    side.ingest(at(2), 2, "7", &payload);
    assert_eq!(read_all(&mut reader), (vec![], vec![]));
    let mut of_text = side.open(Keys::One(7), Resume::After(id_at(&side, 1)), 0);
    assert_eq!(read_all(&mut of_text), (vec![(GapReason::Unreadable, None)], vec![]));
    assert_eq!(read_all(&mut reader), (vec![(GapReason::Unreadable, None)], vec![]));
    // Where the key beside it has a reader, it is delivered by its own key.
    let payload = serde_json::to_vec(&note(3, 3)).unwrap();
    side.ingest(at(3), 3, "7", &payload);
    assert_eq!((read_all(&mut reader), read_all(&mut of_text)), ((vec![], vec![3]), (vec![], vec![])));
}

#[test]
fn a_sender_whose_keys_have_other_json_has_all_its_entries_decoded() {
    let side = Side::new(Limits::of::<Note>(), true);
    side.begin(Epoch::fresh());
    let mut reader = side.open(Keys::One(3), Resume::New, 0);
    for number in 1..5 {
        let payload = serde_json::to_vec(&note(3, number)).unwrap();
        side.ingest(at(number), number, r#"{"key":3}"#, &payload);
    }
    assert_eq!((side.undecoded(), read_all(&mut reader)), (0, (vec![], vec![1, 2, 3, 4])));
}
