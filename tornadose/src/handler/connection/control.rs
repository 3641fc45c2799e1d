//! How a connection is ended and aborted from outside, in either of its two forms: a body that its server polls, or a
//! task.

use salvo::conn::ConnCtrl;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::handler::connection::record::{CloseReason, CloseReasonCell};
use crate::message::Message;
use crate::store::end::EndReason;
use crate::store::reader::handle::ReaderHandle;

/// Control over one connection, from outside.
pub(crate) trait Control: Send + Sync {
    /// Ends its reader. The connection then closes by itself.
    fn end(&self, reason: EndReason);
    /// Drops the connection without a last frame.
    fn abort(&self, reason: CloseReason);
    /// Since when the connection has unread messages and has not read them. `None` when it has none, and for a
    /// connection that checks its own stall timeout.
    fn unread_since(&self) -> Option<Instant>;
    /// When its reader ends at the latest, and why. `None` when that is not bounded, and for a connection that checks
    /// this itself.
    fn end_due(&self) -> Option<(Instant, EndReason)>;
}

/// Controls a connection whose body its server polls.
pub(crate) struct BodyControl<M: Message> {
    pub(crate) reader: ReaderHandle<M>,
    pub(crate) close_reason: CloseReasonCell,
    pub(crate) conn_ctrl: Option<ConnCtrl>,
}

impl<M: Message> Control for BodyControl<M> {
    fn end(&self, reason: EndReason) {
        self.reader.end(reason);
    }

    fn abort(&self, reason: CloseReason) {
        self.close_reason.set(reason, None);
        self.conn_ctrl.iter().for_each(ConnCtrl::abort);
    }

    fn unread_since(&self) -> Option<Instant> {
        self.reader.unread_since()
    }

    fn end_due(&self) -> Option<(Instant, EndReason)> {
        self.reader.end_due()
    }
}

/// Controls a connection that has a task of its own.
pub(crate) struct TaskControl<M: Message> {
    pub(crate) reader: ReaderHandle<M>,
    pub(crate) close_reason: CloseReasonCell,
    pub(crate) task: AbortHandle,
}

impl<M: Message> Control for TaskControl<M> {
    fn end(&self, reason: EndReason) {
        self.reader.end(reason);
    }

    fn abort(&self, reason: CloseReason) {
        self.close_reason.set(reason, None);
        self.task.abort();
    }

    /// The task itself notices when its socket takes nothing.
    fn unread_since(&self) -> Option<Instant> {
        None
    }

    fn end_due(&self) -> Option<(Instant, EndReason)> {
        None
    }
}
