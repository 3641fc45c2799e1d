//! A handle to a reader, for others than its own task. It stays valid when the reader is gone.

use std::sync::Arc;
use std::task::Waker;

use tokio::time::Instant;

use crate::message::Message;
use crate::store::registry::{EndReason, ReaderId};
use crate::store::shared::Shared;

pub(crate) struct ReaderHandle<M: Message> {
    shared: Arc<Shared<M>>,
    id: ReaderId,
}

impl<M: Message> ReaderHandle<M> {
    pub(super) fn new(shared: Arc<Shared<M>>, id: ReaderId) -> Self {
        Self { shared, id }
    }

    /// Ends the reader, for this reason unless it has one already.
    pub(crate) fn end(&self, reason: EndReason) {
        let waker = self.shared.lock().readers.end(self.id, reason);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Returns since when the reader has unread messages; `None` while it waits for more, or is gone.
    pub(crate) fn unread_since(&self) -> Option<Instant> {
        self.shared.lock().readers.unread_since(self.id)
    }
}
