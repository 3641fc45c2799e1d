//! A reader whose connection does not write messages for a while.

use std::sync::Arc;
use std::task::Waker;

use crate::id::Offset;
use crate::message::Message;
use crate::store::reader::Reader;

/// The reason why a reader that waits reads on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Throttled {
    /// It waits. `has_unread`: messages are waiting.
    Waits { has_unread: bool },
    /// It is told to end.
    IsEnding,
    /// So many messages of a key wait that it could lag, or one of its keys is finished.
    IsDue,
}

impl<M: Message> Reader<M> {
    /// Returns the newest offset of the log.
    pub(crate) fn newest_offset(&self) -> Offset {
        self.shared.lock().log.head().offset
    }

    /// Returns whether the reader has read everything up to an offset, and has been at the head before.
    pub(crate) fn has_read_through(&self, offset: Offset) -> bool {
        !self.is_first_pass && self.cursor.has_read_through(offset)
    }

    /// Looks whether the reader can wait before it reads on. If so, `waker` is woken when it is told to end, and before
    /// half of the capacity of a key is unread.
    ///
    /// The reader is not live after this: it reads the log next.
    pub(crate) fn poll_throttled(&mut self, waker: &Waker) -> Throttled {
        drop(self.live.mailbox.discard());
        self.settle_counts();
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        if self.is_in_pass() {
            return Throttled::IsDue;
        }
        if state.readers.end_of(self.id).is_some() {
            return Throttled::IsEnding;
        }
        let unread_max = (shared.limits.capacity / 2).max(1);
        let unread = state.log.most_unread_of_a_key(&self.keys, &self.cursor);
        if unread >= unread_max || state.log.has_finish_ahead(&self.keys, &self.cursor) {
            return Throttled::IsDue;
        }
        state.readers.register_waker_after(self.id, waker, unread_max - unread);
        let has_unread = !state.log.skip_others(&self.keys, &mut self.cursor);
        if has_unread {
            state.readers.record_place(self.id, self.cursor.owed_after());
        } else {
            state.readers.forget_place(self.id);
            self.live.head = state.log.head();
        }
        Throttled::Waits { has_unread }
    }
}
