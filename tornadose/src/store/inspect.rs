//! The inspector's view of a store: its figures, its keys and its readers. The store is locked for a page of them at a
//! time.

use serde_json::Value;
use tokio::time::Instant;

use crate::id::Id;
use crate::message::Message;
use crate::store::Store;
use crate::store::log::inspect::Unread;
use crate::store::observers::Observers;
use crate::store::registry::ReaderId;
use crate::store::registry::inspect::{Place, SeenReader};

/// How many readers are looked at under one lock.
const READERS_PER_PAGE: usize = 512;

/// How many keys are looked at under one lock.
const KEYS_PER_PAGE: usize = 1024;

/// How many keys are compared with a text under one lock.
const COMPARED_PER_PAGE: usize = 128;

/// How many unread messages are counted under one lock, and how many of one reader.
const COUNTED_PER_PAGE: usize = 4096;
const COUNTED_MAX: u64 = 1000;

/// The figures of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoreFigures {
    pub(crate) head: Id,
    /// Messages that are kept.
    pub(crate) kept: usize,
    /// The bytes of everything that counts towards `memory`.
    pub(crate) bytes: usize,
    pub(crate) memory: usize,
    /// Keys that are known.
    pub(crate) keys: usize,
    pub(crate) readers: usize,
    pub(crate) connections: usize,
    pub(crate) is_closed: bool,
    /// Whether its backend is connected; always true in memory.
    pub(crate) is_reachable: bool,
    /// The time since it was created, in tenths of a second.
    pub(crate) age_tenths: u32,
}

/// The keys of a reader that is shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeysOfReader {
    /// The indexes of its first keys.
    pub(crate) first: Vec<usize>,
    pub(crate) count: usize,
    pub(crate) is_all: bool,
}

/// How many keys of a reader are shown, and of how many what is unread is counted.
const KEYS_SHOWN: usize = 3;
const KEYS_COUNTED: usize = 64;

/// A reader that is shown.
pub(crate) struct ReaderRow {
    pub(crate) number: u64,
    pub(crate) transport: &'static str,
    pub(crate) opened_at: u32,
    pub(crate) keys: Vec<String>,
    /// How many keys it has; `None` when it reads all keys.
    pub(crate) key_count: Option<usize>,
    /// Up to where it has read; `None` while that is not known.
    pub(crate) position: Option<Id>,
    /// The kept messages that it has yet to read.
    pub(crate) unread: Option<Unread>,
    /// Since when it has had unread messages.
    pub(crate) unread_since: Option<Instant>,
    pub(crate) last_reason: Option<&'static str>,
}

/// A page of what was asked for, and where the next begins, if there is one.
pub(crate) struct Page<T> {
    pub(crate) items: T,
    pub(crate) next: Option<usize>,
}

impl<M: Message> Store<M> {
    pub(crate) fn observers(&self) -> &Observers {
        &self.shared.observers
    }

    pub(crate) fn figures(&self) -> StoreFigures {
        let mut state = self.shared.lock();
        let expired = state.expire_now();
        let figures = StoreFigures {
            head: state.log.head(),
            kept: state.log.kept_messages(),
            bytes: state.log.bytes(),
            memory: self.shared.limits.memory,
            keys: state.log.known_keys(),
            readers: state.readers.count(),
            connections: state.readers.connections(),
            is_closed: state.closed,
            is_reachable: state.reachable,
            age_tenths: state.readers.age_tenths(),
        };
        drop(state);
        drop(expired);
        figures
    }

    /// Returns a page of readers, as they are seen in passing.
    pub(crate) fn page_of_readers(&self, from: usize) -> Page<Vec<SeenReader>> {
        let end = from + READERS_PER_PAGE;
        let (items, has_more) = self.shared.lock().readers.readers_at(from..end);
        Page { items, next: has_more.then_some(end) }
    }

    /// Looks at a page of keys: adds those that these readers have to `of_readers`, which is parallel to them, and
    /// returns how many readers each key has. The readers are in order of subscription.
    pub(crate) fn page_of_keys(
        &self,
        from: usize,
        readers: &[ReaderId],
        of_readers: &mut [KeysOfReader],
    ) -> Page<Vec<(usize, usize)>> {
        let state = self.shared.lock();
        if from == 0 {
            for index in state.readers.all_keys_among(readers) {
                of_readers[index].is_all = true;
            }
        }
        let (end, last) = (from + KEYS_PER_PAGE, state.readers.key_index_end());
        let mut items = Vec::new();
        for key_index in from..end.min(last) {
            let count = state.readers.count_of_key(key_index);
            if count == 0 {
                continue;
            }
            items.push((key_index, count));
            for index in state.readers.holders_among(key_index, readers) {
                let keys = &mut of_readers[index];
                keys.count += 1;
                if keys.first.len() < KEYS_COUNTED {
                    keys.first.push(key_index);
                }
            }
        }
        Page { items, next: (end < last).then_some(end) }
    }

    /// Returns the JSON of keys, as clients name them.
    pub(crate) fn key_jsons(&self, key_indexes: &[usize]) -> Vec<Option<String>> {
        let state = self.shared.lock();
        key_indexes.iter().map(|key_index| state.log.key_json(*key_index)).collect()
    }

    /// Returns the rows of these readers from an index on. Those that are gone are left out.
    pub(crate) fn page_of_rows(
        &self,
        from: usize,
        readers: &[ReaderId],
        of_readers: &[KeysOfReader],
    ) -> Page<Vec<ReaderRow>> {
        let state = self.shared.lock();
        let (mut items, mut budget) = (Vec::new(), COUNTED_PER_PAGE);
        for (index, (id, keys)) in readers.iter().zip(of_readers).enumerate().skip(from) {
            if budget == 0 {
                return Page { items, next: Some(index) };
            }
            budget = budget.saturating_sub(COUNTED_PER_PAGE / 64);
            let Some(facts) = state.readers.facts(*id) else { continue };
            let (position, unread) = match facts.place {
                Place::AtHead => (Some(state.log.head()), Some(Unread::default())),
                Place::Through(offset) => {
                    let key_indexes = if keys.is_all { None } else { Some(&*keys.first) };
                    let mut unread = state.log.unread_after(key_indexes, offset, COUNTED_MAX, &mut budget);
                    unread.is_more |= keys.count > keys.first.len();
                    (Some(state.log.id(offset)), Some(unread))
                }
                Place::Unknown => (None, None),
            };
            items.push(ReaderRow {
                number: id.number(),
                transport: facts.kind.name(),
                opened_at: facts.opened_at,
                keys: keys
                    .first
                    .iter()
                    .take(KEYS_SHOWN)
                    .filter_map(|key_index| state.log.key_json(*key_index))
                    .collect(),
                key_count: (!keys.is_all).then_some(keys.count),
                position,
                unread,
                unread_since: facts.unread_since.filter(|_| unread.is_some_and(|unread| unread.messages > 0)),
                last_reason: facts.last_reason,
            });
        }
        Page { items, next: None }
    }

    /// Looks for the key with this JSON on a page of keys.
    pub(crate) fn page_of_search(&self, from: usize, json: &Value) -> Page<Option<M::Key>> {
        let state = self.shared.lock();
        let (end, last) = (from + COMPARED_PER_PAGE, state.log.key_index_end());
        let key = (from..end.min(last)).find_map(|key_index| state.log.key_of_json(key_index, json).cloned());
        let next = (key.is_none() && end < last).then_some(end);
        Page { items: key, next }
    }
}
