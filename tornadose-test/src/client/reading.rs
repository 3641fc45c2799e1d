//! Reads the messages of a client in order. Every wait is bounded.

pub(crate) mod decode;
pub(crate) mod json_part;

use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::client::Client;
use crate::client::reading::decode::{decode, decode_containing, describe, type_name_of};
use crate::entry::{Event, Happening};
use crate::runtime::current::settle;
use crate::text::duration;

/// The number of messages, and the virtual time, after which `until` gives up.
const UNTIL_MESSAGES_MAX: usize = 1000;
const UNTIL_LIMIT: Duration = Duration::from_hours(1);

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
                let problem = format!("`{}`: expected a `{expected}` now, and there is no message", self.name());
                self.fail_in_vain(at, &problem, false).await
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

    /// Waits for the next message, and asserts that it contains this JSON value. Returns the whole message. Up to 60 s of
    /// virtual time may pass.
    ///
    /// An object contains another that has some of its members, at every depth. Any other value contains its equal. An
    /// event with a name may be given as its data, or as `{name: data}`.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// use serde_json::json;
    ///
    /// let news = app.sse("/news").await;
    /// news.next_containing(json!({"said": {"text": "hi"}})).await;
    /// # news.next_containing(json!(2)).await;
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When the message does not contain the value, when none arrives, and when the stream has ended.
    #[track_caller]
    pub fn next_containing(&self, part: impl Serialize) -> impl Future<Output = Value> + Send {
        let (at, part) = (Location::caller(), json_part::value_of(&part));
        async move {
            let message = self.next_message(at, &format!("a message that contains {part}")).await;
            match decode_containing(&message, &part) {
                Ok(value) => value,
                Err(problem) => self.fail_waiting(at, &format!("`{}`: {problem}", self.name())).await,
            }
        }
    }

    /// Returns all messages that have arrived when everything has settled, and have not been read. The clock does not
    /// move.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let news = app.sse("/news").await;
    /// app.advance(Duration::from_secs(30)).await;
    /// assert_eq!(news.drain::<serde_json::Value>().await.len(), 2);
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When a message is not a `T`.
    #[track_caller]
    pub fn drain<T: DeserializeOwned>(&self) -> impl Future<Output = Vec<T>> {
        let at = Location::caller();
        async move {
            settle().await;
            let mut values = Vec::new();
            while let Some(message) = self.take_message() {
                values.push(self.decode(at, &message).await);
            }
            values
        }
    }

    /// Returns all events that have arrived when everything has settled, and have not been read, with their names and ids.
    /// The clock does not move. This also reads what has arrived on a connection that is closed.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let news = app.sse("/news").await;
    /// app.advance(Duration::from_secs(30)).await;
    /// let events = news.drain_events().await;
    /// assert_eq!(events.iter().map(|event| event.name.as_str()).collect::<Vec<_>>(), ["said", "message"]);
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When a message is a WebSocket message that is not an event.
    #[track_caller]
    pub fn drain_events(&self) -> impl Future<Output = Vec<Event>> + Send {
        let at = Location::caller();
        async move {
            settle().await;
            let mut events = Vec::new();
            while let Some(message) = self.take_message() {
                match message {
                    Happening::Event(event) => events.push(event),
                    other => {
                        let got = describe(&other);
                        self.fail_waiting(at, &format!("`{}`: expected an event, got {got}", self.name())).await;
                    }
                }
            }
            events
        }
    }

    /// Reads messages until one is a `T` that satisfies `wanted`, and discards those before it. Up to 60 s of virtual
    /// time may pass before each. It reads at most 1,000 messages, from at most an hour.
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
    /// When no message satisfies `wanted`, when no further message arrives, and when the stream has ended.
    #[track_caller]
    pub fn until<T: DeserializeOwned>(&self, mut wanted: impl FnMut(&T) -> bool) -> impl Future<Output = T> {
        let at = Location::caller();
        async move {
            let expected = format!("a `{}` that satisfies the condition", type_name_of::<T>());
            let start = Instant::now();
            for _ in 0..UNTIL_MESSAGES_MAX {
                let message = self.next_message(at, &expected).await;
                if let Some(value) = decode(&message).ok().filter(&mut wanted) {
                    return value;
                }
                if start.elapsed() > UNTIL_LIMIT {
                    let limit = duration(UNTIL_LIMIT);
                    self.fail_at(at, &format!("`{}`: expected {expected}, and none of {limit} does", self.name()));
                }
            }
            let problem = format!("expected {expected}, and none of {UNTIL_MESSAGES_MAX} messages does");
            self.fail_at(at, &format!("`{}`: {problem}", self.name()))
        }
    }

    /// Waits for the next message, once everything has settled; `expected` is for the failure.
    pub(crate) async fn next_message(&self, at: &Location<'_>, expected: &str) -> Happening {
        self.wait_for(at, expected, "message", || self.take_message()).await
    }

    /// Waits until `take` takes something that was received; `expected` and its `kind` are for the failure.
    pub(crate) async fn wait_for<T>(
        &self,
        at: &Location<'_>,
        expected: &str,
        kind: &str,
        take: impl Fn() -> Option<T>,
    ) -> T {
        settle().await;
        let (deadline, waited) = self.deadline();
        loop {
            if let Some(message) = take() {
                return message;
            }
            let name = self.name();
            let (finished, changed) = self.with_state(|state| (state.is_finished(), state.changed.clone()));
            if finished {
                let answer = self.with_state(|state| state.is_answered().then(|| state.status()));
                let reason =
                    answer.map_or("its stream has ended".into(), |answer| format!("it has no stream: {answer}"));
                self.fail_waiting(at, &format!("`{name}`: expected {expected}, and {reason}")).await;
            }
            let late = timeout_at(deadline, changed.notified()).await.is_err();
            // A message of the last instant is in time.
            settle().await;
            if late && !self.with_state(|state| state.is_finished()) {
                let Some(message) = take() else {
                    let problem = format!("`{name}`: expected {expected}, and no {kind} arrived for {waited}");
                    self.fail_in_vain(at, &problem, true).await
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
