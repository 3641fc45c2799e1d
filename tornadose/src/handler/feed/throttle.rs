//! When a throttled connection writes: all that is ready at once, and then nothing for a period.

use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::id::Offset;

/// The throttle of one connection.
pub(super) struct Throttle {
    period: Duration,
    /// When the messages began that are being written now, and the newest offset of the log then.
    began: Option<(Instant, Offset)>,
    /// Runs while messages wait.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Throttle {
    pub(super) fn new(period: Duration) -> Self {
        Self { period, began: None, waiting: None }
    }

    /// Records that messages are written, and returns the offset up to which they are written together. `newest` is
    /// asked for the newest offset of the log when they begin.
    pub(super) fn record_written(&mut self, newest: impl FnOnce() -> Offset) -> Offset {
        self.began.get_or_insert_with(|| (Instant::now(), newest())).1
    }

    /// Records that there is nothing more to write. What comes next waits until the period is over.
    pub(super) fn record_all_written(&mut self) {
        if let Some((began_at, _)) = self.began.take() {
            self.waiting = Some(Box::pin(sleep_until(began_at + self.period)));
        }
    }

    /// Returns whether messages have to wait. `waker` is woken when they no longer do.
    pub(super) fn poll_waiting(&mut self, waker: &Waker) -> bool {
        let Some(sleep) = &mut self.waiting else { return false };
        if sleep.as_mut().poll(&mut Context::from_waker(waker)).is_pending() {
            return true;
        }
        self.waiting = None;
        false
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Lets what waits be written now.
    pub(super) fn release(&mut self) {
        self.waiting = None;
    }
}
