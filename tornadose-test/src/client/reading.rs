//! Reads the messages of a client in order, and asserts that there are none. Every wait is bounded.

mod decode;

use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout_at};

use crate::client::Client;
use crate::client::reading::decode::{decode, describe, type_name_of};
use crate::entry::{Event, Happening};
use crate::journal::client_state::Ending;
use crate::runtime::current::settle;

impl Client {
    /// Waits for the next message, and decodes it as a `T`. Up to 60 s of virtual time may pass.
    ///
    /// An event with a name is first decoded as serde's externally tagged enum, `{name: data}`, and then as its data
    /// alone. Data that is not JSON is decoded as a string.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// # #[derive(serde::Deserialize)]
    /// # struct Said { text: String }
    /// let news = app.sse("/news").await;
    /// let said: Said = news.next().await;
    /// assert_eq!(said.text, "hi");
    /// assert_eq!(news.next::<u32>().await, 2); // half a minute later
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When the message is not a `T`, when none arrives, and when the stream has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future while it waits reads no message.
    #[track_caller]
    pub fn next<T: DeserializeOwned>(&self) -> impl Future<Output = T> + Send {
        let at = Location::caller();
        async move {
            let message = self.next_message(at, &format!("a `{}`", type_name_of::<T>())).await;
            self.decode(at, &message).await
        }
    }

    /// Decodes the next message as a `T`. The message must have arrived when everything has settled: the clock does not
    /// move.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let news = app.sse("/news").await;
    /// let said: serde_json::Value = news.next_now().await;
    /// assert_eq!(said["said"]["text"], "hi");
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When the message is not a `T`, and when there is none.
    #[track_caller]
    pub fn next_now<T: DeserializeOwned>(&self) -> impl Future<Output = T> + Send {
        let at = Location::caller();
        async move {
            settle().await;
            let Some(message) = self.take_message() else {
                let expected = type_name_of::<T>();
                self.fail_waiting(
                    at,
                    &format!("`{}`: expected a `{expected}` now, and there is no message", self.name()),
                )
                .await
            };
            self.decode(at, &message).await
        }
    }

    /// Waits for the next event, and returns it with its name and id. Up to 60 s of virtual time may pass.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let news = app.sse("/news").await;
    /// let event = news.next_event().await;
    /// assert_eq!((event.name.as_str(), event.id.as_deref()), ("said", Some("1")));
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When no message arrives, when the stream has ended, and when the message is a WebSocket message that is not an event.
    #[track_caller]
    pub fn next_event(&self) -> impl Future<Output = Event> + Send {
        let at = Location::caller();
        async move {
            match self.next_message(at, "an event").await {
                Happening::Event(event) => event,
                other => {
                    let got = describe(&other);
                    self.fail_waiting(at, &format!("`{}`: expected an event, got {got}", self.name())).await
                }
            }
        }
    }

    /// Waits for this many messages, and discards them.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let news = app.sse("/news").await;
    /// news.skip(2).await;
    /// news.quiet().await;
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When a message does not arrive within 60 s of virtual time.
    #[track_caller]
    pub fn skip(&self, messages: usize) -> impl Future<Output = ()> + Send {
        let at = Location::caller();
        async move {
            for nth in 1..=messages {
                self.next_message(at, &format!("message {nth} of {messages} to skip")).await;
            }
        }
    }

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
    /// When there are unread messages.
    #[track_caller]
    pub fn quiet(&self) -> impl Future<Output = ()> + Send {
        let at = Location::caller();
        async move {
            settle().await;
            let count = self.log.journal.unread_count(self.log.client);
            if count > 0 {
                let (name, unread) = (self.name(), self.log.journal.show_unread(self.log.client));
                self.fail_waiting(at, &format!("`{name}`: expected no messages, and {count} arrived:{unread}")).await;
            }
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
    /// When there are unread messages.
    #[track_caller]
    pub fn quiet_for(&self, span: Duration) -> impl Future<Output = ()> + Send {
        let at = Location::caller();
        async move {
            settle().await;
            self.log.journal.run.allow_time(span);
            sleep(span).await;
            settle().await;
            let count = self.log.journal.unread_count(self.log.client);
            if count > 0 {
                let (name, unread) = (self.name(), self.log.journal.show_unread(self.log.client));
                self.fail_waiting(
                    at,
                    &format!("`{name}`: expected no messages for {span:?}, and {count} arrived:{unread}"),
                )
                .await;
            }
        }
    }

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
                    return ending;
                }
                let changed = changed.notified();
                if timeout_at(deadline, changed).await.is_err() {
                    self.fail_waiting(
                        at,
                        &format!("`{}`: expected its stream to end, and it is still open after {waited}", self.name()),
                    )
                    .await;
                }
            }
        }
    }

    /// Reads messages until one is a `T` that satisfies `wanted`, and discards those before it. Up to 60 s of virtual
    /// time may pass before each.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let news = app.sse("/news").await;
    /// let two = news.until(|number: &u32| *number > 1).await;
    /// assert_eq!(two, 2);
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When no further message arrives, and when the stream has ended.
    #[track_caller]
    pub fn until<T: DeserializeOwned>(&self, mut wanted: impl FnMut(&T) -> bool) -> impl Future<Output = T> {
        let at = Location::caller();
        async move {
            loop {
                let message =
                    self.next_message(at, &format!("a `{}` that satisfies the condition", type_name_of::<T>())).await;
                if let Some(value) = decode(&message).ok().filter(&mut wanted) {
                    return value;
                }
            }
        }
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
                    return self.with_state(|state| state.awaited_reconnects += 1);
                }
                let name = self.name();
                if finished {
                    self.fail_waiting(at, &format!("`{name}`: expected it to reconnect, and it will not")).await;
                }
                if timeout_at(deadline, changed.notified()).await.is_err() {
                    self.fail_waiting(
                        at,
                        &format!("`{name}`: expected it to reconnect, and it has not after {waited}"),
                    )
                    .await;
                }
            }
        }
    }

    /// Returns the deadline of a wait that begins now, and its length for a failure.
    fn deadline(&self) -> (Instant, String) {
        let limit = self.log.journal.run.wait_limit();
        self.log.journal.run.allow_time(limit);
        (Instant::now() + limit, format!("{}s", limit.as_secs()))
    }

    /// Waits for the next message, once everything has settled; `expected` is for the failure.
    async fn next_message(&self, at: &Location<'_>, expected: &str) -> Happening {
        settle().await;
        let (deadline, waited) = self.deadline();
        loop {
            if let Some(message) = self.take_message() {
                return message;
            }
            let name = self.name();
            let (finished, changed) = self.with_state(|state| (state.is_finished(), state.changed.clone()));
            if finished {
                self.fail_waiting(at, &format!("`{name}`: expected {expected}, and its stream has ended")).await;
            }
            let late = timeout_at(deadline, changed.notified()).await.is_err();
            // A message of the last instant is in time.
            settle().await;
            if late && !self.with_state(|state| state.is_finished()) {
                let Some(message) = self.take_message() else {
                    self.fail_waiting(
                        at,
                        &format!("`{name}`: expected {expected}, and no message arrived for {waited}"),
                    )
                    .await
                };
                return message;
            }
        }
    }

    fn take_message(&self) -> Option<Happening> {
        self.log.journal.take_message(self.log.client)
    }

    async fn decode<T: DeserializeOwned>(&self, at: &Location<'_>, message: &Happening) -> T {
        let problem = match decode(message) {
            Ok(value) => return value,
            Err(problem) => problem,
        };
        self.fail_waiting(at, &format!("`{}`: {problem}", self.name())).await
    }
}
