//! Fills a log from a backend: payloads become messages, duplicates are dropped, and entries that are not messages
//! are reported.

mod dedup;
mod ephemeral;
mod latest_keys;
mod expire;
mod kept_snapshots;
mod snapshots;

use std::any::type_name;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::backend::engine::Features;
use crate::backend::incoming::{IncomingEntry, Ingested, LogSink};
use crate::backend::snapshots::{KeptSnapshot, LoadedSnapshot, SnapshotPlace, SnapshotStamp, SnapshotsDue};
use crate::id::{Epoch, Offset};
use crate::message::tombstone::Tombstone;
use crate::message::{Message, Retention};
use crate::store::decode::{Decoded, LatestSlot, decode};
use crate::store::entry::Entry;
use crate::store::expired::{Age, ValueExpiry};
use crate::store::gap::{Gap, GapReason};
use crate::store::ingest::dedup::{Arrival, Dedup, KeyTrust};
use crate::store::ingest::latest_keys::{Forgotten, LatestKeys};
use crate::store::kept_as::{KeptAs, QueueRole};
use crate::store::key_json::{key_text, latest_slot, split_slot};
use crate::store::limits::Limits;
use crate::store::log::ephemeral::EPHEMERAL_AGE;
use crate::store::log::unwritten::Submitter;
use crate::store::read_back::Recognized;
use crate::store::registry::WakeList;
use crate::store::shared::{BackendHandle, FinishWaker, Shared, State};
use crate::store::skip_log::{SkipLog, Skipped};
use crate::store::sweeper;

/// The way from a backend into a store. It holds the store weakly: entries for a dropped store are discarded.
pub(super) struct Ingest<M: Message> {
    shared: Weak<Shared<M>>,
    limits: Limits,
    history: Mutex<History<M::Key>>,
    /// Whether everything that the backend has kept was ingested once.
    opened: watch::Sender<bool>,
    /// The reason for which the backend is disconnected, as it was logged last.
    disconnect_reason: Mutex<Option<String>>,
    skip_log: Arc<SkipLog>,
    /// The messages of keys that were finished before.
    late_log: SkipLog,
    /// Notified when a snapshot becomes due, where the engine keeps them.
    snapshots_changed: Option<Arc<Notify>>,
    /// Whether the snapshots that the engine keeps are to be looked for once everything is loaded.
    rechecks_when_loaded: AtomicBool,
}

/// What is remembered of the messages that were ingested in this epoch.
struct History<K> {
    dedup: Dedup,
    /// The ephemeral messages that come apart from the others, and not in one order with them.
    ephemeral_dedup: Dedup,
    /// The keys with `latest` values, by their text.
    latest_keys: LatestKeys<K>,
}

/// The identity of an entry, by its sender and the message's number there.
enum Identity<M: Message> {
    /// It was received before.
    Duplicate,
    /// It is a message of this process, which was decoded when it was submitted.
    Own(Decoded<M>),
    /// It has yet to be decoded.
    New,
}

/// Those who wait for an offset that the log has reached. They are woken after unlocking.
struct Arrived {
    readers: Vec<Waker>,
    is_drained: bool,
}

impl Arrived {
    fn take<M: Message>(state: &mut State<M>, offset: Offset) -> Self {
        Self { readers: state.readers.take_arrived(offset), is_drained: state.is_drained() }
    }

    fn wake<M: Message>(self, shared: &Shared<M>) {
        self.readers.into_iter().for_each(Waker::wake);
        if self.is_drained {
            shared.closed_notify.notify_waiters();
        }
    }
}

