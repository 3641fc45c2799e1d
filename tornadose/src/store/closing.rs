//! How a closed store takes what the `closed` hooks of its connections submit, until the last of them has returned.
//!
//! A hook is recognized by its task, and not by its handle of the store: a handle that was kept from before has the
//! same right in it, and a clone that leaves the hook for another task has none.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::message::Message;
use crate::store::Store;
use crate::store::shared::{Shared, State};

/// How long [`Store::closed`] waits for a backend to take what hooks have handed off, from the close on.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

tokio::task_local! {
    /// Is set in the task of a `closed` hook.
    static IN_CLOSED_HOOK: ();
}

/// Runs a `closed` hook, whose submits a closed store takes.
pub(crate) async fn run_closed_hook(hook: impl Future<Output = ()>) {
    IN_CLOSED_HOOK.scope((), hook).await;
}

/// Keeps a closed store open for the submits of `closed` hooks. A connection has one from before it opens until its hook
/// has returned.
pub(crate) struct HookPermit<M: Message> {
    shared: Arc<Shared<M>>,
}

impl<M: Message> Store<M> {
    /// Returns the permit of a connection with a `closed` hook; `None` when the store is closed.
    pub(crate) fn hook_permit(&self) -> Option<HookPermit<M>> {
        let mut state = self.shared().lock();
        if state.closed {
            return None;
        }
        state.hooks += 1;
        drop(state);
        Some(HookPermit { shared: Arc::clone(self.shared()) })
    }

    /// Resolves when the backend has taken what hooks handed off while the store was closing.
    pub(super) async fn drain_hooks(&self) {
        let Some(deadline) = self.shared().lock().hooks_drain_by else { return };
        if let Some(backend) = &self.shared().backend {
            // A backend that cannot be reached is not waited for any longer.
            let _drained = timeout_at(deadline, backend.outbox.drained()).await;
        }
    }
}

impl<M: Message> Drop for HookPermit<M> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.hooks -= 1;
        let is_last = state.closed && state.hooks == 0;
        drop(state);
        if is_last {
            self.shared.end_submits();
            self.shared.closed_notify.notify_waiters();
        }
    }
}

impl<M: Message> State<M> {
    /// Whether the log takes messages: the store is open, or hooks of its connections may still submit.
    pub(super) fn takes_messages(&self) -> bool {
        !self.closed || self.hooks > 0
    }

    /// Whether the log takes a message that this task submits.
    #[inline]
    pub(super) fn takes_submit(&self) -> bool {
        !self.closed || (self.hooks > 0 && IN_CLOSED_HOOK.try_with(|()| ()).is_ok())
    }

    /// Closes the store. Returns whether hooks may still submit, or `None` when it was closed before.
    pub(super) fn begin_close(&mut self) -> Option<bool> {
        if std::mem::replace(&mut self.closed, true) {
            return None;
        }
        let waits_for_hooks = self.hooks > 0;
        self.hooks_drain_by = waits_for_hooks.then(|| Instant::now() + DRAIN_TIMEOUT);
        Some(waits_for_hooks)
    }
}
