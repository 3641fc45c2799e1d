//! The readers of a store: which keys each reads, what wakes it, and whether it is to end.

pub(crate) mod kind;
pub(crate) mod inspect;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;

use slab::Slab;
use tokio::time::Instant;

use crate::id::Offset;
use crate::store::end::{End, EndBound, EndReason};
use crate::store::entry::Entry;
use crate::store::gap::GapReason;
use crate::store::log::key::KeySelection;
use crate::store::reader::mailbox::Mailbox;
use crate::store::registry::kind::ReaderKind;

/// A reader's number, in order of subscription, and the index of its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReaderId {
    number: u64,
    index: usize,
}

struct ReaderEntry<M> {
    number: u64,
    mailbox: Arc<Mailbox<M>>,
    /// The generation of the log in which the reader became live.
    generation: u64,
    /// Whether a new message concerns the reader. False for a reader that will read the log anyway, or that waits for
    /// its end alone.
    wants_messages: bool,
    /// After how many messages a reader is woken that wants them; 0 when each is pushed to it.
    messages_until_wake: u32,
    end: Option<EndReason>,
    kind: ReaderKind,
}

impl<M> ReaderEntry<M> {
    /// Counts a message of a reader that is woken after some. Returns its waker after the last of them.
    #[cold]
    fn count_message(&mut self) -> Option<Waker> {
        self.messages_until_wake -= 1;
        if self.messages_until_wake > 0 {
            return None;
        }
        self.wants_messages = false;
        self.mailbox.take_waker_to_reread()
    }
}

/// Wakers, in order of subscription, and messages that were replaced. Both are used after unlocking the store: the
/// first act of a woken reader may be to lock it, and so may be a message's own `Drop`.
pub(crate) struct WakeList<M> {
    wakers: Vec<Waker>,
    replaced: Vec<Arc<Entry<M>>>,
}

impl<M> Default for WakeList<M> {
    fn default() -> Self {
        Self { wakers: Vec::new(), replaced: Vec::new() }
    }
}

impl<M> WakeList<M> {
    /// Wakes the readers. The store must not be locked.
    pub(crate) fn wake(self) {
        self.wakers.into_iter().for_each(Waker::wake);
        drop(self.replaced);
    }
}

/// The push of one message to its readers.
struct Push<'a, M> {
    entries: &'a mut Slab<ReaderEntry<M>>,
    entry: &'a Arc<Entry<M>>,
    generation: u64,
    /// How many readers there are.
    readers: usize,
    now: Option<Instant>,
    list: WakeList<M>,
}

impl<M> Push<'_, M> {
    #[inline]
    fn push_to(&mut self, id: ReaderId) {
        let reader = &mut self.entries[id.index];
        if !reader.wants_messages {
            return;
        }
        if reader.messages_until_wake > 0 {
            self.list.wakers.extend(reader.count_message());
            return;
        }
        let is_same_generation = reader.generation >= self.generation;
        let now = || *self.now.get_or_insert_with(Instant::now);
        let pushed = reader.mailbox.push(self.entry, is_same_generation, now);
        reader.wants_messages = pushed.is_accepted;
        if let Some(waker) = pushed.waker {
            if self.list.wakers.is_empty() {
                // Reserved once for all readers, and only when one waits: the allocations do not grow with their number.
                self.list.wakers.reserve_exact(self.readers);
            }
            self.list.wakers.push(waker);
        }
        if let Some(replaced) = pushed.replaced {
            self.list.replaced.push(replaced);
        }
    }
}

