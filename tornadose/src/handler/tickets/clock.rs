//! The time by which tickets end.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A clock that shows the time of day, which processes share, and is advanced with a test's virtual time.
pub(super) struct Clock {
    started: std::time::Instant,
    started_virtual: tokio::time::Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { started: std::time::Instant::now(), started_virtual: tokio::time::Instant::now() }
    }

    /// Returns the time since the beginning of 1970.
    pub(super) fn unix_time(&self) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Outside of tests the two have passed alike.
        let (elapsed, elapsed_virtual) = (self.started.elapsed(), self.started_virtual.elapsed());
        now.saturating_add(elapsed_virtual).saturating_sub(elapsed)
    }
}
