//! Timeouts of a connection, and the timer that wakes its task for the next one.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// The timeouts of one connection.
#[derive(Clone, Copy)]
pub(crate) struct Timeouts {
    /// How much silence precedes a keep-alive or a ping; `None` for neither.
    pub(crate) keep_alive: Option<Duration>,
    /// How long a client may take no bytes.
    pub(crate) stall: Duration,
    /// When the connection reaches its maximum age.
    pub(crate) expires_at: Option<Instant>,
}

impl Timeouts {
    /// Returns when a client that has taken no bytes since then is given up.
    pub(crate) fn stalled_at(&self, write_blocked_since: Option<Instant>) -> Option<Instant> {
        write_blocked_since.map(|since| since + self.stall)
    }

    pub(crate) fn is_expired(&self, now: Instant) -> bool {
        self.expires_at.is_some_and(|expires_at| now >= expires_at)
    }
}

/// Returns the earliest of these times.
pub(crate) fn earliest(deadlines: impl IntoIterator<Item = Option<Instant>>) -> Option<Instant> {
    deadlines.into_iter().flatten().min()
}

/// A timer that wakes a waker of its own. It is polled only when it has fired or is set to another time.
pub(crate) struct Timer {
    sleep: Pin<Box<Sleep>>,
    waker: Waker,
}

impl Timer {
    /// Creates a timer that fires at this time or a little later.
    pub(crate) fn at(deadline: Instant, waker: Waker) -> Self {
        let mut timer = Self { sleep: Box::pin(sleep_until(deadline)), waker };
        timer.arm();
        timer
    }

    /// Makes a timer fire by this time at the latest. One that fires earlier is not set back, so it may fire before
    /// anything is due.
    pub(crate) fn arm_by(timer: &mut Option<Self>, deadline: Instant, waker: impl FnOnce() -> Waker) {
        match timer {
            None => *timer = Some(Self::at(deadline, waker())),
            Some(timer) => {
                if timer.rearm_unless_due() || deadline < timer.sleep.deadline() {
                    timer.reset(deadline);
                }
            }
        }
    }

    pub(crate) fn reset(&mut self, deadline: Instant) {
        self.sleep.as_mut().reset(deadline);
        self.arm();
    }

    /// Returns whether the timer is due. Arms it again if it is not, because its waker may have been woken too early.
    pub(crate) fn rearm_unless_due(&mut self) -> bool {
        let is_due = self.sleep.is_elapsed();
        if !is_due {
            self.arm();
        }
        is_due
    }

    fn arm(&mut self) {
        if self.sleep.as_mut().poll(&mut Context::from_waker(&self.waker)).is_ready() {
            self.waker.wake_by_ref();
        }
    }
}
