//! How a connection is ended and aborted from elsewhere: one whose body its server polls, and one that has a task of its own. When it
//! is, is `connections`' affair.

use salvo::conn::ConnCtrl;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::handler::connection::registry::Control;
use crate::handler::connection::span::{Closing, Why};
use crate::message::Message;
use crate::store::reader::handle::ReaderHandle;
use crate::store::registry::EndReason;

pub(crate) struct OverServer<M: Message> {
    pub(crate) reader: ReaderHandle<M>,
    pub(crate) closing: Closing,
    pub(crate) conn: Option<ConnCtrl>,
}

impl<M: Message> Control for OverServer<M> {
    fn end(&self, end: EndReason) {
        self.reader.end(end);
    }

    fn abort(&self, why: Why) {
        self.closing.because(why, None);
        self.conn.iter().for_each(ConnCtrl::abort);
    }

    fn pending_since(&self) -> Option<Instant> {
        self.reader.pending_since()
    }
}

pub(crate) struct OverTask<M: Message> {
    pub(crate) reader: ReaderHandle<M>,
    pub(crate) closing: Closing,
    pub(crate) task: AbortHandle,
}

impl<M: Message> Control for OverTask<M> {
    fn end(&self, end: EndReason) {
        self.reader.end(end);
    }

    fn abort(&self, why: Why) {
        self.closing.because(why, None);
        self.task.abort();
    }

    /// A task notices by itself when its socket takes nothing.
    fn pending_since(&self) -> Option<Instant> {
        None
    }
}
