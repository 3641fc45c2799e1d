//! The bounds of a store. Their defaults come from the type of its messages.

use crate::message::Message;

/// How much a store keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Queue messages of each key, at least 1.
    pub(crate) capacity: usize,
    /// Encoded bytes of all messages, with their overhead.
    pub(crate) memory: usize,
}

impl Limits {
    pub(crate) const fn of<M: Message>() -> Self {
        Self { capacity: M::CAPACITY, memory: M::MEMORY }.with_capacity(M::CAPACITY)
    }

    /// A capacity of 0 counts as 1.
    pub(crate) const fn with_capacity(mut self, capacity: usize) -> Self {
        self.capacity = if capacity == 0 { 1 } else { capacity };
        self
    }
}
