//! The WebSocket client, which also sends.

use std::future::Future;
use std::ops::Deref;
use std::panic::Location;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::assert::{HasTranscript, Scope};
use crate::client::Client;
use crate::client::ask::Ask;
use crate::client::ws::frame::{Opcode, encode};
use crate::entry::{Happening, Peer};
use crate::journal::client_state::ClientState;
use crate::runtime::current::settle;

/// A WebSocket client, from [`Harness::ws`](crate::Harness::ws) or [`ClientBuilder::ws`](crate::ClientBuilder::ws).
///
/// It dereferences to [`Client`], for everything except sending and [`close`](Self::close). It replies to pings and to
/// a close automatically, unless it is [`mute`](crate::ClientBuilder::mute). It masks every frame with the same key in
/// every run.
///
/// It checks the server's frames against RFC 6455. A violation is a line in the transcript and fails the test.
///
/// ```
/// # use salvo::prelude::*;
/// # #[handler]
/// # async fn refuse(res: &mut Response) { res.status_code(StatusCode::FORBIDDEN); res.render("members only"); }
/// use tornadose_test::{Harness, assert_transcript};
/// # tornadose_test::run(async {
/// let app = Harness::new(Router::with_path("rooms/1").get(refuse));
/// let bob = app.client("bob").origin("https://app.example").ws("/rooms/1").await;
/// assert_eq!(bob.status(), 403);
/// assert_transcript!(bob, @r"
/// bob > GET /rooms/1 upgrade websocket
/// bob ~ answer 403 members only
/// ");
/// # });
/// ```
#[derive(Debug)]
pub struct WsClient {
    client: Client,
}

impl WsClient {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    pub(crate) fn into_client(self) -> Client {
        self.client
    }

    /// Sends a value as JSON text.
    ///
    /// ```
    #[doc = include_str!("../../doc/room.md")]
    /// #[derive(serde::Serialize)]
    /// struct Say {
    ///     text: &'static str,
    /// }
    /// let bob = app.client("bob").ws("/room").await;
    /// bob.send(&Say { text: "hi" }).await;
    /// assert!(bob.recording().to_string().contains(r#"bob > {"text":"hi"}"#));
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When the value cannot be serialized as JSON, and when the connection is not open.
    #[track_caller]
    pub fn send<T: Serialize + ?Sized>(&self, value: &T) -> impl Future<Output = ()> + Send {
        let (at, text) = (Location::caller(), self.json(value));
        async move { self.client.send_frame(at, encode(Opcode::Text, text.as_bytes()), Happening::SentText(text)).await }
    }

    /// Sends a value as an ask, and waits for its reply, which it decodes as a `T`. It is `feed.ask` of `tornadose.js`.
    /// Up to 60 s of virtual time may pass.
    ///
    /// ```
    #[doc = include_str!("../../doc/desk.md")]
    /// # #[derive(serde::Deserialize)]
    /// # struct Placed { id: u32 }
    /// let bob = app.client("bob").ws("/desk").await;
    /// let placed: Placed = bob.ask("order").await;
    /// assert_eq!(placed.id, 7);
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// As [`send`](Self::send) and [`Ask::reply`].
    #[track_caller]
    pub fn ask<T: DeserializeOwned>(&self, value: &(impl Serialize + ?Sized)) -> impl Future<Output = T> + Send {
        let (at, data) = (Location::caller(), self.json(value));
        async move { Ask::new(self, self.send_numbered(at, data).await).reply_at(at).await }
    }