/// All readers of a store. They are woken in order of subscription.
pub(crate) struct ReaderRegistry<M> {
    entries: Slab<ReaderEntry<M>>,
    next_number: u64,
    /// The readers of each key, by the key's index in the log.
    by_key: Vec<Vec<ReaderId>>,
    /// The readers of all keys.
    all_keys: Vec<ReaderId>,
    /// The readers that wait until the head reaches an offset, by that and their numbers.
    pending: BTreeMap<(Offset, u64), ReaderId>,
    /// The lowest offset for which each of them waits, by their numbers.
    pending_offsets: BTreeMap<u64, Offset>,
    /// How far readers read that end, by their numbers.
    end_bounds: BTreeMap<u64, EndBound>,
    /// How far readers have read that are not known to be at the head, by their numbers.
    places: BTreeMap<u64, Offset>,
    /// The last gap that readers were told of, by their numbers.
    last_gaps: BTreeMap<u64, GapReason>,
    connections: usize,
    created_at: Instant,
}

impl<M> ReaderRegistry<M> {
    pub(crate) fn new() -> Self {
        Self {
            entries: Slab::new(),
            next_number: 0,
            by_key: Vec::new(),
            all_keys: Vec::new(),
            pending: BTreeMap::new(),
            pending_offsets: BTreeMap::new(),
            end_bounds: BTreeMap::new(),
            places: BTreeMap::new(),
            last_gaps: BTreeMap::new(),
            connections: 0,
            created_at: Instant::now(),
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn count_of_key(&self, key_index: usize) -> usize {
        self.by_key.get(key_index).map_or(0, Vec::len)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections
    }

    pub(crate) fn insert(
        &mut self,
        keys: &KeySelection,
        kind: ReaderKind,
        end: Option<EndReason>,
        mailbox: &Arc<Mailbox<M>>,
    ) -> ReaderId {
        const { assert!(size_of::<ReaderEntry<M>>() <= 32, "a push touches half a cache line for each reader") }
        self.next_number += 1;
        self.connections += usize::from(kind.is_connection());
        let index = self.entries.insert(ReaderEntry {
            number: self.next_number,
            mailbox: Arc::clone(mailbox),
            generation: 0,
            wants_messages: false,
            messages_until_wake: 0,
            end,
            kind,
        });
        let id = ReaderId { number: self.next_number, index };
        for &key_index in keys.key_indexes() {
            self.add_key(id, key_index);
        }
        if matches!(keys, KeySelection::All) {
            self.all_keys.push(id);
        }
        id
    }

    /// Adds a key to those that a reader reads.
    pub(crate) fn add_key(&mut self, id: ReaderId, key_index: usize) {
        if self.by_key.len() <= key_index {
            self.by_key.resize_with(key_index + 1, Vec::new);
        }
        let holders = &mut self.by_key[key_index];
        holders.insert(holders.partition_point(|holder| holder.number < id.number), id);
    }

    /// Removes a key from those that a reader reads.
    pub(crate) fn remove_key(&mut self, id: ReaderId, key_index: usize) {
        let holders = &mut self.by_key[key_index];
        remove_id(holders, id);
        if holders.is_empty() {
            *holders = Vec::new();
        }
    }

    pub(crate) fn remove(&mut self, keys: &KeySelection, id: ReaderId) {
        for &key_index in keys.key_indexes() {
            self.remove_key(id, key_index);
        }
        if matches!(keys, KeySelection::All) {
            remove_id(&mut self.all_keys, id);
        }
        if let Some(offset) = self.pending_offsets.remove(&id.number) {
            self.pending.remove(&(offset, id.number));
        }
        self.end_bounds.remove(&id.number);
        self.forget_place(id);
        self.last_gaps.remove(&id.number);
        let entry = self.entries.remove(id.index);
        self.connections -= usize::from(entry.kind.is_connection());
    }

    #[inline]
    pub(crate) fn end_of(&self, id: ReaderId) -> Option<EndReason> {
        self.entries[id.index].end
    }

    /// Returns how far a reader reads that ends; `None` for everything.
    pub(crate) fn end_bound_of(&self, id: ReaderId) -> Option<EndBound> {
        self.end_bounds.get(&id.number).copied()
    }

    /// Records that the reader is active, and returns the time. Its waker is dropped, and it is not live any more: it
    /// reads the log next.
    pub(crate) fn touch(&self, id: ReaderId) -> Instant {
        self.entries[id.index].mailbox.touch()
    }

    /// Returns since when the reader has unread messages; `None` while it waits for more, or is gone.
    pub(crate) fn unread_since(&self, id: ReaderId) -> Option<Instant> {
        self.entries.get(id.index).filter(|entry| entry.number == id.number)?.mailbox.unread_since()
    }

    /// Returns when the reader ends at the latest, and why; `None` when that is not bounded here, or it is gone.
    pub(crate) fn end_due(&self, id: ReaderId) -> Option<(Instant, EndReason)> {
        let reason = self.entries.get(id.index).filter(|entry| entry.number == id.number)?.end?;
        Some((self.end_bounds.get(&id.number)?.due_at, reason))
    }

    /// Registers a waker for the reader's end and, if it wants messages, for the next message of its keys.
    pub(crate) fn register_waker(&mut self, id: ReaderId, waker: &Waker, wants_messages: bool) {
        let entry = &mut self.entries[id.index];
        (entry.wants_messages, entry.messages_until_wake) = (wants_messages, 0);
        entry.mailbox.register_waker(waker);
    }

    /// Registers a waker for the reader's end, and for the time when so many messages of its keys have been pushed, at
    /// least 1.
    pub(crate) fn register_waker_after(&mut self, id: ReaderId, waker: &Waker, messages: usize) {
        self.register_waker(id, waker, true);
        self.entries[id.index].messages_until_wake = u32::try_from(messages).unwrap_or(u32::MAX);
    }

    /// Marks the reader as live in this generation of the log: the next message is pushed to it, although it may
    /// not have written the last ones yet.
    pub(crate) fn mark_live(&mut self, id: ReaderId, generation: u64, waker: &Waker) {
        self.register_waker(id, waker, true);
        let entry = &mut self.entries[id.index];
        entry.generation = generation;
        entry.mailbox.mark_live();
        self.forget_place(id);
    }

    /// Pushes a message to the readers of its key that have become live in this generation of the log or later, in order
    /// of subscription. The others are to read the log.
    pub(crate) fn push(&mut self, entry: &Arc<Entry<M>>, generation: u64) -> WakeList<M> {
        let of_key = self.by_key.get(entry.key_index).map_or(&[][..], Vec::as_slice);
        let readers = of_key.len() + self.all_keys.len();
        let mut push =
            Push { entries: &mut self.entries, entry, generation, readers, now: None, list: WakeList::default() };
        // Most keys have readers of one kind, and then there is nothing to merge.
        match (of_key, self.all_keys.as_slice()) {
            (ids, []) | ([], ids) => ids.iter().for_each(|id| push.push_to(*id)),
            (of_key, all_keys) => {
                let (mut of_key, mut all_keys) = (of_key.iter().peekable(), all_keys.iter().peekable());
                while let Some(id) = match (of_key.peek(), all_keys.peek()) {
                    (Some(of_key_id), Some(all_keys_id)) if all_keys_id.number < of_key_id.number => all_keys.next(),
                    (Some(_), _) => of_key.next(),
                    (None, _) => all_keys.next(),
                } {
                    push.push_to(*id);
                }
            }
        }
        push.list
    }

    /// Makes the readers of a key and those of all keys read the log, and takes the wakers of those that wait, in order
    /// of subscription.
    pub(crate) fn wake_to_reread(&mut self, key_index: usize) -> Vec<Waker> {
        let of_key = self.by_key.get(key_index).map_or(&[][..], Vec::as_slice);
        let mut ids: Vec<ReaderId> = of_key.iter().chain(&self.all_keys).copied().collect();
        sort_by_number(&mut ids);
        let mut wakers = Vec::new();
        for id in ids {
            let reader = &mut self.entries[id.index];
            // The others will read the log, or wait for their end alone.
            if std::mem::replace(&mut reader.wants_messages, false) {
                wakers.extend(reader.mailbox.take_waker_to_reread());
            }
        }
        wakers
    }

    /// Returns whether any reader reads this key.
    pub(crate) fn has_readers_of(&self, key_index: usize) -> bool {
        !self.all_keys.is_empty() || self.count_of_key(key_index) > 0
    }

    /// Retracts messages that were pushed to readers of this key and not taken yet: those readers read the log.
    pub(crate) fn retract(&self, key_index: usize) {
        let of_key = self.by_key.get(key_index).map_or(&[][..], Vec::as_slice);
        for id in of_key.iter().chain(&self.all_keys) {
            self.entries[id.index].mailbox.retract();
        }
    }

    /// Wakes the reader also when the log's head reaches this offset. Of several the lowest counts: the reader waits for
    /// the others again when it is woken.
    pub(crate) fn wait_for_offset(&mut self, id: ReaderId, offset: Offset) {
        if let Some(lowest) = self.pending_offsets.get(&id.number).copied() {
            if lowest <= offset {
                return;
            }
            self.pending.remove(&(lowest, id.number));
        }
        self.pending_offsets.insert(id.number, offset);
        self.pending.insert((offset, id.number), id);
    }

    /// Takes the wakers of the readers whose offset the head has reached.
    pub(crate) fn take_arrived(&mut self, head: Offset) -> Vec<Waker> {
        let mut arrived = Vec::new();
        while let Some(first) = self.pending.first_entry().filter(|first| first.key().0 <= head) {
            let id = first.remove();
            self.pending_offsets.remove(&id.number);
            arrived.extend(self.entries[id.index].mailbox.take_waker_to_reread());
        }
        arrived
    }

    /// Takes the wakers of all readers that wait, in order of subscription.
    pub(crate) fn take_all_wakers(&mut self) -> Vec<Waker> {
        self.pending.clear();
        self.pending_offsets.clear();
        let ids = self.ids();
        ids.into_iter().filter_map(|id| self.entries[id.index].mailbox.take_waker_to_reread()).collect()
    }

    /// Tells one reader to end, unless it is gone. The first end stays.
    pub(crate) fn end(&mut self, id: ReaderId, end: End) -> Option<Waker> {
        let entry = self.entries.get_mut(id.index).filter(|entry| entry.number == id.number)?;
        if entry.end.is_none() {
            entry.end = Some(end.reason);
            self.end_bounds.extend(end.bound.map(|bound| (id.number, bound)));
        }
        entry.mailbox.take_waker_to_reread()
    }

    pub(crate) fn end_key(&mut self, key_index: usize, end: End) -> Vec<Waker> {
        let holders = self.by_key.get(key_index).cloned().unwrap_or_default();
        holders.into_iter().filter_map(|id| self.end(id, end)).collect()
    }

    pub(crate) fn end_all(&mut self, end: End) -> Vec<Waker> {
        self.ids().into_iter().filter_map(|id| self.end(id, end)).collect()
    }

    /// Records how far a reader has read that may not be at the head.
    #[inline]
    pub(crate) fn record_place(&mut self, id: ReaderId, read_through: Offset) {
        self.places.insert(id.number, read_through);
    }

    /// Records that a reader is at the head.
    #[inline]
    pub(crate) fn forget_place(&mut self, id: ReaderId) {
        if !self.places.is_empty() {
            self.places.remove(&id.number);
        }
    }

    /// Records the gap that a reader is told of.
    pub(crate) fn record_gap(&mut self, id: ReaderId, reason: GapReason) {
        self.last_gaps.insert(id.number, reason);
    }

    /// Returns all readers in order of subscription.
    fn ids(&self) -> Vec<ReaderId> {
        let mut ids: Vec<ReaderId> =
            self.entries.iter().map(|(index, entry)| ReaderId { number: entry.number, index }).collect();
        sort_by_number(&mut ids);
        ids
    }
}

fn sort_by_number(ids: &mut [ReaderId]) {
    ids.sort_unstable_by_key(|id| id.number);
}

fn remove_id(ids: &mut Vec<ReaderId>, id: ReaderId) {
    if let Ok(index) = ids.binary_search_by_key(&id.number, |id| id.number) {
        ids.remove(index);
    }
}

#[cfg(test)]
mod tests;
