//! The part of a reader that is used while it is live: its mailbox, and what it read from there. The reader brings
//! that into its cursor and ledger before they are used.

use std::sync::Arc;
use std::task::Waker;

use tokio::time::Instant;

use crate::id::Id;
use crate::message::Retention;
use crate::store::entry::Entry;
use crate::store::reader::mailbox::Mailbox;

pub(super) struct LiveState<M> {
    pub(super) mailbox: Arc<Mailbox<M>>,
    /// The waker that is registered for it.
    waker: Option<Waker>,
    /// The position of the client once it has received everything that was read.
    pub(super) head: Id,
    /// When the reader last read.
    pub(super) last_active: Instant,
    /// The messages read from the mailbox since the counts were last settled. None is ephemeral.
    pub(super) read: MailboxCounts,
    /// The messages delivered since then, wherever they were read.
    pub(super) delivered: u64,
}

/// A number of messages that came through the mailbox.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct MailboxCounts {
    pub(super) queue: u64,
    pub(super) latest: u64,
}

impl MailboxCounts {
    #[inline]
    fn add(&mut self, retention: Retention) {
        match retention {
            Retention::Queue => self.queue += 1,
            Retention::Latest => self.latest += 1,
            // A reader reads it in the log.
            Retention::Ephemeral => {}
        }
    }
}

impl<M> LiveState<M> {
    pub(super) fn new(mailbox: Arc<Mailbox<M>>, head: Id) -> Self {
        let last_active = Instant::now();
        Self { mailbox, waker: None, head, last_active, read: MailboxCounts::default(), delivered: 0 }
    }

    /// Returns whether this is the waker that is registered.
    #[inline]
    pub(super) fn uses_waker(&self, waker: &Waker) -> bool {
        self.waker.as_ref().is_some_and(|kept| kept.will_wake(waker))
    }

    /// Begins at the head, with this waker.
    pub(super) fn begin(&mut self, head: Id, waker: &Waker) {
        self.head = head;
        if !self.uses_waker(waker) {
            self.waker = Some(waker.clone());
        }
    }

    /// Takes the message in the mailbox. Without one, or with another waker, the reader has to read the log.
    #[inline]
    pub(super) fn pop(&mut self, waker: &Waker) -> Option<Arc<Entry<M>>> {
        if !self.uses_waker(waker) {
            return None;
        }
        let (entry, now) = self.mailbox.pop(waker)?;
        self.read.add(entry.retention);
        (self.head, self.last_active) = (entry.id, now);
        Some(entry)
    }
}
