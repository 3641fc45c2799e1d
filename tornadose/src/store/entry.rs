//! A message at its place in the log, and runs of them that readers take together. What the bytes look like is `wire`'s affair.

use std::mem::discriminant;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::event::Event;
use crate::id::{Id, Offset};
use crate::message::Retention;

/// How many encodings an entry can carry, one for each transport.
pub(crate) const ENCODINGS: usize = 2;

/// What makes bytes of an entry. An entry asks each encoding once, whoever reads it and however often.
pub(crate) trait Encoding {
    /// Which of the [`ENCODINGS`] this is.
    const SLOT: usize;

    fn encode(id: Id, event: &Event) -> Bytes;

    /// What was encoded, in one piece.
    fn join<'a>(pieces: impl Iterator<Item = &'a Bytes> + Clone) -> Bytes;
}

/// A message at its place in the log.
pub(crate) struct Entry<M> {
    pub(crate) id: Id,
    pub(crate) message: Arc<M>,
    pub(crate) event: Event,
    pub(crate) retention: Retention,
    /// Where the log keeps what it knows of the message's key.
    pub(super) topic: usize,
    /// What the log counts it for, in bytes.
    pub(super) charge: usize,
    encodings: [OnceLock<Bytes>; ENCODINGS],
}

impl<M> Entry<M> {
    pub(super) fn new(
        id: Id,
        message: Arc<M>,
        event: Event,
        retention: Retention,
        topic: usize,
        charge: usize,
    ) -> Self {
        Self { id, message, event, retention, topic, charge, encodings: [const { OnceLock::new() }; ENCODINGS] }
    }

    pub(crate) fn offset(&self) -> Offset {
        self.id.offset
    }

    pub(crate) fn encoded<E: Encoding>(&self) -> &Bytes {
        self.encodings[E::SLOT].get_or_init(|| E::encode(self.id, &self.event))
    }

    /// Whether a `latest` message takes this one's place: the same variant under the same name.
    pub(super) fn is_replaced_by(&self, message: &M, event: &Event) -> bool {
        discriminant::<M>(&self.message) == discriminant(message) && self.event.name() == event.name()
    }
}

/// What a reader takes at once: one entry, or several that are ready together.
pub(crate) enum Run<M> {
    One(Arc<Entry<M>>),
    Many(Arc<Batch<M>>),
}

impl<M> Run<M> {
    pub(crate) fn entries(&self) -> &[Arc<Entry<M>>] {
        match self {
            Self::One(entry) => std::slice::from_ref(entry),
            Self::Many(batch) => &batch.entries,
        }
    }

    /// The bytes of all its entries, shared with every reader at the same place.
    pub(crate) fn encoded<E: Encoding>(&self) -> &Bytes {
        match self {
            Self::One(entry) => entry.encoded::<E>(),
            Self::Many(batch) => batch.encodings[E::SLOT].get_or_init(|| batch.joined::<E>()),
        }
    }
}

impl<M> Clone for Run<M> {
    fn clone(&self) -> Self {
        match self {
            Self::One(entry) => Self::One(Arc::clone(entry)),
            Self::Many(batch) => Self::Many(Arc::clone(batch)),
        }
    }
}

/// Entries that are read together, and their bytes in one piece.
pub(crate) struct Batch<M> {
    entries: Box<[Arc<Entry<M>>]>,
    encodings: [OnceLock<Bytes>; ENCODINGS],
}

impl<M> Batch<M> {
    pub(super) fn new(entries: Vec<Arc<Entry<M>>>) -> Self {
        Self { entries: entries.into_boxed_slice(), encodings: [const { OnceLock::new() }; ENCODINGS] }
    }

    fn joined<E: Encoding>(&self) -> Bytes {
        E::join(self.entries.iter().map(|entry| entry.encoded::<E>()))
    }
}
