//! The time by which a reader ends that was told to.

use std::pin::Pin;
use std::task::{Context, Waker};

use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is made when a reader is first polled after it was told to end.
#[derive(Default)]
pub(super) struct EndTimer(Option<Pin<Box<Sleep>>>);

impl EndTimer {
    /// Returns whether this time has come. Otherwise `waker` is woken then; outside of a tokio runtime, where there are
    /// no timers, only another wake shows it.
    pub(super) fn poll(&mut self, due_at: Instant, waker: &Waker) -> bool {
        if Instant::now() >= due_at {
            return true;
        }
        if self.0.is_none() && Handle::try_current().is_err() {
            return false;
        }
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(due_at)));
        sleep.as_mut().poll(&mut Context::from_waker(waker)).is_ready()
    }
}
