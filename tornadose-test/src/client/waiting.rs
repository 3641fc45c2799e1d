//! Waits for a client's response, for the end of its stream, and for its reconnection. Every wait is bounded.

use std::future::Future;
use std::panic::Location;

use tokio::time::{Instant, timeout_at};

use crate::client::Client;
use crate::journal::client_state::{ClientState, Ending};
use crate::runtime::current::settle;
use crate::text::duration;

impl Client {
    /// Waits until the stream has ended, and returns its ending. Up to 60 s of virtual time may pass.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let news = app.sse("/news").await;
    /// news.skip(2).await;
    /// assert_eq!(news.closed().await, Ending::End);
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When the stream does not end.
    #[track_caller]
    pub fn closed(&self) -> impl Future<Output = Ending> + Send {
        let at = Location::caller();
        async move {
            let (deadline, waited) = self.deadline();
            loop {
                settle().await;
                let (ending, changed) = self.with_state(|state| (state.ending.clone(), state.changed.clone()));
                if let Some(ending) = ending {
                    self.log.mark_seen();
                    return ending;
                }
                let changed = changed.notified();
                if timeout_at(deadline, changed).await.is_err() {
                    let problem =
                        format!("`{}`: expected its stream to end, and it is still open after {waited}", self.name());
                    self.fail_in_vain(at, &problem, true).await;
                }
            }
        }
    }

    /// Waits until a response has arrived, or the connection has ended; for a client that was opened
    /// [`without_waiting`](crate::ClientBuilder::without_waiting). Up to 60 s of virtual time may pass.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let ada = app.client("ada").without_waiting().sse("/news").await;
    /// ada.responded().await;
    /// # ada.skip(1).await;
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When none arrives.
    #[track_caller]
    pub fn responded(&self) -> impl Future<Output = ()> + Send {
        let at = Location::caller();
        async move {
            settle().await;
            if !self.wait_while(ClientState::is_unanswered).await {
                let waited = duration(self.log.journal.run.wait_limit());
                let problem = format!("`{}`: expected a response, and none arrived for {waited}", self.name());
                self.fail_in_vain(at, &problem, true).await;
            }
        }
    }

    /// Waits while the state satisfies a condition, and settles; returns whether it then does not. The wait is bounded.
    pub(crate) async fn wait_while(&self, condition: fn(&ClientState) -> bool) -> bool {
        let (deadline, _) = self.deadline();
        while self.with_state(|state| condition(state)) {
            let changed = self.with_state(|state| state.changed.clone());
            let late = timeout_at(deadline, changed.notified()).await.is_err();
            settle().await;
            if late {
                return !self.with_state(|state| condition(state));
            }
        }
        true
    }

    /// Waits until the client has reconnected and its stream has opened. Each call waits for one more reconnection. Up
    /// to 60 s of virtual time may pass.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// use tornadose_test::Cut;
    ///
    /// let ada = app.client("ada").fault(Cut::at_byte(20)).sse("/news").await;
    /// ada.reconnected().await;
    /// assert_eq!(ada.next_event().await.name, "said");
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When the client does not reconnect.
    #[track_caller]
    pub fn reconnected(&self) -> impl Future<Output = ()> + Send {
        let at = Location::caller();
        async move {
            let (deadline, waited) = self.deadline();
            loop {
                settle().await;
                let (reconnected, finished, changed) = self.with_state(|state| {
                    (state.reconnects > state.awaited_reconnects, state.is_finished(), state.changed.clone())
                });
                if reconnected {
                    self.log.mark_seen();
                    return self.with_state(|state| state.awaited_reconnects += 1);
                }
                let name = self.name();
                if finished {
                    self.fail_waiting(at, &format!("`{name}`: expected it to reconnect, and it will not")).await;
                }
                if timeout_at(deadline, changed.notified()).await.is_err() {
                    let problem = format!("`{name}`: expected it to reconnect, and it has not after {waited}");
                    self.fail_in_vain(at, &problem, true).await;
                }
            }
        }
    }

    /// Returns the deadline of a wait that begins now, and its length for a failure.
    pub(crate) fn deadline(&self) -> (Instant, String) {
        let limit = self.log.journal.run.wait_limit();
        self.log.journal.run.allow_time(limit);
        (Instant::now() + limit, format!("{}s", limit.as_secs()))
    }
}
