//! How a log is filled by a backend: payloads become messages, copies are dropped, what is no message is said. What a backend talks is
//! its own affair.

use std::any::type_name;
use std::collections::HashMap;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;

use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::backend::{Heard, Inlet, Taken};
use crate::event::Event;
use crate::id::{Epoch, Offset};
use crate::message::{Message, Retention};
use crate::metrics;
use crate::store::log::Refused;
use crate::store::log::gaps::Cause;
use crate::store::registry::Woken;
use crate::store::shared::{Shared, State};

/// How many lives of processes are remembered for the highest number heard of each.
const LIVES: usize = 10_000;

/// The way into a store. It does not hold the store: who is gone hears nothing.
pub(super) struct Inflow<M: Message> {
    shared: Weak<Shared<M>>,
    decode: fn(&[u8]) -> Result<M, serde_json::Error>,
    heard: Mutex<Before<M::Key>>,
    /// Whether all there was has been told once.
    opened: watch::Sender<bool>,
}

/// What was heard before.
struct Before<K> {
    /// The highest number of each life, and when it was heard last, counted in messages.
    numbers: HashMap<String, (u64, u64)>,
    messages: u64,
    /// The keys with `latest` values by their text, and the fields of each.
    keys: HashMap<String, (K, Vec<String>)>,
}

/// A payload that is a message.
struct Decoded<M: Message> {
    message: M,
    event: Event,
    retention: Retention,
    key: M::Key,
    /// What its key is called, and the field of its latest value.
    named: Option<(String, String)>,
}

/// What a key is called where latest values are kept, and what it is called there together with an event's name.
pub(super) fn names_of(key: &impl Debug, name: Option<&str>) -> (String, String) {
    let key = format!("{key:?}");
    let field = name.map_or_else(|| key.clone(), |name| format!("{key} {name}"));
    (key, field)
}

impl<M: Message> Inflow<M> {
    pub(super) fn new(shared: &Arc<Shared<M>>) -> Self
    where
        M: DeserializeOwned,
    {
        Self {
            shared: Arc::downgrade(shared),
            decode: |payload| serde_json::from_slice(payload),
            heard: Mutex::new(Before { numbers: HashMap::new(), messages: 0, keys: HashMap::new() }),
            opened: watch::Sender::new(false),
        }
    }

    pub(super) fn is_opened(&self) -> bool {
        *self.opened.borrow()
    }

    pub(super) fn opened(&self) -> watch::Receiver<bool> {
        self.opened.subscribe()
    }

    fn heard(&self) -> MutexGuard<'_, Before<M::Key>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a payload is. A panic of the type's own code is no more than a payload that does not fit.
    fn decoded(&self, payload: &[u8]) -> Result<Decoded<M>, String> {
        if payload.len() > M::MEMORY {
            return Err(format!("{} bytes, more than the store's memory", payload.len()));
        }
        let decoded = catch_unwind(AssertUnwindSafe(|| {
            let message = (self.decode)(payload).map_err(|error| misfit(&error))?;
            let event = message.event().map_err(|error| error.to_string())?;
            let retention = if M::HAS_QUEUE { message.retention() } else { Retention::Latest };
            let key = message.key();
            let latest = retention == Retention::Latest;
            let named = latest.then(|| names_of(&key, event.name()));
            Ok(Decoded { message, event, retention, key, named })
        }));
        decoded.unwrap_or_else(|_| Err("the type's own code panicked".into()))
    }

