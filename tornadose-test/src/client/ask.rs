//! Texts of a WebSocket client that wait for their answer, as `feed.ask` of `tornadose.js` sends them.

use std::future::Future;
use std::panic::Location;

use serde::de::{Deserialize, DeserializeOwned};
use serde_json::Value;

use crate::client::Client;
use crate::client::reading::decode::type_name_of;
use crate::entry::Event;
use crate::text::one_line;

/// An ask that was sent, from [`WsClient::send_ask`](crate::WsClient::send_ask). It reads its own answer, which is no
/// message for [`next`](Client::next) and similar methods. An answer that is not read fails the test at its end.
///
/// ```
#[doc = include_str!("../../doc/desk.md")]
/// let bob = app.client("bob").ws("/desk").await;
/// let ask = bob.send_ask("order").await;
/// let reply: serde_json::Value = ask.reply().await;
/// assert_eq!(reply["id"], 7);
/// # });
/// ```
#[derive(Debug)]
#[must_use = "the answer of an ask has to be read"]
pub struct Ask<'client> {
    client: &'client Client,
    number: u64,
}

impl<'client> Ask<'client> {
    pub(crate) fn new(client: &'client Client, number: u64) -> Self {
        Self { client, number }
    }

    /// Waits for the reply, and decodes it as a `T`. Up to 60 s of virtual time may pass.
    ///
    /// ```
    #[doc = include_str!("../../doc/desk.md")]
    /// # #[derive(serde::Deserialize)]
    /// # struct Placed { id: u32 }
    /// let bob = app.client("bob").ws("/desk").await;
    /// let placed: Placed = bob.send_ask("order").await.reply().await;
    /// assert_eq!(placed.id, 7);
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When the answer is an error, when it is not a `T`, when none arrives, and when the stream has ended.
    #[track_caller]
    pub fn reply<T: DeserializeOwned>(self) -> impl Future<Output = T> + Send {
        self.reply_at(Location::caller())
    }

    pub(crate) async fn reply_at<T: DeserializeOwned>(self, at: &Location<'_>) -> T {
        let expected = format!("a `{}` as the reply to ask {}", type_name_of::<T>(), self.number);
        let answer = self.answer(at, &expected).await;
        if answer.name == "tornadose:error" {
            self.fail(at, &format!("{expected}, got the error {}", one_line(&answer.data))).await;
        }
        let error = match serde_json::from_str(&answer.data) {
            Ok(reply) => return reply,
            Err(error) => error,
        };
        self.fail(at, &format!("{expected}, got {}: {error}", one_line(&answer.data))).await
    }

    /// Waits for the error that the ask is answered with, and returns its reason. Up to 60 s of virtual time may pass.
    ///
    /// ```
    #[doc = include_str!("../../doc/desk.md")]
    /// let bob = app.client("bob").ws("/desk").await;
    /// let _: serde_json::Value = bob.ask("order").await;
    /// assert_eq!(bob.send_ask("another").await.error().await, "closed");
    /// assert_transcript!(bob, @r#"
    /// bob > GET /desk upgrade websocket
    /// bob ~ open 101
    /// bob > ask 1 "order"
    /// bob < tornadose:reply 1 {"id":7}
    /// bob > ask 2 "another"
    /// bob < tornadose:error 2 {"reason":"closed"}
    /// "#);
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When the answer is a reply, when none arrives, and when the stream has ended.
    #[track_caller]
    pub fn error(self) -> impl Future<Output = String> + Send {
        let at = Location::caller();
        async move {
            let expected = format!("an error as the answer to ask {}", self.number);
            let answer = self.answer(at, &expected).await;
            let data: Value = serde_json::from_str(&answer.data).unwrap_or_default();
            match String::deserialize(&data["reason"]) {
                Ok(reason) if answer.name == "tornadose:error" => reason,
                _ => self.fail(at, &format!("{expected}, got {}", one_line(&answer.data))).await,
            }
        }
    }

    async fn answer(&self, at: &Location<'_>, expected: &str) -> Event {
        let log = &self.client.log;
        self.client.wait_for(at, expected, "answer", || log.journal.take_answer(log.client, self.number)).await
    }

    async fn fail(&self, at: &Location<'_>, problem: &str) -> ! {
        self.client.fail_waiting(at, &format!("`{}`: expected {problem}", self.client.name())).await
    }
}
