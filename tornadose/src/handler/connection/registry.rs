//! Which connections a handler, or a server, carries: their number, their limit, their end. What they send is `feed`'s affair.
//!
//! # Ordering
//!
//! Connections are numbered as they open, and ended in that order.
//!
//! # Lagging
//!
//! One that has not come for what it is owed, for too long, is aborted.
//!
//! # Closing
//!
//! A seat is free when it is dropped, however its connection came to its end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::handler::connection::span::Why;
use crate::store::registry::EndReason;

/// How long a connection that was told to end may take before it is aborted.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(5);

/// How to reach a connection from elsewhere.
pub(crate) trait Control: Send + Sync {
    fn end(&self, end: EndReason);
    fn abort(&self, why: Why);
    /// Since when it has not come for what it is owed; a connection that keeps its own time answers nothing.
    fn pending_since(&self) -> Option<Instant>;
}

/// The connections that are open, in order of opening.
#[derive(Default)]
pub(crate) struct Connections {
    state: Mutex<State>,
    gone: Notify,
    /// The task that aborts what cannot end itself. It holds us weakly, and lives as long as any of us.
    watch: Mutex<Option<AbortHandle>>,
}

impl Drop for Connections {
    fn drop(&mut self) {
        let watch = self.watch.get_mut().unwrap_or_else(PoisonError::into_inner);
        watch.iter().for_each(AbortHandle::abort);
    }
}

#[derive(Default)]
struct State {
    opened: u64,
    open: BTreeMap<u64, Option<Arc<dyn Control>>>,
    stopping: bool,
    aborted: bool,
}

impl State {
    /// Those that have said how they are reached.
    fn controls(&self) -> Vec<Arc<dyn Control>> {
        self.open.values().flatten().cloned().collect()
    }
}

impl Connections {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a task watch over the connections, unless one does: the first may have ended with its runtime.
    pub(crate) fn watched_by<W: Future<Output = ()> + Send + 'static>(
        self: &Arc<Self>,
        watch: impl FnOnce(Weak<Self>) -> W,
    ) {
        let mut watching = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if watching.as_ref().is_none_or(AbortHandle::is_finished) {
            *watching = Some(tokio::spawn(watch(Arc::downgrade(self))).abort_handle());
        }
    }

    /// The number of a new connection, from 1, and its seat unless `max` are taken or the server stops.
    pub(crate) fn open(self: &Arc<Self>, max: Option<usize>) -> (u64, Option<Seat>) {
        let mut state = self.lock();
        state.opened += 1;
        let number = state.opened;
        if state.stopping || max.is_some_and(|max| state.open.len() >= max) {
            return (number, None);
        }
        state.open.insert(number, None);
        (number, Some(Seat { connections: Arc::clone(self), number }))
    }

    /// Ends every connection, and lets no other open.
    pub(crate) fn stop(&self, end: EndReason) {
        let controls: Vec<Arc<dyn Control>> = {
            let mut state = self.lock();
            state.stopping = true;
            state.controls()
        };
        for control in controls {
            control.end(end);
        }
    }

    /// Aborts what has not come for what it is owed for so long, and answers when to look again.
    pub(crate) fn abort_stalled(&self, patience: Duration) -> Instant {
        let now = Instant::now();
        let mut next = now + patience;
        let controls = self.lock().controls();
        for control in controls {
            match control.pending_since().map(|since| since + patience) {
                Some(due) if due <= now => {
                    control.abort(Why::Stalled);
                }
                Some(due) => next = next.min(due),
                None => {}
            }
        }
        next
    }

    /// Aborts every connection, also one that only now says how it is reached.
    pub(crate) fn abort_all(&self) {
        let controls: Vec<Arc<dyn Control>> = {
            let mut state = self.lock();
            state.aborted = true;
            state.controls()
        };
        for control in controls {
            control.abort(Why::Aborted);
        }
    }

    /// Resolves when no connection is open.
    pub(crate) async fn all_gone(&self) {
        loop {
            let gone = self.gone.notified();
            if self.lock().open.is_empty() {
                return;
            }
            gone.await;
        }
    }
}

/// A connection's seat, free again when it is dropped.
pub(crate) struct Seat {
    connections: Arc<Connections>,
    number: u64,
}

/// The seats of one connection: with its handler, and with its server when that is ours.
pub(crate) struct Seats {
    pub(crate) of_handler: Seat,
    pub(crate) of_server: Option<Seat>,
}

impl Seats {
    /// Where they stand, to say how they are reached once that is known.
    pub(crate) fn places(&self) -> Places {
        let seats = [Some(&self.of_handler), self.of_server.as_ref()];
        Places(seats.into_iter().flatten().map(|seat| (Arc::clone(&seat.connections), seat.number)).collect())
    }
}

/// Where the seats of one connection stand.
pub(crate) struct Places(Vec<(Arc<Connections>, u64)>);

impl Places {
    pub(crate) fn reached_by(self, control: impl Control + 'static) {
        let control: Arc<dyn Control> = Arc::new(control);
        for (connections, number) in self.0 {
            let mut state = connections.lock();
            let (stopping, aborted) = (state.stopping, state.aborted);
            // A connection that is over already has left its seat.
            if let Some(seat) = state.open.get_mut(&number) {
                *seat = Some(Arc::clone(&control));
            }
            drop(state);
            // It was admitted before that, and could not be told.
            if stopping {
                control.end(EndReason::Stopping);
            }
            if aborted {
                control.abort(Why::Aborted);
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.connections.lock();
        state.open.remove(&self.number);
        let last = state.open.is_empty();
        drop(state);
        if last {
            self.connections.gone.notify_waiters();
        }
    }
}
