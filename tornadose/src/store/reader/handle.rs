//! A handle to a reader, for others than its own task. It stays valid when the reader is gone.

use std::sync::Arc;
use std::task::Waker;

use tokio::time::Instant;

use crate::message::Message;
use crate::store::end::{End, EndReason};
use crate::store::registry::ReaderId;
use crate::store::shared::Shared;

pub(crate) struct ReaderHandle<M: Message> {
    shared: Arc<Shared<M>>,
    id: ReaderId,
}

impl<M: Message> ReaderHandle<M> {
    pub(super) fn new(shared: Arc<Shared<M>>, id: ReaderId) -> Self {
        Self { shared, id }
    }

    /// Ends the reader after everything that it is owed, for this reason unless it has one already.
    pub(crate) fn end(&self, reason: EndReason) {
        let waker = self.shared.lock().readers.end(self.id, End::after_everything(reason));
        waker.into_iter().for_each(Waker::wake);
    }

    /// Returns when the reader ends at the latest, and why; `None` when that is not bounded here, or it is gone.
    pub(crate) fn end_due(&self) -> Option<(Instant, EndReason)> {
        self.shared.lock().readers.end_due(self.id)
    }

    /// Returns since when the reader has unread messages; `None` while it waits for more, or is gone.
    pub(crate) fn unread_since(&self) -> Option<Instant> {
        self.shared.lock().readers.unread_since(self.id)
    }
}
