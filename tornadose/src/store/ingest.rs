//! Fills a log from a backend: payloads become messages, duplicates are dropped, and entries that are not messages
//! are reported.

mod dedup;

use std::any::type_name;
use std::collections::HashMap;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;

use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::backend::incoming::{IncomingEntry, Ingested, LogSink};
use crate::event::Event;
use crate::id::{Epoch, Offset};
use crate::message::{Message, Retention};
use crate::metrics;
use crate::store::gap::{Gap, GapReason};
use crate::store::ingest::dedup::{Arrival, Dedup};
use crate::store::limits::Limits;
use crate::store::log::AppendError;
use crate::store::registry::WakeList;
use crate::store::shared::{Shared, State};

/// The way from a backend into a store. It holds the store weakly: entries for a dropped store are discarded.
pub(super) struct Ingest<M: Message> {
    shared: Weak<Shared<M>>,
    limits: Limits,
    decode: fn(&[u8]) -> Result<M, serde_json::Error>,
    history: Mutex<History<M::Key>>,
    /// Whether everything that the backend has kept was ingested once.
    opened: watch::Sender<bool>,
}

/// What is remembered of the messages that were ingested in this epoch.
struct History<K> {
    dedup: Dedup,
    /// The keys with `latest` values, by their text.
    latest_keys: HashMap<String, LatestKey<K>>,
}

struct LatestKey<K> {
    key: K,
    slots: Vec<String>,
}

/// A payload that is a message.
struct Decoded<M: Message> {
    message: M,
    event: Event,
    retention: Retention,
    key: M::Key,
    /// The text of the key and the slot of the latest value, if it is one.
    latest: Option<(String, String)>,
}

/// Returns the text of a key by which a backend stores its latest values.
pub(super) fn key_text(key: &impl Debug) -> String {
    format!("{key:?}")
}

/// Returns the slot of the latest value of a key and an event's name, as backends know it.
pub(super) fn latest_slot(key: &impl Debug, event_name: Option<&str>) -> String {
    match event_name {
        Some(name) => format!("{key:?} {name}"),
        None => key_text(key),
    }
}

impl<M: Message> Ingest<M> {
    pub(super) fn new(shared: &Arc<Shared<M>>) -> Self
    where
        M: DeserializeOwned,
    {
        Self {
            shared: Arc::downgrade(shared),
            limits: shared.limits,
            decode: |payload| serde_json::from_slice(payload),
            history: Mutex::new(History { dedup: Dedup::new(), latest_keys: HashMap::new() }),
            opened: watch::Sender::new(false),
        }
    }

    pub(super) fn is_opened(&self) -> bool {
        *self.opened.borrow()
    }

    pub(super) fn opened(&self) -> watch::Receiver<bool> {
        self.opened.subscribe()
    }

    fn history(&self) -> MutexGuard<'_, History<M::Key>> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the store, and wakes all its readers if the change returns true.
    fn update(&self, change: impl FnOnce(&mut State<M>) -> bool) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut state = shared.lock();
        let wakers = if change(&mut state) { state.readers.take_all_wakers() } else { Vec::new() };
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Decodes a payload. A panic in the code of the message's type makes the payload unreadable, and nothing else.
    fn decode(&self, payload: &[u8]) -> Result<Decoded<M>, String> {
        if payload.len() > self.limits.memory {
            return Err(format!("{} bytes, more than the store's memory", payload.len()));
        }
        let decoded = catch_unwind(AssertUnwindSafe(|| {
            let message = (self.decode)(payload).map_err(|error| decode_error(&error))?;
            let event = message.event().map_err(|error| error.to_string())?;
            let retention = if M::HAS_QUEUE { message.retention() } else { Retention::Latest };
            let key = message.key();
            let is_latest = retention == Retention::Latest;
            let latest = is_latest.then(|| (key_text(&key), latest_slot(&key, event.name())));
            Ok(Decoded { message, event, retention, key, latest })
        }));
        decoded.unwrap_or_else(|_| Err("the code of the message's type panicked".into()))
    }

    fn append(&self, shared: &Shared<M>, offset: Option<Offset>, decoded: Decoded<M>) -> (Offset, Ingested) {
        let Decoded { message, event, retention, key, latest } = decoded;
        let latest = latest.map(|(text, slot)| (text, slot, key.clone()));
        let mut state = shared.lock();
        let offset = offset.unwrap_or_else(|| state.log.next());
        if state.closed || offset <= state.log.head().offset {
            // No reader is left, or the log has been there.
            return (offset, Ingested::Ignored);
        }
        // A reference is kept, so that a message without room is not dropped under the lock.
        let message = Arc::new(message);
        let kept = Arc::clone(&message);
        let appended = state.log.append(offset, key, kept, event, retention, shared.encoding_count());
        let readers = match &appended {
            Ok(appended) => state.push_to_readers(&appended.entry),
            Err(_) => WakeList::default(),
        };
        state.log.advance_to(offset);
        let arrived = state.readers.take_arrived(offset);
        drop(state);
        // Wake and drop after unlocking, as `Store::submit` does.
        readers.wake();
        arrived.into_iter().for_each(Waker::wake);
        match appended {
            Ok(appended) => drop(appended.evicted),
            Err(error) => {
                let reason = match error {
                    AppendError::Full => "the latest values alone fill the store's memory",
                    AppendError::TooLarge { .. } => "more than the store's memory",
                };
                report_unreadable::<M>(offset, reason);
                return (offset, Ingested::Unreadable);
            }
        }
        let Some((text, slot, key)) = latest else { return (offset, Ingested::Queue) };
        self.record_slot(text, &slot, key);
        (offset, Ingested::Latest { slot })
    }

