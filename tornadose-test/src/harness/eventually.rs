//! Waiting for a state of the program.

use std::future::Future;
use std::panic::Location;
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::harness::Harness;
use crate::runtime::config::ClockMode;
use crate::runtime::current::settle;
use crate::text::duration;

/// The interval at which the condition is evaluated.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

impl Harness {
    /// Waits until a condition on the state of the program holds. It is evaluated whenever everything has settled, at
    /// intervals of 10 ms of virtual time, for 60 s at most.
    ///
    /// While the clock is [held](Self::hold_clock), it is evaluated in real time, for 10 s at most.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// # app.sse("/news").await.skip(1).await;
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicBool, Ordering};
    ///
    /// let swept = Arc::new(AtomicBool::new(false));
    /// let sweeper = swept.clone();
    /// tokio::spawn(async move {
    ///     tokio::time::sleep(Duration::from_secs(10)).await;
    ///     sweeper.store(true, Ordering::Relaxed);
    /// });
    /// app.eventually(|| swept.load(Ordering::Relaxed)).await;
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When the condition does not hold in time.
    #[track_caller]
    pub fn eventually(&self, mut condition: impl FnMut() -> bool) -> impl Future<Output = ()> {
        let at = Location::caller();
        async move {
            let run = &self.app.journal.run;
            let (limit, held_limit) = (run.wait_limit(), run.blocking.wait_limit);
            run.allow_time(limit);
            let (start, wall_start) = (tokio::time::Instant::now(), Instant::now());
            loop {
                settle().await;
                if condition() {
                    return;
                }
                let is_held = run.clock == ClockMode::Virtual && run.is_clock_held();
                if start.elapsed() >= limit || (is_held && wall_start.elapsed() >= held_limit) {
                    let problem = format!(
                        "expected the condition to hold, and it does not after {}",
                        duration(if is_held { held_limit } else { limit })
                    );
                    run.fail_in_vain(at, &problem, true).await;
                }
                if is_held {
                    // A panic is impossible here, and a cancelled wait only evaluates the condition sooner.
                    let _ = spawn_blocking(|| std::thread::sleep(Duration::from_millis(1))).await;
                } else {
                    sleep(POLL_INTERVAL).await;
                }
            }
        }
    }
}
