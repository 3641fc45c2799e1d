//! The time of the page: milliseconds since 1970, counted by the clock of the runtime.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Counts the time from one look at the system's clock on, so that it runs steadily.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    started_at: Instant,
    unix_millis: u64,
}

impl Clock {
    pub(super) fn start() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started_at: Instant::now(), unix_millis: millis(since_1970) }
    }

    pub(super) fn now(self) -> u64 {
        self.unix_millis + millis(self.started_at.elapsed())
    }

    /// Returns the time of an instant that is past.
    pub(super) fn at(self, instant: Instant) -> u64 {
        self.now().saturating_sub(millis(instant.elapsed()))
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
