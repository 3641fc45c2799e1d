//! Asserts that a client receives no message. The absence of messages proves something only on an open stream, while
//! nothing is in flight.

use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use tokio::time::sleep;

use crate::client::Client;
use crate::runtime::current::settle;

impl Client {
    /// Asserts that there is no unread message and that no more arrives at this instant: the clock does not move.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let news = app.sse("/news").await;
    /// news.skip(1).await;
    /// news.quiet().await; // the second arrives later
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When there are unread messages. Also when their absence would prove nothing: the client has no open stream, it is
    /// stalled or has vanished, the clock is [held](crate::Harness::hold_clock), or a blocking task is running.
    #[track_caller]
    pub fn quiet(&self) -> impl Future<Output = ()> + Send {
        let at = Location::caller();
        async move {
            settle().await;
            self.expect_no_messages(at, "expected no messages").await;
        }
    }

    /// Asserts that no message arrives during this span of virtual time; keep-alives may.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let news = app.sse("/news").await;
    /// news.skip(1).await;
    /// news.quiet_for(Duration::from_secs(29)).await;
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When there are unread messages. Also when their absence would prove nothing: the client has no open stream, it is
    /// stalled or has vanished, the clock is [held](crate::Harness::hold_clock), or a blocking task is running.
    #[track_caller]
    pub fn quiet_for(&self, span: Duration) -> impl Future<Output = ()> + Send {
        let at = Location::caller();
        async move {
            settle().await;
            let claim = format!("expected no messages for {span:?}");
            self.expect_no_messages(at, &claim).await;
            self.log.journal.run.allow_time(span);
            sleep(span).await;
            settle().await;
            self.expect_no_messages(at, &claim).await;
        }
    }

    /// Fails when there are unread messages, and when their absence would prove nothing.
    async fn expect_no_messages(&self, at: &Location<'_>, claim: &str) {
        let (name, count) = (self.name(), self.log.journal.unread_count(self.log.client));
        if count > 0 {
            let unread = self.log.journal.show_unread(self.log.client);
            self.fail_waiting(at, &format!("`{name}`: {claim}, and {count} arrived:{unread}")).await;
        }
        if let Some(reason) = self.reason_against_quiet() {
            self.fail_at(at, &format!("`{name}`: {claim}, and their absence proves nothing: {reason}"));
        }
    }

    /// Returns the reason why the absence of messages proves nothing: no stream is open and read, or work is in flight.
    fn reason_against_quiet(&self) -> Option<String> {
        let run = &self.log.journal.run;
        if run.is_clock_held() {
            let held = "the clock is held for work outside the runtime\n    \
                        drop the guard that `hold_clock()` returned when that work is done";
            return Some(held.into());
        }
        let in_flight = run.blocking.in_flight();
        if in_flight > 0 {
            return Some(format!(
                "{in_flight} blocking tasks are still running\n    let them end, or start work that never ends with \
                 `std::thread::spawn`, and hold the clock while it works"
            ));
        }
        let (is_open, status) = self.with_state(|state| (state.is_open(), state.status()));
        let is_read = self.pipe_control.status().is_none();
        (!is_open || !is_read).then(|| {
            format!("it has no stream that is open and read: {status}\n    to let time pass, write `app.advance(duration).await`")
        })
    }
}
