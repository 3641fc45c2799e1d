//! The inspector's view of the registry: its readers, a page at a time, under the store's lock.

use std::ops::Range;

use tokio::time::Instant;

use crate::id::Offset;
use crate::store::end::EndReason;
use crate::store::reader::mailbox::MailboxState;
use crate::store::registry::kind::ReaderKind;
use crate::store::registry::{ReaderEntry, ReaderId, ReaderRegistry};

/// How far a reader has read, as far as that is known without asking it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// Everything of its keys up to this offset.
    Through(Offset),
    /// It is being opened, or was woken and is about to read.
    Unknown,
    /// Everything.
    AtHead,
}

/// A reader, as it is seen in passing.
#[derive(Clone, Copy)]
pub(crate) struct SeenReader {
    pub(crate) id: ReaderId,
    pub(crate) place: Place,
}

/// The facts of a reader that the registry has.
pub(crate) struct ReaderFacts {
    pub(crate) kind: ReaderKind,
    pub(crate) place: Place,
    /// When it opened, in tenths of a second since the store was created.
    pub(crate) opened_at: u32,
    /// Since when it has unread messages.
    pub(crate) unread_since: Option<Instant>,
    /// Why it ends, or the last gap that it was told of.
    pub(crate) last_reason: Option<&'static str>,
}

impl ReaderId {
    /// Returns its number, in order of subscription.
    pub(crate) fn number(self) -> u64 {
        self.number
    }
}

impl<M> ReaderRegistry<M> {
    /// Returns the time since the store was created, in tenths of a second.
    pub(crate) fn age_tenths(&self) -> u32 {
        u32::try_from(self.created_at.elapsed().as_millis() / 100).unwrap_or(u32::MAX)
    }

    /// Returns the readers at these places of the table, and whether there may be more behind them.
    pub(crate) fn readers_at(&self, places: Range<usize>) -> (Vec<SeenReader>, bool) {
        let has_more = places.end < self.entries.capacity();
        let entries = places.filter_map(|index| Some((index, self.entries.get(index)?)));
        let seen = entries.map(|(index, entry)| SeenReader {
            id: ReaderId { number: entry.number, index },
            place: self.place_of(entry),
        });
        (seen.collect(), has_more)
    }

    /// Returns what is known of a reader; `None` when it is gone.
    pub(crate) fn facts(&self, id: ReaderId) -> Option<ReaderFacts> {
        let entry = self.entries.get(id.index).filter(|entry| entry.number == id.number)?;
        let last_gap = self.last_gaps.get(&id.number).map(|reason| reason.name());
        Some(ReaderFacts {
            kind: entry.kind,
            place: self.place_of(entry),
            opened_at: entry.mailbox.opened_at(),
            unread_since: entry.mailbox.unread_since(),
            last_reason: entry.end.map(EndReason::name).or(last_gap),
        })
    }

    /// Returns what a reader is.
    pub(crate) fn kind_of(&self, id: ReaderId) -> ReaderKind {
        self.entries[id.index].kind
    }

    /// Returns how many keys may have readers. Their indexes are below this number.
    pub(crate) fn key_index_end(&self) -> usize {
        self.by_key.len()
    }

    /// Returns which of these readers, which are in order of subscription, read a key, as their indexes.
    pub(crate) fn holders_among(&self, key_index: usize, wanted: &[ReaderId]) -> Vec<usize> {
        let holders = self.by_key.get(key_index).map_or(&[][..], Vec::as_slice);
        common(holders, wanted)
    }

    /// As [`holders_among`](Self::holders_among), for those that read all keys.
    pub(crate) fn all_keys_among(&self, wanted: &[ReaderId]) -> Vec<usize> {
        common(&self.all_keys, wanted)
    }

    fn place_of(&self, entry: &ReaderEntry<M>) -> Place {
        let wants_messages = entry.wants_messages;
        let seen = entry.mailbox.look(|state, message, has_waker| match (state, message) {
            // It has read everything before this message.
            (MailboxState::HasMessage | MailboxState::ReadLog, Some(message)) => {
                Some(Place::Through(message.offset().previous()))
            }
            (MailboxState::Empty | MailboxState::Parked, _) => Some(Place::AtHead),
            _ => (has_waker && wants_messages && entry.messages_until_wake == 0).then_some(Place::AtHead),
        });
        let recorded = self.places.get(&entry.number).map(|offset| Place::Through(*offset));
        recorded.or(seen).unwrap_or(Place::Unknown)
    }
}

/// Returns the indexes in `wanted` of the readers that are in both lists. Both are in order of subscription.
fn common(holders: &[ReaderId], wanted: &[ReaderId]) -> Vec<usize> {
    if holders.len() <= wanted.len() {
        let find = |holder: &ReaderId| wanted.binary_search_by_key(&holder.number, |id| id.number).ok();
        return holders.iter().filter_map(find).collect();
    }
    let is_holder = |id: &ReaderId| holders.binary_search_by_key(&id.number, |holder| holder.number).is_ok();
    wanted.iter().enumerate().filter(|(_, id)| is_holder(id)).map(|(index, _)| index).collect()
}
