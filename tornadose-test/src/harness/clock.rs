//! The clock of a harness: advancing it, holding it, and settling.

use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use tokio::time::sleep;

use crate::harness::Harness;
use crate::runtime::config::ClockMode;
use crate::runtime::current::settle;
use crate::runtime::test_run::ClockGuard;

impl Harness {
    /// Advances the clock. Every timer on the way fires at its own instant.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let news = app.sse("/news").await;
    /// app.advance(Duration::from_secs(30)).await;
    /// news.skip(1).await;
    /// assert_eq!(news.next_now::<u32>().await, 2);
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// While the clock is [held](Self::hold_clock).
    #[track_caller]
    pub fn advance(&self, span: Duration) -> impl Future<Output = ()> + Send {
        let at = Location::caller();
        async move {
            settle().await;
            let run = &self.app.journal.run;
            if run.clock == ClockMode::Virtual && run.is_clock_held() {
                run.fail(
                    Some(at),
                    "the clock is held and cannot advance: drop the guard that `hold_clock()` returned first",
                );
            }
            run.allow_time(span);
            sleep(span).await;
            settle().await;
        }
    }

    /// Holds the clock until the guard is dropped. No timer fires in the meantime.
    ///
    /// Use it while work runs outside of the test's runtime, such as a call to a database or a message over Redis: the
    /// test then waits for that work in real time.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// # app.sse("/news").await.skip(1).await;
    /// let (outside, reply) = tokio::sync::oneshot::channel();
    /// let before = tokio::time::Instant::now();
    /// let held = app.hold_clock();
    /// std::thread::spawn(move || {
    ///     std::thread::sleep(Duration::from_millis(20));
    ///     outside.send("done")
    /// });
    /// assert_eq!(reply.await.unwrap(), "done");
    /// drop(held);
    /// assert_eq!(before.elapsed(), Duration::ZERO); // without the guard, hours may have passed
    /// # });
    /// ```
    pub fn hold_clock(&self) -> ClockGuard {
        self.app.journal.run.hold_clock()
    }

    /// Waits until everything that can happen at this instant has happened; the clock does not move. Everything that
    /// happens afterwards is later in the transcript.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let news = app.sse("/news").await;
    /// app.settle().await;
    /// # news.skip(1).await;
    /// # });
    /// ```
    pub async fn settle(&self) {
        settle().await;
    }
}
