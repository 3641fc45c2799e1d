//! Readers of a store that a backend fills, against a history of what was ingested.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::Ingest;
use crate::backend::engine::Features;
use crate::backend::incoming::{IncomingEntry, LogSink};
use crate::backend::outbox::Outbox;
use crate::event::Event;
use crate::event::error::EncodeError;
use crate::id::{Epoch, Offset};
use crate::message::{Keys, Message, Retention};
use crate::store::gap::{Gap, GapReason};
use crate::store::limits::Limits;
use crate::store::reader::mailbox::NOOP_WAKER;
use crate::store::reader::resume::Resume;
use crate::store::reader::{ReadStep, Reader, ReaderOptions};
use crate::store::registry::kind::ReaderKind;
use crate::store::shared::{BackendHandle, Shared};

#[derive(Serialize, Deserialize)]
struct Note {
    key: u64,
    number: u64,
}

impl Message for Note {
    type Key = u64;
    const CAPACITY: usize = 100_000;
    const HAS_LATEST: bool = false;
    const CHANNEL: &'static str = "notes";
    fn key(&self) -> u64 {
        self.key
    }
    fn retention(&self) -> Retention {
        Retention::Queue
    }
    fn event(&self) -> Result<Event, EncodeError> {
        Event::json(self)
    }
}

/// An event in the history of a log.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Item {
    Note { key: u64, number: u64 },
    Gap(GapReason, Option<u64>),
    Restart,
}

/// A reader, and how much of the history it has read.
struct Client {
    keys: Keys<u64>,
    reader: Reader<Note>,
    read: usize,
    delivered: u64,
}

impl Client {
    /// Returns what it has to read next.
    fn expected(&self, history: &[Item]) -> Vec<Item> {
        let mut unread = &history[self.read..];
        let reads_all = matches!(self.keys, Keys::All);
        let (mut expected, mut has_restarted) = (Vec::new(), false);
        if let Some(restart) = unread.iter().rposition(|item| *item == Item::Restart) {
            expected.push(Item::Gap(GapReason::Restarted, None));
            // The messages that are kept follow, and no gap between them.
            (unread, has_restarted) = (&unread[restart + 1..], true);
        }
        expected.extend(unread.iter().filter_map(|item| match *item {
            Item::Gap(..) if has_restarted => None,
            Item::Gap(reason, missed) => Some(Item::Gap(reason, missed.filter(|_| reads_all))),
            Item::Note { key, .. } => match &self.keys {
                Keys::All => Some(*item),
                Keys::One(one) => (*one == key).then_some(*item),
                Keys::Set(set) => set.contains(&key).then_some(*item),
            },
            Item::Restart => None,
        }));
        expected
    }

    fn check(&mut self, history: &[Item]) {
        let mut steps = Vec::new();
        loop {
            match self.reader.poll(&NOOP_WAKER) {
                ReadStep::Gap(Gap { reason, missed }) => steps.push(Item::Gap(reason, missed)),
                ReadStep::Batch { batch, .. } => {
                    for entry in batch.entries() {
                        let Note { key, number } = *entry.message;
                        steps.push(Item::Note { key, number });
                        self.reader.record_delivered(1);
                        self.delivered += 1;
                    }
                }
                ReadStep::AtHead { .. } => break,
                ReadStep::Pending
                | ReadStep::Finished { .. }
                | ReadStep::Expired { .. }
                | ReadStep::Snapshot { .. }
                | ReadStep::Ended(_) => {
                    panic!("{steps:?}")
                }
            }
        }
        assert_eq!(steps, self.expected(history));
        self.read = history.len();
        let balance = self.reader.balance();
        assert_eq!((balance.delivered, balance.unread), (self.delivered, 0));
        assert_eq!(balance.owed, balance.delivered + balance.missed, "{balance:?}");
    }
}

#[test]
fn every_gap_and_restart_is_reported_at_its_offset_and_ledgers_balance() {
    for seed in 1..500_u64 {
        let mut random = Rng::with_seed(seed);
        let limits = Limits::of::<Note>();
        let outbox = Arc::new(Outbox::new(limits.memory, Note::CHANNEL, None));
        let backend = BackendHandle::new(outbox, Duration::from_secs(3), limits, Features::NONE);
        let shared = Arc::new(Shared::<Note>::new(limits, Some(backend)));
        let ingest = Ingest::new(&shared);
        let begin = || {
            ingest.reset(Epoch::fresh(), Offset::START);
            ingest.caught_up();
        };
        begin();
        let (mut history, mut clients, mut number) = (Vec::new(), Vec::<Client>::new(), 0);
        for _ in 0..100 {
            match random.u64(..12) {
                0 => {
                    let keys = match random.u64(..3) {
                        0 => Keys::All,
                        1 => Keys::One(random.u64(..3)),
                        _ => Keys::Set(vec![0, 2]),
                    };
                    let options = ReaderOptions { replay: 0, kind: ReaderKind::Subscription, gets_snapshots: true };
                    let reader = Reader::open(&shared, keys.clone(), Resume::New, options);
                    clients.push(Client { keys, reader, read: history.len(), delivered: 0 });
                }
                1 => {
                    ingest.report_trimmed(Some(number));
                    history.push(Item::Gap(GapReason::Trimmed, Some(number)));
                }
                2 => {
                    ingest.report_outage();
                    history.push(Item::Gap(GapReason::Outage, None));
                }
                3 if random.u64(..4) == 0 => {
                    begin();
                    history.push(Item::Restart);
                }
                3 => {
                    ingest.ingest(None, IncomingEntry::new(b"{}"));
                    history.push(Item::Gap(GapReason::Unreadable, Some(1)));
                }
                4..9 => {
                    number += 1;
                    let key = random.u64(..3);
                    let payload = serde_json::to_vec(&Note { key, number }).unwrap();
                    ingest.ingest(None, IncomingEntry::new(&payload));
                    history.push(Item::Note { key, number });
                }
                _ => {
                    let count = clients.len().max(1);
                    let which = random.usize(..count);
                    clients.get_mut(which).into_iter().for_each(|client| client.check(&history));
                }
            }
        }
        for client in &mut clients {
            client.check(&history);
        }
    }
}
