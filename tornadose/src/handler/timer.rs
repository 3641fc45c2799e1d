//! A timer that is asked far more often than it fires. What is due then is its owner's affair.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::time::{Instant, Sleep, sleep_until};

pub(crate) struct Timer {
    sleep: Pin<Box<Sleep>>,
    /// Who is woken when it fires; nobody before it was asked.
    waker: Option<Waker>,
}

impl Timer {
    pub(crate) fn at(deadline: Instant) -> Self {
        Self { sleep: Box::pin(sleep_until(deadline)), waker: None }
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.sleep.deadline()
    }

    #[inline]
    pub(crate) fn is_elapsed(&self) -> bool {
        self.sleep.is_elapsed()
    }

    pub(crate) fn reset(&mut self, deadline: Instant) {
        self.sleep.as_mut().reset(deadline);
        self.waker = None;
    }

    /// Whether it has not fired, and will wake this task when it does.
    #[inline]
    pub(crate) fn waits(&self, waker: &Waker) -> bool {
        self.waker.as_ref().is_some_and(|kept| kept.will_wake(waker)) && !self.sleep.is_elapsed()
    }

    /// As the future's own, but cheap while it waits for the same task as before.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.waits(cx.waker()) {
            return Poll::Pending;
        }
        let polled = self.sleep.as_mut().poll(cx);
        self.waker = polled.is_pending().then(|| cx.waker().clone());
        polled
    }
}
