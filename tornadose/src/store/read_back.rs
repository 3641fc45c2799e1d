//! The messages of this process on their way to the backend, as they were read back at submit. When the entry of one
//! comes back, its readers get this value, and the payload is not decoded a second time.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::message::Message;
use crate::store::decode::Decoded;
use crate::store::limits::ENTRY_OVERHEAD;
use crate::store::ordered_map::OrderedMap;

/// Messages by their numbers, bounded in bytes. A message that had to make room is decoded when its entry comes.
pub(crate) struct ReadBack<M: Message> {
    kept: Mutex<Kept<M>>,
    bytes_max: usize,
    hasher: RandomState,
}

struct Kept<M: Message> {
    by_number: OrderedMap<u64, Sent<M>>,
    bytes: usize,
}

struct Sent<M: Message> {
    decoded: Decoded<M>,
    payload_hash: u64,
    size: usize,
}

/// The kinds of entries that name this process as their sender.
pub(crate) enum Recognized<M: Message> {
    /// It is this message.
    Sent(Decoded<M>),
    /// A message of its number was sent with another payload.
    Different,
    /// No message of its number is kept.
    Unknown,
}

impl<M: Message> ReadBack<M> {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let kept = Kept { by_number: OrderedMap::default(), bytes: 0 };
        Self { kept: Mutex::new(kept), bytes_max, hasher: RandomState::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Kept<M>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the hash by which an entry's payload is compared with what was sent. No other program knows its key.
    pub(crate) fn hash(&self, payload: &[u8]) -> u64 {
        self.hasher.hash_one(payload)
    }

    /// Keeps a message that is about to be sent.
    pub(crate) fn insert(&self, number: u64, decoded: Decoded<M>, payload_hash: u64, payload_bytes: usize) {
        let size = payload_bytes + ENTRY_OVERHEAD;
        let mut evicted = Vec::new();
        let mut kept = self.lock();
        kept.bytes += size;
        evicted.extend(kept.by_number.insert(number, Sent { decoded, payload_hash, size }));
        while kept.bytes > self.bytes_max
            && let Some((_, oldest)) = kept.by_number.pop_first()
        {
            kept.bytes -= oldest.size;
            evicted.push(oldest);
        }
        // Dropped after unlocking: a message has a `Drop` of its own.
        drop(kept);
        drop(evicted);
    }

    /// Takes the message of this number, if it was sent with this payload.
    pub(crate) fn take(&self, number: u64, payload: &[u8]) -> Recognized<M> {
        let mut kept = self.lock();
        let Some(sent) = kept.by_number.get(&number) else { return Recognized::Unknown };
        if sent.payload_hash != self.hash(payload) {
            return Recognized::Different;
        }
        match kept.remove(number) {
            Some(decoded) => Recognized::Sent(decoded),
            None => Recognized::Unknown,
        }
    }

    /// Drops the message of this number, which was not sent.
    pub(crate) fn remove(&self, number: u64) {
        let removed = self.lock().remove(number);
        drop(removed);
    }
}

impl<M: Message> Kept<M> {
    fn remove(&mut self, number: u64) -> Option<Decoded<M>> {
        let sent = self.by_number.remove(&number)?;
        self.bytes -= sent.size;
        Some(sent.decoded)
    }
}
