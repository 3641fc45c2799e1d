//! A timer that calls when it is due, and is not asked before. What is due then is its owner's affair.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};

use tokio::time::{Instant, Sleep, sleep_until};

pub(crate) struct Timer {
    sleep: Pin<Box<Sleep>>,
    caller: Waker,
}

impl Timer {
    /// Calls at this time or a little later.
    pub(crate) fn at(deadline: Instant, caller: Waker) -> Self {
        let mut timer = Self { sleep: Box::pin(sleep_until(deadline)), caller };
        timer.runs();
        timer
    }

    /// Has a timer call by this time at the latest: one that runs until then runs on, and may have called too early.
    pub(crate) fn calls_by(timer: &mut Option<Self>, deadline: Instant, caller: impl FnOnce() -> Waker) {
        match timer {
            None => *timer = Some(Self::at(deadline, caller())),
            Some(timer) => {
                if timer.is_due() || deadline < timer.sleep.deadline() {
                    timer.reset(deadline);
                }
            }
        }
    }

    pub(crate) fn reset(&mut self, deadline: Instant) {
        self.sleep.as_mut().reset(deadline);
        self.runs();
    }

    /// Whether it is due. While it is not it runs on, though it may have called too early.
    pub(crate) fn is_due(&mut self) -> bool {
        let due = self.sleep.is_elapsed();
        if !due {
            self.runs();
        }
        due
    }

    fn runs(&mut self) {
        if self.sleep.as_mut().poll(&mut Context::from_waker(&self.caller)).is_ready() {
            self.caller.wake_by_ref();
        }
    }
}