    /// Remembers a slot of a key's latest values, so that the key can be forgotten by its text.
    fn record_slot(&self, text: String, slot: &str, key: M::Key) {
        let mut history = self.history();
        let latest_key = history.latest_keys.entry(text).or_insert_with(|| LatestKey { key, slots: Vec::new() });
        if !latest_key.slots.iter().any(|known| known == slot) {
            latest_key.slots.push(slot.to_owned());
        }
    }
}

/// Describes a payload that cannot be decoded, without quoting it: it may be confidential.
fn decode_error(error: &serde_json::Error) -> String {
    let kind = if error.is_data() { "JSON of another shape" } else { "not JSON" };
    format!("{kind}, line {} column {}", error.line(), error.column())
}

fn report_unreadable<M: Message>(offset: Offset, reason: &str) {
    tracing::warn!(target: "tornadose", channel = M::CHANNEL, entry = %offset, reason, "entry skipped");
    metrics::unreadable(M::CHANNEL);
}

impl<M: Message> LogSink for Ingest<M> {
    fn channel(&self) -> &'static str {
        M::CHANNEL
    }

    fn type_name(&self) -> &'static str {
        let name = type_name::<M>();
        let path = name.split('<').next().unwrap_or(name);
        path.rsplit("::").next().unwrap_or(path)
    }

    fn memory(&self) -> usize {
        self.limits.memory
    }

    fn reset(&self, epoch: Epoch, floor: Offset) {
        let mut dropped = Vec::new();
        self.update(|state| {
            // Readers read again once everything is loaded: the messages that are loaded are not new.
            state.loading = true;
            dropped = state.log.reset(epoch, floor);
            false
        });
        drop(dropped);
        let mut history = self.history();
        let keys = std::mem::take(&mut history.latest_keys);
        history.dedup.clear();
        drop(history);
        // Dropped after unlocking: a key has a `Drop` of its own.
        drop(keys);
    }

    fn ingest(
        &self,
        offset: Option<Offset>,
        IncomingEntry { payload, sender }: IncomingEntry<'_>,
    ) -> (Offset, Ingested) {
        let Some(shared) = self.shared.upgrade() else { return (offset.unwrap_or_default(), Ingested::Ignored) };
        if let Some((sender_id, number)) = sender
            && self.history().dedup.record(sender_id, number) == Arrival::Duplicate
        {
            if let Some(offset) = offset {
                self.advance_to(offset);
            }
            return (offset.unwrap_or_default(), Ingested::Ignored);
        }
        match self.decode(payload) {
            Ok(decoded) => self.append(&shared, offset, decoded),
            Err(reason) => {
                let offset = offset.unwrap_or_else(|| shared.lock().log.next());
                self.skip_unreadable(offset, &reason);
                (offset, Ingested::Unreadable)
            }
        }
    }

    fn skip_unreadable(&self, offset: Offset, reason: &str) {
        self.advance_to(offset);
        report_unreadable::<M>(offset, reason);
    }

    fn forget(&self, offset: Option<Offset>, key: &str) -> Vec<String> {
        let forgotten = self.history().latest_keys.remove(key);
        if let Some(offset) = offset {
            self.advance_to(offset);
        }
        let Some(LatestKey { key, slots }) = forgotten else { return Vec::new() };
        if let Some(shared) = self.shared.upgrade() {
            let dropped = shared.lock().forget(&key);
            drop(dropped);
        }
        slots
    }

    fn advance_to(&self, offset: Offset) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut state = shared.lock();
        let arrived = if state.log.advance_to(offset) { state.readers.take_arrived(offset) } else { Vec::new() };
        drop(state);
        arrived.into_iter().for_each(Waker::wake);
    }

    fn report_trimmed(&self, missed: Option<u64>) {
        tracing::warn!(target: "tornadose", channel = M::CHANNEL, missed, "unread entries trimmed");
        self.update(|state| {
            state.log.record_gap(Gap { reason: GapReason::Trimmed, missed });
            true
        });
    }

    fn report_outage(&self) {
        tracing::warn!(target: "tornadose", channel = M::CHANNEL, "outage reported");
        self.update(|state| {
            // The gap has an offset of its own, above every offset that was seen before.
            state.log.record_gap(Gap { reason: GapReason::Outage, missed: None });
            let offset = state.log.next();
            state.log.advance_to(offset)
        });
    }

    fn report_disconnected(&self, reason: &str) {
        let mut changed = false;
        self.update(|state| {
            changed = std::mem::replace(&mut state.reachable, false);
            changed
        });
        if changed {
            tracing::warn!(target: "tornadose", channel = M::CHANNEL, reason, "backend disconnected");
        }
    }

    fn caught_up(&self) {
        let mut changed = false;
        self.update(|state| {
            changed = !std::mem::replace(&mut state.reachable, true);
            std::mem::replace(&mut state.loading, false) || changed
        });
        if changed {
            tracing::info!(target: "tornadose", channel = M::CHANNEL, "backend connected");
        }
        self.opened.send_replace(true);
    }
}

#[cfg(test)]
mod tests;
