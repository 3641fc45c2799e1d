//! Reading what a client has received: one at a time, in order, within bounds; or that there is nothing.

mod decode;

use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout_at};

use crate::client::Client;
use crate::entry::{Event, What};
use crate::journal::client_state::Ending;
use crate::runtime::settle;

impl Client {
    /// Waits for the next message and reads it as a `T`. Up to 60 s of virtual time may pass.
    ///
    /// An event with a name is first tried as serde's externally tagged enum, `{name: data}`, then its data alone. Data
    /// that is not JSON is read as a string.
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
    /// When it is not a `T`, when nothing comes, and when the stream has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits, it has read nothing.
    #[track_caller]
    pub fn next<T: DeserializeOwned>(&self) -> impl Future<Output = T> + Send {
        let at = Location::caller();
        async move {
            let message = self.wait(at, &format!("a `{}`", decode::name_of::<T>())).await;
            self.typed(at, &message).await
        }
    }

    /// Reads the next message as a `T`, which must be there when everything has settled: the clock does not move.
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
    /// When it is not a `T`, and when there is none.
    #[track_caller]
    pub fn next_now<T: DeserializeOwned>(&self) -> impl Future<Output = T> + Send {
        let at = Location::caller();
        async move {
            settle().await;
            let Some(message) = self.record.take(self.number) else {
                let expected = decode::name_of::<T>();
                self.fail_waiting(at, &format!("`{}`: expected a `{expected}` now, and there is nothing", self.name()))
                    .await
            };
            self.typed(at, &message).await
        }
    }

    /// Waits for the next event as it is, with its name and id. Up to 60 s of virtual time may pass.
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
    /// When nothing comes, when the stream has ended, and when it is a WebSocket message that is no event.
    #[track_caller]
    pub fn next_event(&self) -> impl Future<Output = Event> + Send {
        let at = Location::caller();
        async move {
            match self.wait(at, "an event").await {
                What::Event(event) => event,
                other => {
                    let got = decode::shown(&other);
                    self.fail_waiting(at, &format!("`{}`: expected an event, got {got}", self.name())).await
                }
            }
        }
    }

    /// Waits for so many messages and overlooks them.
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
    /// When fewer come within 60 s of virtual time each.
    #[track_caller]
    pub fn skip(&self, messages: usize) -> impl Future<Output = ()> + Send {
        let at = Location::caller();
        async move {
            for nth in 1..=messages {
                self.wait(at, &format!("message {nth} of {messages} to skip")).await;
            }
        }
    }

    /// Proves that nothing is left to read, and that nothing more comes at this instant: the clock does not move.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let news = app.sse("/news").await;
    /// news.skip(1).await;
    /// news.quiet().await; // the second comes later
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
            let count = self.record.unread(self.number);
            if count > 0 {
                let (name, shown) = (self.name(), self.record.show_unread(self.number));
                self.fail_waiting(at, &format!("`{name}`: expected quiet, and {count} unread came:{shown}")).await;
            }
        }
    }

    /// Proves that nothing comes during this span of virtual time; keep-alives may.
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
            self.record.run.allow(span);
            sleep(span).await;
            settle().await;
            let count = self.record.unread(self.number);
            if count > 0 {
                let (name, shown) = (self.name(), self.record.show_unread(self.number));
                self.fail_waiting(
                    at,
                    &format!("`{name}`: expected quiet for {span:?}, and {count} unread came:{shown}"),
                )
                .await;
            }
        }
    }

    /// Waits until the stream has ended, and tells how. Up to 60 s of virtual time may pass.
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
    /// When it does not end.
    #[track_caller]
    pub fn closed(&self) -> impl Future<Output = Ending> + Send {
        let at = Location::caller();
        async move {
            let (deadline, waited) = self.deadline();
            loop {
                settle().await;
                let (ending, changed) = self.look(|seat| (seat.ending.clone(), seat.changed.clone()));
                if let Some(ending) = ending {
                    return ending;
                }
                let changed = changed.notified();
                if timeout_at(deadline, changed).await.is_err() {
                    self.fail_waiting(
                        at,
                        &format!("`{}`: expected its stream to end, and it is open after {waited}", self.name()),
                    )
                    .await;
                }
            }
        }
    }

    /// Reads messages until one is a `T` that is wanted, and overlooks those before it. Up to 60 s of virtual time may pass
    /// before each.
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
    /// When none comes any more, and when the stream has ended.
    #[track_caller]
    pub fn until<T: DeserializeOwned>(&self, mut wanted: impl FnMut(&T) -> bool) -> impl Future<Output = T> {
        let at = Location::caller();
        async move {
            loop {
                let message = self.wait(at, &format!("a `{}` that is wanted", decode::name_of::<T>())).await;
                if let Some(value) = decode::typed(&message).ok().filter(&mut wanted) {
                    return value;
                }
            }
        }
    }

    /// Waits until the client has come back, with a stream that has opened, once more than the test knew of. Up to 60 s
    /// of virtual time may pass.
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
    /// When it does not come back.
    #[track_caller]
    pub fn reconnected(&self) -> impl Future<Output = ()> + Send {
        let at = Location::caller();
        async move {
            let (deadline, waited) = self.deadline();
            loop {
                settle().await;
                let (back, over, changed) =
                    self.look(|seat| (seat.returns > seat.known, seat.is_over(), seat.changed.clone()));
                if back {
                    return self.look(|seat| seat.known += 1);
                }
                let name = self.name();
                if over {
                    self.fail_waiting(at, &format!("`{name}`: expected it to come back, and it never will")).await;
                }
                if timeout_at(deadline, changed.notified()).await.is_err() {
                    self.fail_waiting(at, &format!("`{name}`: expected it to come back, and it has not for {waited}"))
                        .await;
                }
            }
        }
    }

    /// How long a wait that begins now may take, and how that is said.
    fn deadline(&self) -> (Instant, String) {
        let patience = self.record.run.patience();
        self.record.run.allow(patience);
        (Instant::now() + patience, format!("{}s", patience.as_secs()))
    }

    /// The next message, once everything has settled; `expected` is for the failure.
    async fn wait(&self, at: &Location<'_>, expected: &str) -> What {
        settle().await;
        let (deadline, waited) = self.deadline();
        loop {
            if let Some(message) = self.record.take(self.number) {
                return message;
            }
            let name = self.name();
            let (over, changed) = self.look(|seat| (seat.is_over(), seat.changed.clone()));
            if over {
                self.fail_waiting(at, &format!("`{name}`: expected {expected}, and its stream has ended")).await;
            }
            let late = timeout_at(deadline, changed.notified()).await.is_err();
            // What comes at the last instant is in time.
            settle().await;
            if late && !self.look(|seat| seat.is_over()) {
                let Some(message) = self.record.take(self.number) else {
                    self.fail_waiting(at, &format!("`{name}`: expected {expected}, and nothing came for {waited}"))
                        .await
                };
                return message;
            }
        }
    }

    async fn typed<T: DeserializeOwned>(&self, at: &Location<'_>, message: &What) -> T {
        let wrong = match decode::typed(message) {
            Ok(value) => return value,
            Err(wrong) => wrong,
        };
        self.fail_waiting(at, &format!("`{}`: {wrong}", self.name())).await
    }
}