    /// Sends a value as an ask. The [`Ask`] reads the answer, later or when it is an error.
    ///
    /// ```
    #[doc = include_str!("../../doc/desk.md")]
    /// let bob = app.client("bob").ws("/desk").await;
    /// let (first, second) = (bob.send_ask("order").await, bob.send_ask("another").await);
    /// assert_eq!(second.error().await, "closed");
    /// assert_eq!(first.reply::<serde_json::Value>().await["id"], 7);
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// As [`send`](Self::send).
    #[track_caller]
    pub fn send_ask(&self, value: &(impl Serialize + ?Sized)) -> impl Future<Output = Ask<'_>> + Send {
        let (at, data) = (Location::caller(), self.json(value));
        async move { Ask::new(self, self.send_numbered(at, data).await) }
    }

    #[track_caller]
    fn json(&self, value: &(impl Serialize + ?Sized)) -> String {
        let text = serde_json::to_string(value);
        text.unwrap_or_else(|error| self.fail(&format!("the value cannot be sent as JSON: {error}")))
    }

    /// Watches a key, as `feed.watch` of `tornadose.js` does for a new one. The event `tornadose:watching` that follows
    /// the past of the key is a message like any other.
    ///
    /// ```
    #[doc = include_str!("../../doc/room.md")]
    /// let bob = app.client("bob").ws("/room").await;
    /// bob.watch("AAPL").await;
    /// assert!(bob.recording().to_string().contains(r#"bob > {"tornadose:watch":["AAPL"]}"#));
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// As [`send`](Self::send).
    #[track_caller]
    pub fn watch(&self, key: &(impl Serialize + ?Sized)) -> impl Future<Output = ()> + Send {
        let (at, text) = (Location::caller(), format!("{{\"tornadose:watch\":[{}]}}", self.json(key)));
        async move { self.client.send_frame(at, encode(Opcode::Text, text.as_bytes()), Happening::SentText(text)).await }
    }

    /// Watches a key again, of which the client has everything up to this id.
    ///
    /// ```
    #[doc = include_str!("../../doc/room.md")]
    /// let bob = app.client("bob").ws("/room").await;
    /// bob.watch_since("AAPL", "k3v0q8zd-7").await;
    /// let sent = r#"bob > {"tornadose:watch":["AAPL"],"since":"k3v0q8zd-7"}"#;
    /// assert!(bob.recording().to_string().contains(sent));
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// As [`send`](Self::send).
    #[track_caller]
    pub fn watch_since(
        &self,
        key: &(impl Serialize + ?Sized),
        since: impl AsRef<str>,
    ) -> impl Future<Output = ()> + Send {
        let (at, since) = (Location::caller(), self.json(since.as_ref()));
        let text = format!("{{\"tornadose:watch\":[{}],\"since\":{since}}}", self.json(key));
        async move { self.client.send_frame(at, encode(Opcode::Text, text.as_bytes()), Happening::SentText(text)).await }
    }

    /// Watches a key no more, as `feed.unwatch` of `tornadose.js` does.
    ///
    /// ```
    #[doc = include_str!("../../doc/room.md")]
    /// let bob = app.client("bob").ws("/room").await;
    /// bob.unwatch("AAPL").await;
    /// assert!(bob.recording().to_string().contains(r#"bob > {"tornadose:unwatch":["AAPL"]}"#));
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// As [`send`](Self::send).
    #[track_caller]
    pub fn unwatch(&self, key: &(impl Serialize + ?Sized)) -> impl Future<Output = ()> + Send {
        let (at, text) = (Location::caller(), format!("{{\"tornadose:unwatch\":[{}]}}", self.json(key)));
        async move { self.client.send_frame(at, encode(Opcode::Text, text.as_bytes()), Happening::SentText(text)).await }
    }

    /// Sends a text message.
    ///
    /// ```
    #[doc = include_str!("../../doc/room.md")]
    /// let bob = app.client("bob").ws("/room").await;
    /// bob.send_text("not JSON").await;
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When the connection is not open.
    #[track_caller]
    pub fn send_text(&self, text: impl Into<String>) -> impl Future<Output = ()> + Send {
        let (at, text) = (Location::caller(), text.into());
        async move { self.client.send_frame(at, encode(Opcode::Text, text.as_bytes()), Happening::SentText(text)).await }
    }

    /// Sends a binary message.
    ///
    /// ```
    #[doc = include_str!("../../doc/room.md")]
    /// let bob = app.client("bob").ws("/room").await;
    /// bob.send_binary([1, 2, 3]).await;
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When the connection is not open.
    #[track_caller]
    pub fn send_binary(&self, bytes: impl Into<Vec<u8>>) -> impl Future<Output = ()> + Send {
        let (at, bytes) = (Location::caller(), bytes.into());
        async move { self.client.send_frame(at, encode(Opcode::Binary, &bytes), Happening::SentBinary(bytes)).await }
    }

    /// Sends a ping with this payload; a valid ping has at most 125 bytes.
    ///
    /// ```
    #[doc = include_str!("../../doc/room.md")]
    /// let bob = app.client("bob").ws("/room").await;
    /// bob.ping("are you there?").await;
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When the connection is not open.
    #[track_caller]
    pub fn ping(&self, payload: impl Into<Vec<u8>>) -> impl Future<Output = ()> + Send {
        let (at, payload) = (Location::caller(), payload.into());
        async move { self.client.send_frame(at, encode(Opcode::Ping, &payload), Happening::SentPing(payload)).await }
    }

    /// Sends bytes as they are: frames that no valid client would send.
    ///
    /// ```
    #[doc = include_str!("../../doc/room.md")]
    /// let bob = app.client("bob").ws("/room").await;
    /// bob.send_raw([0x81, 0x02, b'h', b'i']).await; // without a mask
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When the connection is not open.
    #[track_caller]
    pub fn send_raw(&self, bytes: impl Into<Vec<u8>>) -> impl Future<Output = ()> + Send {
        let (at, bytes) = (Location::caller(), bytes.into());
        async move { self.client.send_frame(at, bytes.clone(), Happening::SentRaw(bytes)).await }
    }

    /// Sends a close frame with code 1000. As a browser does, it leaves it to the server to close the connection.
    ///
    /// ```
    #[doc = include_str!("../../doc/room.md")]
    /// let bob = app.client("bob").ws("/room").await;
    /// bob.close().await;
    /// assert_transcript!(bob, @r"
    /// bob > GET /room upgrade websocket
    /// bob ~ open 101
    /// bob ~ close 1000 (client)
    /// ");
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When the connection is not open.
    #[track_caller]
    pub fn close(&self) -> impl Future<Output = ()> + Send {
        self.close_with(1000, "")
    }

    /// Sends a close frame with this code and reason. As a browser does, it leaves it to the server to close the
    /// connection.
    ///
    /// ```
    #[doc = include_str!("../../doc/room.md")]
    /// let bob = app.client("bob").ws("/room").await;
    /// bob.close_with(4000, "enough").await;
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When the connection is not open.
    #[track_caller]
    pub fn close_with(&self, code: u16, reason: impl Into<String>) -> impl Future<Output = ()> + Send {
        let (at, reason) = (Location::caller(), reason.into());
        async move { self.client.send_close(at, code, reason).await }
    }
}

