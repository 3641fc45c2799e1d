//! Entries that a reader takes at once. Readers at the same position share a batch, and with it the encoded bytes.

use std::sync::Arc;

use bytes::Bytes;

use crate::id::Offset;
use crate::store::entry::{Encoding, Encodings, Entry, no_encodings};

/// How many encoded bytes a batch has at most; a single larger message is a batch of its own.
const BATCH_BYTES: usize = 64 << 10;

/// An estimate of the bytes that an event's id and frame take.
const ENVELOPE_BYTES: usize = 64;

/// One entry, or several that are ready together.
pub(crate) enum Batch<M> {
    One(Arc<Entry<M>>),
    Many(Arc<SharedBatch<M>>),
}

impl<M> Batch<M> {
    /// Collects entries of the log up to `last`, as many as fit. Either all of them are above `boundary` or none is.
    pub(super) fn collect<'a>(
        entries: impl Iterator<Item = &'a Arc<Entry<M>>>,
        boundary: Offset,
        last: Option<Offset>,
    ) -> Option<Self>
    where
        M: 'a,
    {
        let mut entries = entries.take_while(|entry| last.is_none_or(|last| entry.offset() <= last));
        let first = entries.next()?;
        let is_above = first.offset() > boundary;
        let mut rest = entries.take_while(|entry| (entry.offset() > boundary) == is_above).peekable();
        if rest.peek().is_none() {
            return Some(Self::One(Arc::clone(first)));
        }
        let mut bytes = first.event.encoded_len_max() + ENVELOPE_BYTES;
        let rest = rest.take_while(|entry| {
            bytes += entry.event.encoded_len_max() + ENVELOPE_BYTES;
            bytes <= BATCH_BYTES
        });
        let mut entries: Vec<Arc<Entry<M>>> = std::iter::once(first).chain(rest).map(Arc::clone).collect();
        if entries.len() == 1 {
            return entries.pop().map(Self::One);
        }
        Some(Self::Many(Arc::new(SharedBatch { entries: entries.into_boxed_slice(), encodings: no_encodings() })))
    }

    pub(crate) fn entries(&self) -> &[Arc<Entry<M>>] {
        match self {
            Self::One(entry) => std::slice::from_ref(entry),
            Self::Many(batch) => &batch.entries,
        }
    }

    /// Returns the offset of its last entry.
    pub(crate) fn last_offset(&self) -> Offset {
        self.entries().last().expect("a batch is not empty").offset()
    }

    /// Returns the bytes of all its entries. Readers at the same position share them.
    pub(crate) fn encoded<E: Encoding>(&self) -> &Bytes {
        match self {
            Self::One(entry) => entry.encoded::<E>(),
            Self::Many(batch) => batch.encodings[E::SLOT].get_or_init(|| batch.join::<E>()),
        }
    }
}

impl<M> Clone for Batch<M> {
    fn clone(&self) -> Self {
        match self {
            Self::One(entry) => Self::One(Arc::clone(entry)),
            Self::Many(batch) => Self::Many(Arc::clone(batch)),
        }
    }
}

/// Several entries that are read together, and their bytes in one piece.
pub(crate) struct SharedBatch<M> {
    entries: Box<[Arc<Entry<M>>]>,
    encodings: Encodings,
}

impl<M> SharedBatch<M> {
    fn join<E: Encoding>(&self) -> Bytes {
        E::join(self.entries.iter().map(|entry| entry.encoded::<E>()))
    }
}

/// A batch that was read recently, for the next reader at the same position.
pub(crate) struct CachedBatch<M> {
    /// The index of the key whose messages it has; `None` when it has those of all keys.
    pub(super) key_index: Option<usize>,
    pub(super) version: u64,
    /// Readers from here up to the first entry of the batch are at the same position.
    pub(super) after: Offset,
    /// The number of the first ephemeral message that such a reader has not passed; 0 without one.
    pub(super) ephemeral: u64,
    pub(super) batch: Arc<SharedBatch<M>>,
}

impl<M> CachedBatch<M> {
    /// Returns whether a reader at this position of this key, or of all keys, reads this batch next. `ephemeral`: the first
    /// ephemeral message that it has not passed.
    pub(super) fn is_next_at(&self, position: Offset, key_index: Option<usize>, version: u64, ephemeral: u64) -> bool {
        // Most of the cached batches differ in the first of these.
        self.key_index == key_index
            && self.version == version
            && self.ephemeral == ephemeral
            && self.after <= position
            && self.is_ahead_of(position)
    }

    fn is_ahead_of(&self, position: Offset) -> bool {
        let first = &self.batch.entries[0];
        // An ephemeral message may have the place up to which everything is read.
        position < first.offset() || (position == first.offset() && first.is_ephemeral())
    }
}
