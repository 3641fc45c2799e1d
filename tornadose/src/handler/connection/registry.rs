//! The open connections of a handler or of a server: their numbers, their limit, and their end.
//!
//! # Ordering
//!
//! Connections are numbered in the order in which they open, and ended in that order.
//!
//! # Lagging
//!
//! A connection that has unread messages and does not read them in time is aborted.
//!
//! # Closing
//!
//! A connection is removed when its permit is dropped, however it closed.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::handler::connection::control::Control;
use crate::handler::connection::record::CloseReason;
use crate::store::end::EndReason;
use crate::sync::{Mutex, MutexGuard, Notify, PoisonError};

/// How long a connection may take to close before it is aborted.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

type WatchdogFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The open connections, in the order in which they opened.
#[derive(Default)]
pub(crate) struct Connections {
    state: Mutex<State>,
    /// Notified when the last connection is removed.
    emptied: Notify,
    /// The task that aborts connections which cannot close by themselves. It has a weak reference to this.
    watchdog: Mutex<Option<AbortHandle>>,
}

impl Drop for Connections {
    fn drop(&mut self) {
        let watchdog = self.watchdog.get_mut().unwrap_or_else(PoisonError::into_inner);
        watchdog.iter().for_each(AbortHandle::abort);
    }
}

#[derive(Default)]
struct State {
    /// The number of the last connection that asked for a permit.
    last_number: u64,
    /// The open connections by number, and their controls once they are set.
    open: BTreeMap<u64, Option<Arc<dyn Control>>>,
    is_stopping: bool,
    is_aborted: bool,
}

impl State {
    fn controls(&self) -> Vec<Arc<dyn Control>> {
        self.open.values().flatten().cloned().collect()
    }
}

impl Connections {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Spawns the watchdog unless it is running. An earlier one may have ended with its runtime.
    pub(crate) fn ensure_watchdog(self: &Arc<Self>, watch: impl FnOnce(Weak<Self>) -> WatchdogFuture) {
        let mut watchdog = self.watchdog.lock().unwrap_or_else(PoisonError::into_inner);
        if watchdog.as_ref().is_none_or(AbortHandle::is_finished) {
            *watchdog = Some(tokio::spawn(watch(Arc::downgrade(self))).abort_handle());
        }
    }

    /// Returns the number of a new connection, from 1, and its permit. There is no permit when `max` connections are
    /// open, or when the server stops.
    pub(crate) fn open(self: &Arc<Self>, max: Option<usize>) -> (u64, Option<ConnectionPermit>) {
        let mut state = self.lock();
        state.last_number += 1;
        let number = state.last_number;
        if state.is_stopping || max.is_some_and(|max| state.open.len() >= max) {
            return (number, None);
        }
        state.open.insert(number, None);
        (number, Some(ConnectionPermit { connections: Arc::clone(self), number }))
    }

    /// Ends every connection, and gives out no more permits.
    pub(crate) fn stop(&self, reason: EndReason) {
        let controls = {
            let mut state = self.lock();
            state.is_stopping = true;
            state.controls()
        };
        for control in controls {
            control.end(reason);
        }
    }

    /// Aborts connections that have not read their messages for this long, and those whose end is due. Returns when to
    /// check again.
    pub(crate) fn abort_overdue(&self, stall_timeout: Duration) -> Instant {
        let now = Instant::now();
        let mut next = now + stall_timeout;
        let controls = self.lock().controls();
        for control in controls {
            let stalled = control.unread_since().map(|since| (since + stall_timeout, CloseReason::Stalled));
            let ended = control.end_due().map(|(due_at, reason)| (due_at, CloseReason::Ended(reason)));
            match stalled.into_iter().chain(ended).min_by_key(|(deadline, _)| *deadline) {
                Some((deadline, reason)) if deadline <= now => control.abort(reason),
                Some((deadline, _)) => next = next.min(deadline),
                None => {}
            }
        }
        next
    }

    /// Aborts every connection, also one whose control is set later.
    pub(crate) fn abort_all(&self) {
        let controls = {
            let mut state = self.lock();
            state.is_aborted = true;
            state.controls()
        };
        for control in controls {
            control.abort(CloseReason::Aborted);
        }
    }

    /// Returns when no connection is open.
    pub(crate) async fn wait_until_empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.lock().open.is_empty() {
                return;
            }
            emptied.await;
        }
    }
}

/// The permit of one open connection, released when it is dropped.
pub(crate) struct ConnectionPermit {
    connections: Arc<Connections>,
    number: u64,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut state = self.connections.lock();
        state.open.remove(&self.number);
        let is_empty = state.open.is_empty();
        drop(state);
        if is_empty {
            self.connections.emptied.notify_waiters();
        }
    }
}

/// The permits of one connection: its handler's, and its server's under [`serve`](crate::serve).
pub(crate) struct Permits {
    pub(crate) handler: ConnectionPermit,
    pub(crate) server: Option<ConnectionPermit>,
}

impl Permits {
    /// Returns where to set the connection's control.
    pub(crate) fn registration(&self) -> Registration {
        let permits = [Some(&self.handler), self.server.as_ref()].into_iter().flatten();
        Registration(permits.map(|permit| (Arc::clone(&permit.connections), permit.number)).collect())
    }
}

/// Where the control of one connection is set.
pub(crate) struct Registration(Vec<(Arc<Connections>, u64)>);

impl Registration {
    /// Sets the connection's control, in place of an earlier one.
    pub(crate) fn set_control(self, control: impl Control + 'static) {
        let control: Arc<dyn Control> = Arc::new(control);
        for (connections, number) in self.0 {
            let mut state = connections.lock();
            let (is_stopping, is_aborted) = (state.is_stopping, state.is_aborted);
            // A connection that is closed already has no entry any more.
            if let Some(entry) = state.open.get_mut(&number) {
                *entry = Some(Arc::clone(&control));
            }
            drop(state);
            // The connection got its permit before the stop, which could not reach it.
            if is_stopping {
                control.end(EndReason::Stopping);
            }
            if is_aborted {
                control.abort(CloseReason::Aborted);
            }
        }
    }
}