impl<M: Message> Ingest<M> {
    pub(super) fn new(shared: &Arc<Shared<M>>) -> Self {
        Self {
            shared: Arc::downgrade(shared),
            limits: shared.limits,
            history: Mutex::new(History {
                dedup: Dedup::new(),
                ephemeral_dedup: Dedup::new(),
                latest_keys: LatestKeys::new(),
            }),
            opened: watch::Sender::new(false),
            disconnect_reason: Mutex::new(None),
            skip_log: shared.backend.as_ref().map_or_else(
                || Arc::new(SkipLog::new(M::CHANNEL, Skipped::Unreadable)),
                |backend| Arc::clone(&backend.skip_log),
            ),
            late_log: SkipLog::new(M::CHANNEL, Skipped::Late),
            snapshots_changed: shared.backend.as_ref().and_then(|backend| backend.snapshots_changed.clone()),
            rechecks_when_loaded: AtomicBool::new(false),
        }
    }

    pub(super) fn is_opened(&self) -> bool {
        *self.opened.borrow()
    }

    /// Resolves when the log of the closed store has everything that still goes into it, or the store is gone.
    pub(super) async fn drained(&self) {
        let Some(shared) = self.shared.upgrade() else { return };
        shared.drained().await;
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
        let readers = if change(&mut state) { state.readers.take_all_wakers() } else { Vec::new() };
        let is_drained = state.is_drained();
        drop(state);
        Arrived { readers, is_drained }.wake(&shared);
    }

    /// Closes the store: its backend has ended.
    pub(super) fn close(&self) {
        self.skip_log.end();
        self.late_log.end();
        let Some(shared) = self.shared.upgrade() else { return };
        if !shared.lock().closed {
            self.report_disconnected("the backend has stopped");
        }
        shared.close();
    }

    /// Recognizes an entry by its sender. A number that this process has not given out, or has given to another
    /// payload, is of another program: such an entry is a message like those without a sender.
    fn identify(
        &self,
        backend: &BackendHandle<M>,
        sender: Option<(&str, u64)>,
        payload: &[u8],
        dedup: fn(&mut History<M::Key>) -> &mut Dedup,
    ) -> Identity<M> {
        let Some((sender_id, number)) = sender else { return Identity::New };
        let is_own = sender_id == backend.outbox.sender_id();
        if is_own && !dedup(&mut self.history()).contains(sender_id, number) {
            match backend.read_back.take(number, payload) {
                Recognized::Sent(decoded) => {
                    dedup(&mut self.history()).record(sender_id, number);
                    return Identity::Own(decoded);
                }
                Recognized::Different => return Identity::New,
                Recognized::Unknown if number > backend.outbox.last_number() => return Identity::New,
                Recognized::Unknown => {}
            }
        }
        match dedup(&mut self.history()).record(sender_id, number) {
            Arrival::Duplicate => Identity::Duplicate,
            Arrival::New => Identity::New,
        }
    }

    /// Keeps an entry as bytes. Returns `None` for one that is to be decoded: its key has a reader in this process, it
    /// has no key beside it, or its sender is not known to write the keys of its messages there.
    fn keep_undecoded(
        &self,
        shared: &Arc<Shared<M>>,
        offset: Option<Offset>,
        entry: &IncomingEntry<'_>,
    ) -> Option<(Offset, Ingested)> {
        let (key_text, (sender_id, _)) = (entry.key?, entry.sender?);
        if M::CAN_FINISH && !Self::has_finishes(shared) {
            // The message itself tells whether it finishes its key.
            return None;
        }
        if self.history().dedup.key_trust(sender_id) != Some(KeyTrust::Trusted) {
            return None;
        }
        let mut state = shared.lock();
        let offset = offset.unwrap_or_else(|| state.log.next());
        if !state.takes(offset) {
            return Some((offset, Ingested::Ignored));
        }
        if M::CAN_FINISH && state.log.finish_of_text(key_text).is_some() {
            drop(state);
            self.drop_late(offset);
            return Some((offset, Ingested::Ignored));
        }
        let age = Age::of::<M>(entry.age);
        let expired = age.and_then(|age| state.expire(age.now));
        let Some(evicted) = state.log.append_undecoded(offset, key_text, entry.payload, shared.encoding_count()) else {
            drop(state);
            drop(expired);
            return None;
        };
        let sweeper = state.record_age(offset, age, &KeptAs::Queue(QueueRole::Other));
        let arrived = Arrived::take(&mut state, offset);
        drop(state);
        arrived.wake(shared);
        drop((evicted, expired));
        if let Some(order) = sweeper {
            sweeper::start(order, shared);
        }
        Some((offset, Ingested::Queue))
    }