    /// Changes the store, and wakes all its readers when that says so.
    fn turn(&self, change: impl FnOnce(&mut State<M>) -> bool) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut state = shared.lock();
        let waiting = if change(&mut state) { state.readers.take_all_waiting() } else { Vec::new() };
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    fn append(&self, shared: &Shared<M>, offset: Option<Offset>, decoded: Decoded<M>) -> (Offset, Taken) {
        let Decoded { message, event, retention, key, named } = decoded;
        let named = named.map(|(text, field)| (text, field, key.clone()));
        let mut state = shared.lock();
        let offset = offset.unwrap_or_else(|| state.log.next());
        if state.closed || offset <= state.log.head().offset {
            // Nobody reads it any more, or it is no news.
            return (offset, Taken::Copy);
        }
        let appended = state.log.append(offset, key, Arc::new(message), event, retention, shared.copies());
        let woken = match &appended {
            Ok(appended) => state.hand(&appended.entry),
            Err(_) => Woken::default(),
        };
        state.log.reach(offset);
        let arrived = state.readers.take_arrived(offset);
        drop(state);
        // Wake and drop after unlocking, as a submit does.
        woken.wake();
        arrived.into_iter().for_each(Waker::wake);
        match appended {
            Ok(appended) => drop(appended.displaced),
            Err(refused) => {
                let reason = match refused {
                    Refused::Full => "the latest values alone fill the store's memory",
                    Refused::TooLarge { .. } => "more than the store's memory",
                };
                say_unfit::<M>(offset, reason);
                return (offset, Taken::Unfit);
            }
        }
        let Some((text, field, key)) = named else { return (offset, Taken::Queue) };
        self.note_field(text, &field, key);
        (offset, Taken::Latest { field })
    }

    /// Remembers what a key with a latest value is called, so that it can be forgotten by that name.
    fn note_field(&self, text: String, field: &str, key: M::Key) {
        let mut heard = self.heard();
        let (_, fields) = heard.keys.entry(text).or_insert_with(|| (key, Vec::new()));
        if !fields.iter().any(|known| known == field) {
            fields.push(field.to_owned());
        }
    }
}

impl<K> Before<K> {
    /// Whether this number of this life was heard before.
    fn is_copy(&mut self, by: &str, number: u64) -> bool {
        self.messages += 1;
        let now = self.messages;
        if let Some((highest, last)) = self.numbers.get_mut(by) {
            *last = now;
            let copy = number <= *highest;
            *highest = number.max(*highest);
            return copy;
        }
        if self.numbers.len() >= LIVES {
            // The older half has long been silent.
            let mut times: Vec<u64> = self.numbers.values().map(|(_, last)| *last).collect();
            let (_, median, _) = times.select_nth_unstable(LIVES / 2);
            let median = *median;
            self.numbers.retain(|_, (_, last)| *last > median);
        }
        self.numbers.insert(by.to_owned(), (number, now));
        false
    }
}

/// Why a payload is no message, in words that quote nothing of it: it may be anybody's.
fn misfit(error: &serde_json::Error) -> String {
    let what = if error.is_data() { "JSON of another shape" } else { "not JSON" };
    format!("{what}, line {} column {}", error.line(), error.column())
}

fn say_unfit<M: Message>(offset: Offset, reason: &str) {
    tracing::warn!(target: "tornadose", channel = M::CHANNEL, entry = %offset, reason, "an entry is no message");
    metrics::unfit(M::CHANNEL);
}

