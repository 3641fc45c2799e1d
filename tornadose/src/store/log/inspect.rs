//! The inspector's view of a log: how much it keeps, its keys, and how much a reader has yet to read.

use std::sync::Arc;

use serde_json::Value;

use crate::id::Offset;
use crate::message::Message;
use crate::store::entry::Entry;
use crate::store::key_json::{key_text, wire_key};
use crate::store::log::Log;
use crate::store::log::cursor::above;

/// The kept messages that a reader has yet to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unread {
    pub(crate) messages: u64,
    /// The bytes of their data.
    pub(crate) bytes: u64,
    /// Whether there are more than were counted.
    pub(crate) is_more: bool,
}

impl Unread {
    /// Counts entries up to so many. Each takes one of `budget`.
    fn count<'a, M: 'a>(&mut self, entries: impl Iterator<Item = &'a Arc<Entry<M>>>, max: u64, budget: &mut usize) {
        for entry in entries {
            if self.messages >= max {
                self.is_more = true;
                return;
            }
            self.messages += 1;
            self.bytes += entry.event.data().len() as u64;
            *budget = budget.saturating_sub(1);
        }
    }
}

impl<M: Message> Log<M> {
    /// Returns how many messages are kept, decoded or not.
    pub(crate) fn kept_messages(&self) -> usize {
        self.queue.len() + self.undecoded.len() + self.latest.len() + self.ephemerals.kept.len()
    }

    /// Returns how many keys are known.
    pub(crate) fn known_keys(&self) -> usize {
        self.keys.count()
    }

    /// Returns a number above the indexes of all keys.
    pub(crate) fn key_index_end(&self) -> usize {
        self.keys.index_end()
    }

    /// Returns the JSON of a key as clients name it: the value alone where it has one field. `None` when there is no
    /// key of this index.
    pub(crate) fn key_json(&self, key_index: usize) -> Option<String> {
        let key_log = self.keys.at(key_index)?;
        let text = key_log.key.as_deref().and_then(|key| key_text(key).ok());
        let text = text.or_else(|| key_log.text.as_deref().map(str::to_owned))?;
        Some(wire_key(&text).into_owned())
    }

    /// Returns the key of an index if it has this JSON, as it is or as clients name it.
    pub(crate) fn key_of_json(&self, key_index: usize, json: &Value) -> Option<&M::Key> {
        let key = self.keys.at(key_index)?.key.as_deref()?;
        let value = serde_json::to_value(key).ok()?;
        let is_bare = || match &value {
            Value::Object(fields) if fields.len() == 1 => fields.values().next() == Some(json),
            _ => false,
        };
        (value == *json || is_bare()).then_some(key)
    }

    /// Counts what is kept after an offset: of these keys, or of all keys. At most `max` messages are counted, and
    /// each takes one of `budget`.
    pub(crate) fn unread_after(
        &self,
        key_indexes: Option<&[usize]>,
        after: Offset,
        max: u64,
        budget: &mut usize,
    ) -> Unread {
        let mut unread = Unread::default();
        let Some(key_indexes) = key_indexes else {
            unread.count(self.queue.range(above(after)).map(|(_, entry)| entry), max, budget);
            unread.count(self.latest.range(above(after)).map(|(_, entry)| entry), max, budget);
            return unread;
        };
        for key_log in key_indexes.iter().filter_map(|&key_index| self.keys.at(key_index)) {
            *budget = budget.saturating_sub(1);
            unread.count(key_log.queue_after(after), max, budget);
            unread.count(key_log.latest_after(after), max, budget);
        }
        unread
    }
}