    /// Returns whether the backend tells which keys are finished.
    fn has_finishes(shared: &Shared<M>) -> bool {
        shared.backend.as_ref().is_some_and(|backend| backend.features.contains(Features::FINISH))
    }

    /// Records a message of a key that was finished before. Every process drops it.
    fn drop_late(&self, offset: Offset) {
        self.late_log.record(offset, "");
        self.advance_to(offset);
    }

    /// Notes whether a sender writes the key of its message beside it, when this is the first that was decoded.
    fn check_key(&self, entry: &IncomingEntry<'_>, decoded: &Decoded<M>) {
        let (Some(key_text), Some((sender_id, _))) = (entry.key, entry.sender) else { return };
        if self.history().dedup.key_trust(sender_id) != Some(KeyTrust::Unchecked) {
            return;
        }
        let trust = if decoded.is_of_key(key_text) { KeyTrust::Trusted } else { KeyTrust::Distrusted };
        self.history().dedup.set_key_trust(sender_id, trust);
        if trust == KeyTrust::Distrusted {
            tracing::debug!(target: "tornadose", channel = M::CHANNEL, sender = sender_id, "keys of a sender ignored");
        }
    }

    fn append(
        &self,
        shared: &Arc<Shared<M>>,
        offset: Option<Offset>,
        age: Duration,
        decoded: Decoded<M>,
        submitter: Submitter,
    ) -> (Offset, Ingested) {
        let Decoded { message, event, kept_as, key, latest } = decoded;
        let latest = latest.map(|latest| (latest, key.clone()));
        let tombstone = match &kept_as {
            KeptAs::Tombstone(tombstone, _) => key_text(&key).ok().map(|key_text| (key_text, tombstone)),
            KeptAs::Queue(_) | KeptAs::Ephemeral | KeptAs::Latest { .. } => None,
        };
        let mut state = shared.lock();
        let is_placed = offset.is_some();
        let offset = offset.unwrap_or_else(|| state.log.next());
        if !state.takes(offset) {
            // No reader is left, or the log has been there.
            return (offset, Ingested::Ignored);
        }
        if M::CAN_FINISH && state.log.finish_of_key(&key).is_some() {
            drop(state);
            self.drop_late(offset);
            return (offset, Ingested::Ignored);
        }
        let is_ephemeral = M::HAS_EPHEMERAL && kept_as == KeptAs::Ephemeral;
        if is_ephemeral && age >= EPHEMERAL_AGE {
            drop(state);
            self.advance_to(offset);
            return (offset, Ingested::Ignored);
        }
        if M::HAS_LATEST_TTL && is_placed && state.value_expiry == ValueExpiry::Told {
            // Offsets are the engine's, and it gives none to an expiry.
            state.value_expiry = ValueExpiry::Untold;
        }
        let finishes = M::CAN_FINISH && !is_ephemeral && !Self::has_finishes(shared) && message.finishes();
        if M::SNAPSHOT.is_some() {
            Self::make_room_by_snapshots(shared, &mut state, &key, &message, (&event, &kept_as));
        }
        // A reference is kept, so that a message without room is not dropped under the lock.
        let message = Arc::new(message);
        let kept = Arc::clone(&message);
        let age = Age::of::<M>(age);
        let encoding_count = shared.encoding_count();
        let appended = match age {
            Some(age) if is_ephemeral => {
                state.log.append_ephemeral(Some(offset), key, kept, event, encoding_count, age.submitted_at())
            }
            _ => state.log.append(offset, key, kept, event, &kept_as, encoding_count),
        };
        let age = age.filter(|_| appended.is_ok());
        let sweeper = state.record_age(offset, age, &kept_as);
        let readers = match &appended {
            Ok(appended) => state.push_to_readers(&appended.entry),
            Err(_) => WakeList::default(),
        };
        // After the push: the message itself may have expired on its way.
        let expired = age.and_then(|age| state.expire(age.now));
        let finish = match &appended {
            Ok(appended) if finishes => Some(Self::finish_alone(&mut state, appended.entry.key_index(), is_placed)),
            _ => None,
        };
        let is_due_earlier = match &appended {
            Ok(appended) if Self::keeps_snapshots(shared) && appended.entry.retention == Retention::Queue => {
                state.log.record_unwritten(appended.entry.key_index(), offset, submitter)
            }
            _ => false,
        };
        let arrived = appended.is_ok().then(|| Arrived::take(&mut state, offset));
        let expired_places = state.expired_places.as_mut().map(std::mem::take).unwrap_or_default();
        // It may have expired on its way.
        let is_kept = !M::HAS_LATEST_TTL || state.log.has_value(offset);
        drop(state);
        // Wake and drop after unlocking, as `Store::submit` does.
        readers.wake();
        if let Some(waker) = finish {
            waker.wake();
        }
        if is_due_earlier {
            shared.notify_snapshots();
        }
        if let Some(arrived) = arrived {
            arrived.wake(shared);
        }
        drop(expired);
        if let Some(order) = sweeper {
            sweeper::start(order, shared);
        }
        if !expired_places.is_empty() {
            self.forget_places(&expired_places);
        }
        match appended {
            Ok(appended) => drop(appended.evicted),
            Err(error) => {
                self.skip_unreadable(offset, error.reason());
                return (offset, Ingested::Unreadable);
            }
        }
        if let Some((key_text, tombstone)) = tombstone {
            return (offset, Ingested::Tombstone { slots: self.forget_by(key_text, tombstone) });
        }
        let Some((LatestSlot { key_text, slot }, key)) = latest else {
            return (offset, if is_ephemeral { Ingested::Ephemeral } else { Ingested::Queue });
        };
        if is_kept {
            self.history().latest_keys.record(key_text, &slot, key);
        }
        (offset, Ingested::Latest { slot })
    }

