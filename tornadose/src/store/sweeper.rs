//! The task that trims expired messages of a store when nobody else does. It runs while there is something that
//! expires, on the runtime of the submit that found it missing. A submit outside of a runtime starts none: expired
//! messages are then trimmed at the next submit or read.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use crate::message::Message;
use crate::store::shared::{Shared, StartSweeper, Sweeper};

/// The shortest time between two rounds.
const ROUND_MIN: Duration = Duration::from_millis(1);

/// Starts the task.
pub(super) fn start<M: Message>(StartSweeper: StartSweeper, shared: &Arc<Shared<M>>) {
    let running = Running { shared: Arc::downgrade(shared) };
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(sweep(running));
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

async fn sweep<M: Message>(mut running: Running<M>) {
    loop {
        let Some(ttl) = running.shared.upgrade().and_then(|shared| shared.lock().log.queue_ttl()) else { return };
        sleep((ttl / 10).max(ROUND_MIN)).await;
        let Some(shared) = running.shared.upgrade() else { return };
        let mut state = shared.lock();
        let expired = state.expire(Instant::now());
        let has_expiring = state.log.has_expiring();
        if !has_expiring {
            // Under the lock under which nothing was left, so that the next submit starts another task.
            state.sweeper = Sweeper::Absent;
        }
        drop(state);
        drop(expired);
        if !has_expiring {
            // Another task may run by now, which this one's end must not hide.
            std::mem::take(&mut running.shared);
            return;
        }
    }
}