impl<M: Message> Inlet for Inflow<M> {
    fn channel(&self) -> &'static str {
        M::CHANNEL
    }

    fn type_name(&self) -> &'static str {
        let name = type_name::<M>();
        let path = name.split('<').next().unwrap_or(name);
        path.rsplit("::").next().unwrap_or(path)
    }

    fn memory(&self) -> usize {
        M::MEMORY
    }

    fn begin(&self, epoch: Epoch, floor: Offset) {
        let mut dropped = Vec::new();
        self.turn(|state| {
            // Readers come back when all is told: nothing of what is told now is live.
            state.loading = true;
            dropped = state.log.begin(epoch, floor);
            false
        });
        drop(dropped);
        let mut heard = self.heard();
        let keys = std::mem::take(&mut heard.keys);
        heard.numbers.clear();
        drop(heard);
        drop(keys);
    }

    fn entry(&self, offset: Option<Offset>, Heard { payload, from }: Heard<'_>) -> (Offset, Taken) {
        let Some(shared) = self.shared.upgrade() else { return (offset.unwrap_or_default(), Taken::Copy) };
        if let Some((by, number)) = from
            && self.heard().is_copy(by, number)
        {
            if let Some(offset) = offset {
                self.reach(offset);
            }
            return (offset.unwrap_or_default(), Taken::Copy);
        }
        match self.decoded(payload) {
            Ok(decoded) => self.append(&shared, offset, decoded),
            Err(reason) => {
                let offset = offset.unwrap_or_else(|| shared.lock().log.next());
                self.unfit(offset, &reason);
                (offset, Taken::Unfit)
            }
        }
    }

    fn unfit(&self, offset: Offset, reason: &str) {
        self.reach(offset);
        say_unfit::<M>(offset, reason);
    }

    fn forget(&self, offset: Option<Offset>, key: &str) -> Vec<String> {
        let forgotten = self.heard().keys.remove(key);
        if let Some(offset) = offset {
            self.reach(offset);
        }
        let Some((key, fields)) = forgotten else { return Vec::new() };
        if let Some(shared) = self.shared.upgrade() {
            let dropped = shared.lock().forget(&key);
            drop(dropped);
        }
        fields
    }

    fn reach(&self, offset: Offset) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut state = shared.lock();
        let arrived = if state.log.reach(offset) { state.readers.take_arrived(offset) } else { Vec::new() };
        drop(state);
        arrived.into_iter().for_each(Waker::wake);
    }

    fn hole(&self, missed: Option<u64>) {
        tracing::warn!(target: "tornadose", channel = M::CHANNEL, missed, "entries were trimmed before they were read");
        self.turn(|state| {
            state.log.breach(Cause::Trimmed, missed);
            true
        });
    }

    fn outage(&self) {
        tracing::warn!(target: "tornadose", channel = M::CHANNEL, "what was sent for a while was not heard");
        self.turn(|state| {
            // It takes a place of its own, above all that was heard before.
            state.log.breach(Cause::Outage, None);
            let place = state.log.next();
            state.log.reach(place)
        });
    }

    fn lost(&self, why: &str) {
        let mut changed = false;
        self.turn(|state| {
            changed = std::mem::replace(&mut state.reachable, false);
            changed
        });
        if changed {
            tracing::warn!(target: "tornadose", channel = M::CHANNEL, why, "backend is lost");
        }
    }

    fn caught_up(&self) {
        let mut changed = false;
        self.turn(|state| {
            changed = !std::mem::replace(&mut state.reachable, true);
            std::mem::replace(&mut state.loading, false) || changed
        });
        if changed {
            tracing::info!(target: "tornadose", channel = M::CHANNEL, "backend is reached");
        }
        self.opened.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::event::error::EncodeError;
    use crate::message::Keys;
    use crate::store::reader::mailbox::NOBODY;
    use crate::store::reader::{Gap, GapReason, Reader, Seen, Step, Terms};

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

    /// What happened to a log, in order.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Item {
        Note { key: u64, number: u64 },
        Gap(GapReason, Option<u64>),
        Life,
    }

    fn below(chance: &mut u64, bound: u64) -> u64 {
        *chance ^= *chance << 13;
        *chance ^= *chance >> 7;
        *chance ^= *chance << 17;
        *chance % bound
    }

    /// A reader, and how much of what happened it has heard of.
    struct Client {
        keys: Keys<u64>,
        reader: Reader<Note>,
        heard: usize,
        delivered: u64,
    }

    impl Client {
        /// What it is to be told, of what has happened since.
        fn expected(&self, history: &[Item]) -> Vec<Item> {
            let news = &history[self.heard..];
            let all = matches!(self.keys, Keys::All);
            let (mut expected, mut rest, mut snapshot) = (Vec::new(), news, false);
            if let Some(life) = news.iter().rposition(|item| *item == Item::Life) {
                expected.push(Item::Gap(GapReason::Restarted, None));
                // What follows that is a snapshot of what is kept by now, and says no more of what is not.
                (rest, snapshot) = (&news[life + 1..], true);
            }
            expected.extend(rest.iter().filter_map(|item| match *item {
                Item::Gap(..) if snapshot => None,
                Item::Gap(reason, missed) => Some(Item::Gap(reason, missed.filter(|_| all))),
                Item::Note { key, .. } => match &self.keys {
                    Keys::All => Some(*item),
                    Keys::One(one) => (*one == key).then_some(*item),
                    Keys::Set(set) => set.contains(&key).then_some(*item),
                },
                Item::Life => None,
            }));
            expected
        }

        fn read(&mut self, history: &[Item]) {
            let mut told = Vec::new();
            loop {
                match self.reader.step(&NOBODY) {
                    Step::Gap(Gap { reason, missed }) => told.push(Item::Gap(reason, missed)),
                    Step::Run { run, .. } => {
                        for entry in run.entries() {
                            let Note { key, number } = *entry.message;
                            told.push(Item::Note { key, number });
                            self.reader.delivers(1);
                            self.delivered += 1;
                        }
                    }
                    Step::Wait { .. } => break,
                    Step::Hold | Step::Ended(_) => panic!("{told:?}"),
                }
            }
            assert_eq!(told, self.expected(history));
            self.heard = history.len();
            let balance = self.reader.balance();
            assert_eq!((balance.delivered, balance.unread), (self.delivered, 0));
            assert_eq!(balance.owed, balance.delivered + balance.missed, "{balance:?}");
        }
    }

    #[test]
    fn every_breach_and_new_life_is_told_at_its_place_and_ledgers_balance() {
        for seed in 1..500_u64 {
            let mut chance = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let shared = Arc::new(Shared::<Note>::new(None));
            let inflow = Inflow::new(&shared);
            let begin = || {
                inflow.begin(Epoch::fresh(), Offset::START);
                inflow.caught_up();
            };
            begin();
            let (mut history, mut clients, mut number) = (Vec::new(), Vec::<Client>::new(), 0);
            for _ in 0..100 {
                match below(&mut chance, 12) {
                    0 => {
                        let keys = match below(&mut chance, 3) {
                            0 => Keys::All,
                            1 => Keys::One(below(&mut chance, 3)),
                            _ => Keys::Set(vec![0, 2]),
                        };
                        let terms = Terms { replay: 0, connection: false };
                        let reader = Reader::open(&shared, keys.clone(), Seen::Nothing, terms);
                        clients.push(Client { keys, reader, heard: history.len(), delivered: 0 });
                    }
                    1 => {
                        inflow.hole(Some(number));
                        history.push(Item::Gap(GapReason::Trimmed, Some(number)));
                    }
                    2 => {
                        inflow.outage();
                        history.push(Item::Gap(GapReason::Outage, None));
                    }
                    3 if below(&mut chance, 4) == 0 => {
                        begin();
                        history.push(Item::Life);
                    }
                    4..9 => {
                        number += 1;
                        let key = below(&mut chance, 3);
                        let payload = serde_json::to_vec(&Note { key, number }).unwrap();
                        inflow.entry(None, Heard { payload: &payload, from: None });
                        history.push(Item::Note { key, number });
                    }
                    _ => {
                        let count = clients.len().max(1) as u64;
                        let which = usize::try_from(below(&mut chance, count)).unwrap();
                        clients.get_mut(which).into_iter().for_each(|client| client.read(&history));
                    }
                }
            }
            for client in &mut clients {
                client.read(&history);
            }
        }
    }

    #[test]
    fn a_flood_of_lives_is_remembered_up_to_a_bound() {
        let mut before = Before::<u64> { numbers: HashMap::new(), messages: 0, keys: HashMap::new() };
        for life in 0..50_000 {
            assert!(!before.is_copy("here all the time", life + 1));
            assert!(!before.is_copy(&life.to_string(), 1));
            assert!(before.numbers.len() <= LIVES);
        }
        assert!(before.is_copy("here all the time", 50_000));
        assert!(before.is_copy("49999", 1));
    }
}
