//! A message at its offset in the log, with its encodings. Each encoding is computed once and shared by all readers.

use std::mem::discriminant;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::event::Event;
use crate::id::{Id, Offset};
use crate::message::Retention;
use crate::store::kept_as::{KeptAs, QueueRole};

/// How many encodings an entry can hold, one for each transport.
pub(crate) const ENCODINGS: usize = 2;

/// Encodes entries for a transport. Each entry is encoded at most once per encoding, however many readers it has.
pub(crate) trait Encoding {
    /// Which of the [`ENCODINGS`] this is.
    const SLOT: usize;

    /// Encodes an event. Without an id it moves no position.
    fn encode(id: Option<Id>, event: &Event) -> Bytes;

    /// Joins encoded entries in one buffer.
    fn join<'a>(pieces: impl Iterator<Item = &'a Bytes> + Clone) -> Bytes;
}

/// The encodings of an entry or a batch that were asked for so far.
pub(super) type Encodings = [OnceLock<Bytes>; ENCODINGS];

/// Returns encodings of which none was asked for.
pub(super) const fn no_encodings() -> Encodings {
    [const { OnceLock::new() }; ENCODINGS]
}

/// A message at its offset in the log.
pub(crate) struct Entry<M> {
    /// That of an ephemeral message is its place, and is not written.
    pub(crate) id: Id,
    pub(crate) message: Arc<M>,
    pub(crate) event: Event,
    pub(crate) retention: Retention,
    /// The part that it has in the snapshot of its key.
    pub(crate) role: QueueRole,
    /// The index of the message's key in the log.
    pub(super) key_index: usize,
    /// The bytes that count towards the store's `memory`.
    pub(super) cost: usize,
    encodings: Encodings,
}

/// A queue message that is kept as bytes, because this process has no reader of its key.
pub(crate) struct Undecoded {
    pub(crate) offset: Offset,
    /// The JSON of its key, as its sender has written it.
    pub(crate) key_text: Arc<str>,
    pub(crate) payload: Box<[u8]>,
    /// The index of the key in the log.
    pub(super) key_index: usize,
    /// The bytes that count towards the store's `memory`: at least those that it takes.
    pub(super) cost: usize,
}

impl<M> Entry<M> {
    pub(super) fn new(id: Id, message: Arc<M>, event: Event, kept_as: &KeptAs, key_index: usize, cost: usize) -> Self {
        let (retention, role) = (kept_as.retention(), kept_as.role());
        Self { id, message, event, retention, role, key_index, cost, encodings: no_encodings() }
    }

    pub(crate) fn offset(&self) -> Offset {
        self.id.offset
    }

    pub(crate) fn key_index(&self) -> usize {
        self.key_index
    }

    pub(crate) fn encoded<E: Encoding>(&self) -> &Bytes {
        self.encodings[E::SLOT].get_or_init(|| E::encode((!self.is_ephemeral()).then_some(self.id), &self.event))
    }

    /// Returns whether it is written without an id.
    pub(crate) fn is_ephemeral(&self) -> bool {
        self.retention == Retention::Ephemeral
    }

    /// Returns whether a newer `latest` message of the same key replaces this one: it has the same variant and the
    /// same event name.
    pub(super) fn is_replaced_by(&self, message: &M, event: &Event) -> bool {
        discriminant::<M>(&self.message) == discriminant(message) && self.event.name() == event.name()
    }
}