impl Client {
    async fn send_numbered(&self, at: &Location<'_>, data: String) -> u64 {
        let number = self.with_state(ClientState::next_ask);
        let text = format!("{{\"tornadose:ask\":{number},\"data\":{data}}}");
        let frame = encode(Opcode::Text, text.as_bytes());
        self.send_frame(at, frame, Happening::SentAsk { number, data, text }).await;
        number
    }

    async fn send_close(&self, at: &Location<'_>, code: u16, reason: String) {
        let frame = encode(Opcode::Close, &[&code.to_be_bytes(), reason.as_bytes()].concat());
        self.with_state(|state| state.close_sent = Some(code));
        self.send_frame(at, frame, Happening::Close { code: Some(code), reason, by: Peer::Client }).await;
    }

    async fn send_frame(&self, at: &Location<'_>, frame: Vec<u8>, happening: Happening) {
        settle().await;
        let (is_open, status) = self.with_state(|state| {
            let is_refused = state.head.as_ref().is_some_and(|(status, _)| *status != 101);
            (!state.disconnected && !is_refused, state.status())
        });
        if !is_open {
            self.fail_at(at, &format!("`{}` cannot send: its connection is {status}", self.name()));
        }
        self.log.record(happening);
        self.frame_queue.push(frame);
        settle().await;
    }
}

// A WebSocket client is a client that also sends. Delegating would repeat every method of `Client` with its
// documentation, and would make functions that take `&Client` refuse a WebSocket client.
impl Deref for WsClient {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl HasTranscript for WsClient {
    fn scope(&self) -> Scope {
        self.client.scope()
    }
}
