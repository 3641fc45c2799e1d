//! A harness's hand on the clock.

use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use tokio::time::sleep;

use crate::harness::Harness;
use crate::runtime::settle;
use crate::runtime::test_run::{Clock, ClockGuard};

impl Harness {
    /// Lets the clock run this far: every timer on the way fires at its own instant.
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
            let run = &self.record.run;
            if run.clock == Clock::Virtual && run.is_held() {
                run.fail(
                    Some(at),
                    "the clock is held, and cannot advance: drop what `hold_clock()` has returned first",
                );
            }
            run.allow(span);
            sleep(span).await;
            settle().await;
        }
    }

    /// Holds the clock, while real work is under way outside of the test's runtime: a call to a database, a message by
    /// way of Redis. Until the result is dropped no timer fires, and what is waited for may come in real time.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// # app.sse("/news").await.skip(1).await;
    /// let (outside, answer) = tokio::sync::oneshot::channel();
    /// let before = tokio::time::Instant::now();
    /// let held = app.hold_clock();
    /// std::thread::spawn(move || {
    ///     std::thread::sleep(Duration::from_millis(20));
    ///     outside.send("done")
    /// });
    /// assert_eq!(answer.await.unwrap(), "done");
    /// drop(held);
    /// assert_eq!(before.elapsed(), Duration::ZERO); // without it hours may have passed
    /// # });
    /// ```
    pub fn hold_clock(&self) -> ClockGuard {
        self.record.run.hold()
    }

    /// Waits until everything that can happen at this instant has happened; the clock does not move. What happens next
    /// stands below it in the transcript.
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