    /// Finishes the key of the newest message in this process alone, because the engine does not. An engine that places its
    /// entries has no place for the finish: it stands at that of the message, where only readers find it that end.
    fn finish_alone(state: &mut State<M>, key_index: usize, is_placed: bool) -> FinishWaker {
        let offset = if is_placed { state.log.head().offset } else { state.log.next() };
        state.log.finish(offset, key_index);
        state.wake_finished(key_index)
    }

    /// Removes the places of the values that a tombstone has dropped, and returns them.
    fn forget_by(&self, key_text: String, tombstone: &Tombstone) -> Vec<String> {
        let texts = match tombstone {
            Tombstone::Key => vec![key_text],
            Tombstone::Slots(slots) => slots.iter().map(|slot| latest_slot(&key_text, None, Some(slot))).collect(),
        };
        let mut history = self.history();
        let forgotten: Vec<_> = texts.iter().filter_map(|text| history.latest_keys.forget(text)).collect();
        drop(history);
        // The keys are dropped after unlocking, because they have a `Drop` of their own.
        forgotten.into_iter().flat_map(|forgotten| forgotten.places).collect()
    }
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

    fn crate_name(&self) -> &'static str {
        let name = type_name::<M>();
        name.split("::").next().unwrap_or(name)
    }

    fn memory(&self) -> usize {
        self.limits.memory
    }

    fn queue_ttl(&self) -> Option<Duration> {
        M::QUEUE_TTL
    }

    fn set_queue_ttl(&self, ttl: Duration) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut state = shared.lock();
        state.log.set_queue_ttl(ttl);
        let expired = state.expire_now();
        drop(state);
        drop(expired);
    }

    fn reset(&self, epoch: Epoch, floor: Offset) {
        let (mut dropped, mut is_other_epoch) = (None, false);
        self.update(|state| {
            // Readers read again once everything is loaded: the messages that are loaded are not new.
            state.loading = true;
            is_other_epoch = state.log.head().epoch != epoch;
            dropped = Some(state.log.reset(epoch, floor));
            false
        });
        drop(dropped);
        if is_other_epoch
            && let Some(shared) = self.shared.upgrade()
            && let Some(backend) = &shared.backend
        {
            backend.outbox.send_log().forget_appended();
        }
        let mut history = self.history();
        let keys = std::mem::replace(&mut history.latest_keys, LatestKeys::new());
        history.dedup.clear();
        drop(history);
        // Dropped after unlocking: a key has a `Drop` of its own.
        drop(keys);
    }

    fn ingest(&self, offset: Option<Offset>, entry: IncomingEntry<'_>) -> (Offset, Ingested) {
        self.skip_log.end_if_over();
        self.late_log.end_if_over();
        let Some(shared) = self.shared.upgrade() else { return (offset.unwrap_or_default(), Ingested::Ignored) };
        let Some(backend) = &shared.backend else { return (offset.unwrap_or_default(), Ingested::Ignored) };
        let mut submitter = Submitter::AnotherProcess;
        let decoded = match self.identify(backend, entry.sender, entry.payload, |history| &mut history.dedup) {
            Identity::Duplicate => {
                if let Some(offset) = offset {
                    self.advance_to(offset);
                }
                return (offset.unwrap_or_default(), Ingested::Ignored);
            }
            Identity::Own(decoded) => {
                submitter = Submitter::ThisProcess;
                Ok(decoded)
            }
            Identity::New => {
                if let Some(kept) = self.keep_undecoded(&shared, offset, &entry) {
                    return kept;
                }
                decode(entry.payload, backend.parse_json, self.limits.memory)
                    .inspect(|decoded| self.check_key(&entry, decoded))
            }
        };
        match decoded {
            Ok(decoded) => self.append(&shared, offset, entry.age, decoded, submitter),
            Err(error) => {
                let offset = offset.unwrap_or_else(|| shared.lock().log.next());
                self.skip_unreadable(offset, &error.to_string());
                (offset, Ingested::Unreadable)
            }
        }
    }

    fn has_ephemeral(&self) -> bool {
        M::HAS_EPHEMERAL
    }

    fn ingest_ephemeral(&self, entry: IncomingEntry<'_>) -> Ingested {
        let Some(shared) = self.shared.upgrade() else { return Ingested::Ignored };
        let Some(backend) = &shared.backend else { return Ingested::Ignored };
        self.append_ephemeral(&shared, backend, entry)
    }

    fn skip_unreadable(&self, offset: Offset, reason: &str) {
        self.skip_log.record(offset, reason);
        self.update(|state| state.takes(offset) && state.log.record_unreadable(offset) && !state.loading);
    }

    fn record_request(&self, (sender_id, number): (&str, u64)) -> bool {
        self.history().dedup.record(sender_id, number) == Arrival::New
    }

    fn forget(&self, offset: Option<Offset>, key: &str) -> Vec<String> {
        let forgotten = self.history().latest_keys.forget(key);
        if let Some(offset) = offset {
            self.advance_to(offset);
        }
        let Some(Forgotten { key, slot, places }) = forgotten else { return Vec::new() };
        if let Some(shared) = self.shared.upgrade() {
            let dropped = match slot {
                None => shared.lock().forget(&key, |_| true),
                Some(slot) => shared.lock().forget_slot(&key, &slot).into_iter().collect(),
            };
            drop(dropped);
        }
        places
    }

    fn retain_latest(&self, is_kept: &dyn Fn(&str) -> bool) {
        let forgotten = self.history().latest_keys.retain(is_kept);
        let Some(shared) = self.shared.upgrade() else { return };
        for (key, key_text, place) in forgotten {
            let slot = split_slot(&place).map(|(_, slot)| slot).filter(|_| M::HAS_SLOTS);
            let in_slot = slot.and_then(|slot| shared.lock().forget_slot(&key, slot));
            let is_forgotten = |entry: &Entry<M>| latest_slot(&key_text, entry.event.name(), None) == place;
            let dropped = if in_slot.is_none() { shared.lock().forget(&key, is_forgotten) } else { Vec::new() };
            drop((in_slot, dropped));
        }
    }

    fn can_finish(&self) -> bool {
        M::CAN_FINISH
    }

    fn finish(&self, offset: Offset, key: &str) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut state = shared.lock();
        if !state.takes(offset) {
            return;
        }
        // Of two finishes the first counts.
        let is_open = M::CAN_FINISH && state.log.finish_of_text(key).is_none();
        let open = if is_open { state.log.index_for_text(key) } else { None };
        let waker = open.map(|key_index| {
            state.log.finish(offset, key_index);
            state.wake_finished(key_index)
        });
        let is_due_earlier = match open {
            Some(key_index) if Self::keeps_snapshots(&shared) => {
                state.log.record_unwritten(key_index, offset, Submitter::Unknown)
            }
            _ => false,
        };
        state.log.advance_to(offset);
        let arrived = Arrived::take(&mut state, offset);
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        if is_due_earlier {
            shared.notify_snapshots();
        }
        arrived.wake(&shared);
    }

    fn reopen(&self, offset: Offset, key: &str) {
        self.update(|state| {
            if state.takes(offset) {
                state.log.reopen(key);
            }
            false
        });
        self.advance_to(offset);
    }

    fn retain_finishes(&self, is_kept: &dyn Fn(Offset, &str) -> bool) {
        self.update(|state| {
            state.log.retain_finishes(is_kept);
            false
        });
    }

    fn remove(&self, offset: Offset, key: &str) -> Vec<String> {
        let forgotten = self.history().latest_keys.forget(key);
        let slots = forgotten.as_ref().map(|forgotten| forgotten.places.clone()).unwrap_or_default();
        let Some(shared) = self.shared.upgrade() else { return slots };
        let mut state = shared.lock();
        if !state.takes(offset) {
            return slots;
        }
        let by_key = |state: &State<M>| state.log.key_index(&forgotten.as_ref()?.key);
        let key_index = state.log.index_for_text(key).or_else(|| by_key(&state));
        let removed = key_index.map(|key_index| state.remove(offset, key_index));
        state.log.advance_to(offset);
        let arrived = Arrived::take(&mut state, offset);
        drop(state);
        if let Some(removed) = removed {
            removed.wake();
        }
        arrived.wake(&shared);
        slots
    }

    fn expires_latest(&self) -> bool {
        M::HAS_LATEST_TTL
    }

    fn expire(&self, offset: Offset, value: Offset, payload: &[u8]) {
        self.expire_value(offset, value, payload);
    }

    fn advance_to(&self, offset: Offset) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut state = shared.lock();
        if !state.takes(offset) {
            // Messages are ignored then, so a position above them would hide them.
            return;
        }
        let arrived = state.log.advance_to(offset).then(|| Arrived::take(&mut state, offset));
        drop(state);
        if let Some(arrived) = arrived {
            arrived.wake(&shared);
        }
    }

    fn report_trimmed(&self, missed: Option<u64>) {
        tracing::warn!(target: "tornadose", channel = M::CHANNEL, missed, "unread entries trimmed");
        self.update(|state| {
            state.log.record_gap(Gap { reason: GapReason::Trimmed, missed });
            true
        });
    }

    fn mark_trimmed_through(&self, offset: Offset) {
        self.update(|state| {
            state.log.mark_lost_through(offset);
            false
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
        self.update(|state| std::mem::replace(&mut state.reachable, false));
        let mut logged = self.disconnect_reason.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = logged.as_deref() != Some(reason);
        if is_new {
            *logged = Some(reason.to_owned());
        }
        drop(logged);
        if is_new {
            tracing::warn!(target: "tornadose", channel = M::CHANNEL, reason, "backend disconnected");
        }
    }

    fn caught_up(&self) {
        self.skip_log.end_if_over();
        let (mut changed, mut sweeper) = (false, None);
        self.update(|state| {
            changed = !std::mem::replace(&mut state.reachable, true);
            let is_new = std::mem::replace(&mut state.loading, false) || changed;
            if M::SNAPSHOT.is_some() && is_new {
                // A reader that has a snapshot would never be as far as its pass.
                let loaded_through = state.log.loaded_through();
                if state.takes(loaded_through) {
                    state.log.advance_to(loaded_through);
                }
                if self.rechecks_when_loaded.swap(false, Ordering::Relaxed) {
                    state.log.recheck_unwritten();
                }
            }
            if M::HAS_LATEST_TTL && is_new {
                // Values whose time came meanwhile expire now.
                sweeper = state.sweep_by(Instant::now());
            }
            is_new
        });
        if let Some((order, shared)) = sweeper.zip(self.shared.upgrade()) {
            sweeper::start(order, &shared);
        }
        if changed {
            *self.disconnect_reason.lock().unwrap_or_else(PoisonError::into_inner) = None;
            tracing::info!(target: "tornadose", channel = M::CHANNEL, "backend connected");
        }
        if M::SNAPSHOT.is_some()
            && let Some(shared) = self.shared.upgrade()
        {
            shared.notify_snapshots();
        }
        self.opened.send_replace(true);
    }

    fn snapshot_version(&self) -> Option<u32> {
        let shared = self.shared.upgrade()?;
        M::SNAPSHOT.filter(|_| Self::keeps_snapshots(&shared)).map(|rules| rules.version)
    }

    fn snapshots_changed(&self) -> Option<&Notify> {
        self.snapshots_changed.as_deref()
    }

    fn take_due_snapshots(&self, at_most: usize) -> SnapshotsDue {
        self.take_due(at_most)
    }

    fn make_snapshot(&self, key: &str) -> Option<KeptSnapshot> {
        let shared = self.shared.upgrade()?;
        let backend = shared.backend.as_ref()?;
        shared.make_kept_snapshot(backend, key)
    }

    fn record_kept_snapshot(&self, key: &str, kept: SnapshotStamp) -> bool {
        self.record_kept(key, kept)
    }

    fn recheck_snapshots(&self) {
        self.recheck();
    }

    fn retry_snapshot(&self, key: &str) {
        self.retry(key);
    }

    fn snapshots_kept_through(&self) -> Option<SnapshotPlace> {
        self.shared.upgrade()?.snapshots_kept_through()
    }

    fn record_all_loaded(&self, through: Offset) {
        if let Some(shared) = self.shared.upgrade() {
            shared.lock().log.record_all_loaded(through);
        }
    }

    fn trusts_snapshot(&self, kept: SnapshotStamp, finish: Option<Offset>) -> bool {
        self.shared.upgrade().is_some_and(|shared| shared.trusts_snapshot(kept, finish))
    }

    fn load_snapshot(&self, snapshot: &KeptSnapshot) -> LoadedSnapshot {
        let Some(shared) = self.shared.upgrade() else { return LoadedSnapshot::Unknown };
        match &shared.backend {
            Some(backend) => shared.load_snapshot(backend, snapshot),
            None => LoadedSnapshot::Unknown,
        }
    }

    fn messages_lost_through(&self) -> Option<Offset> {
        self.shared.upgrade()?.lock().log.messages_lost_through()
    }

    fn lacks_snapshot(&self, key: &str) -> bool {
        self.shared.upgrade().is_some_and(|shared| shared.lock().log.lacks_snapshot(key))
    }

    fn take_lost_snapshots(&self, at_most: usize) -> Vec<String> {
        self.take_lost(at_most)
    }

    fn recover_snapshot(&self, snapshot: &KeptSnapshot) -> LoadedSnapshot {
        let Some(shared) = self.shared.upgrade() else { return LoadedSnapshot::Unknown };
        let recovered = shared.backend.as_ref().map(|backend| shared.recover_snapshot(backend, snapshot));
        if recovered == Some(LoadedSnapshot::Known) {
            shared.notify_snapshots();
        }
        recovered.unwrap_or(LoadedSnapshot::Unknown)
    }
}

#[cfg(test)]
mod tests;
