//! The bounds of a store. Their defaults come from the type of its messages.

use crate::message::Message;

/// The bytes that a store's `memory` counts for each kept message, and for each key with something kept, beside the
/// encoded bytes and the size of the key. They cover the index entries and the buffers' headers.
///
/// ```
/// assert_eq!(tornadose::ENTRY_OVERHEAD, 512);
/// ```
pub const ENTRY_OVERHEAD: usize = 512;

/// How much a store keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Queue messages of each key, at least 1.
    pub(crate) capacity: usize,
    /// Encoded bytes of all messages, with their overhead, and of all keys.
    pub(crate) memory: usize,
    /// The longest JSON of a key, in bytes.
    pub(crate) max_key: usize,
}

impl Limits {
    pub(crate) const fn of<M: Message>() -> Self {
        Self { capacity: M::CAPACITY, memory: M::MEMORY, max_key: M::MAX_KEY }.with_capacity(M::CAPACITY)
    }

    /// A capacity of 0 counts as 1.
    pub(crate) const fn with_capacity(mut self, capacity: usize) -> Self {
        self.capacity = if capacity == 0 { 1 } else { capacity };
        self
    }
}
