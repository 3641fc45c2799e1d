//! The task that trims expired messages of a store, and drops its expired values, when nobody else does. It runs while
//! there is something that expires, on the runtime of the submit that found it missing. A submit outside of a runtime
//! starts none: what has expired is then found at the next submit or read.
//!
//! Values expire at their deadlines, to the millisecond. Queue messages are trimmed once per tenth of their ttl.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::backend::engine::Features;
use crate::backend::outbox::{Ack, Content};
use crate::backend::outgoing::OutgoingKind;
use crate::message::Message;
use crate::store::expired::{StartSweeper, Sweeper, ValueExpiry};
use crate::store::log::deadlines::ExpiryRequest;
use crate::store::log::ephemeral::EPHEMERAL_AGE;
use crate::store::shared::{Shared, State};
use crate::task;

/// The shortest time between two rounds.
const ROUND_MIN: Duration = Duration::from_millis(1);

/// How many values the engine is asked about at once.
const REQUESTS_MAX: usize = 100;

/// How long a store that cannot reach its engine waits until it looks again.
const UNREACHABLE_PAUSE: Duration = Duration::from_secs(1);

impl<M: Message> State<M> {
    /// Returns when something is next to be swept.
    fn next_round(&self, now: Instant) -> Option<Instant> {
        let messages = self.log.queue_ttl().filter(|_| self.log.has_expiring_messages()).map(|ttl| now + ttl / 10);
        let earliest = now + ROUND_MIN;
        let ephemerals = if M::HAS_EPHEMERAL { self.log.next_ephemeral_expiry() } else { None };
        // A reader finds none that is too old. So this frees memory alone.
        let ephemerals = ephemerals.map(|at| at.max(now + EPHEMERAL_AGE / 10));
        let values = self.log.next_deadline().filter(|_| M::HAS_LATEST_TTL && !self.closed).map(|at| {
            let is_kept_back = self.loading || (self.value_expiry == ValueExpiry::ByEngine && !self.reachable);
            if is_kept_back { at.max(now + UNREACHABLE_PAUSE) } else { at }
        });
        messages.into_iter().chain(values).chain(ephemerals).min().map(|at| at.max(earliest))
    }

    /// Sees to it that what expires is swept in time. If it returns an order, carry it out after unlocking.
    pub(crate) fn sweep_by(&mut self, now: Instant) -> Option<StartSweeper> {
        let next = self.next_round(now)?;
        match &mut self.sweeper {
            Sweeper::Absent => {
                let notify = Arc::new(Notify::new());
                self.sweeper = Sweeper::Present { round_at: next, notify: Arc::clone(&notify) };
                return Some(StartSweeper(notify));
            }
            Sweeper::Present { round_at, notify } if next < *round_at => {
                *round_at = next;
                notify.notify_one();
            }
            Sweeper::Present { .. } => {}
        }
        None
    }
}

/// Starts the task.
pub(super) fn start<M: Message>(StartSweeper(notify): StartSweeper, shared: &Arc<Shared<M>>) {
    let running = Running { shared: Arc::downgrade(shared) };
    if let Ok(runtime) = Handle::try_current() {
        task::spawn_on(&runtime, Box::pin(sweep(running, notify)));
    }
}

/// A task that runs, or is about to. Dropped with the task, it lets the store start another.
struct Running<M: Message> {
    shared: Weak<Shared<M>>,
}

impl<M: Message> Drop for Running<M> {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.lock().sweeper = Sweeper::Absent;
        }
    }
}

async fn sweep<M: Message>(mut running: Running<M>, notify: Arc<Notify>) {
    loop {
        let Some(round_at) = running.shared.upgrade().and_then(|shared| shared.lock().round_at()) else { return };
        tokio::select! {
            biased;
            () = notify.notified() => continue,
            () = sleep_until(round_at) => {}
        }
        let Some(shared) = running.shared.upgrade() else { return };
        let round = sweep_once(&shared, &notify);
        drop(shared);
        if round.is_last {
            // Another task may run by now, which this one's end must not hide.
            std::mem::take(&mut running.shared);
            return;
        }
        for (mut ack, due_at) in round.acks {
            // Without an answer in time, and after any other than the entry itself, the engine is asked again.
            let _answered = timeout_at(due_at, ack.wait()).await;
        }
    }
}

/// The values that are left after a round.
struct Round {
    /// Whether nothing is left that expires.
    is_last: bool,
    /// The requests to the engine, and until when each is waited for.
    acks: Vec<(Ack, Instant)>,
}

fn sweep_once<M: Message>(shared: &Shared<M>, notify: &Arc<Notify>) -> Round {
    let now = Instant::now();
    let mut state = shared.lock();
    let expired = state.expire(now);
    let requests = state.take_expiry_requests(now);
    let next = state.next_round(now);
    state.sweeper = match next {
        Some(round_at) => Sweeper::Present { round_at, notify: Arc::clone(notify) },
        // Under the lock under which nothing was left, so that the next submit starts another task.
        None => Sweeper::Absent,
    };
    drop(state);
    drop(expired);
    Round { is_last: next.is_none(), acks: ask(shared, requests) }
}

impl<M: Message> State<M> {
    fn round_at(&self) -> Option<Instant> {
        match &self.sweeper {
            Sweeper::Present { round_at, .. } => Some(*round_at),
            Sweeper::Absent => None,
        }
    }

    /// Returns the values that the engine is to be asked about.
    fn take_expiry_requests(&mut self, now: Instant) -> Vec<ExpiryRequest> {
        let asks = M::HAS_LATEST_TTL && self.value_expiry == ValueExpiry::ByEngine && !self.closed;
        if asks && self.reachable && !self.loading {
            self.log.take_expiry_requests(now, REQUESTS_MAX)
        } else {
            Vec::new()
        }
    }
}

/// Asks the engine to expire values. What finds no room on the way is asked again.
fn ask<M: Message>(shared: &Shared<M>, requests: Vec<ExpiryRequest>) -> Vec<(Ack, Instant)> {
    let Some(backend) = shared.backend.as_ref().filter(|backend| backend.features.contains(Features::EXPIRE)) else {
        return Vec::new();
    };
    let due_at = Instant::now() + backend.ack_timeout;
    let enqueue = |ExpiryRequest { place, through, ttl, missing }| {
        let reservation = backend.outbox.try_reserve(place.len())?;
        let kind = OutgoingKind::Expire { slot: place, through, ttl, missing };
        let ack = backend.outbox.enqueue(kind, Content::default(), reservation, |_| ())?;
        Some((ack, due_at))
    };
    requests.into_iter().filter_map(enqueue).collect()
}
