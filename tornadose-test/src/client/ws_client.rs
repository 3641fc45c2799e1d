//! The WebSocket client: a client that can also speak.

use std::future::Future;
use std::ops::Deref;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::assert::{Part, Source};
use crate::client::Client;
use crate::client::ws::frame::{Opcode, encode};
use crate::entry::{Side, What};
use crate::runtime::settle;

/// A WebSocket client, from [`Harness::ws`](crate::Harness::ws) or [`ClientBuilder::ws`](crate::ClientBuilder::ws).
///
/// It receives as every [`Client`] does, and sends. It answers pings and a close by itself, unless it is
/// [`mute`](crate::ClientBuilder::mute); everything it sends is masked with the same key in every run. It checks what
/// the server sends against RFC 6455: a breach is a line in the transcript and fails the test.
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
pub struct WsClient {
    client: Client,
}

impl WsClient {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// The client without its voice.
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
    /// When it is not JSON, and when the connection is not open.
    #[track_caller]
    pub fn send<T: Serialize + ?Sized>(&self, value: &T) -> impl Future<Output = ()> + Send {
        let at = Location::caller();
        let text = serde_json::to_string(value);
        let text = text.unwrap_or_else(|error| self.fail(&format!("what is sent cannot be JSON: {error}")));
        async move { self.client.say(at, encode(Opcode::Text, text.as_bytes()), What::SentText(text)).await }
    }

    /// Sends text as it is.
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
        async move { self.client.say(at, encode(Opcode::Text, text.as_bytes()), What::SentText(text)).await }
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
        async move { self.client.say(at, encode(Opcode::Binary, &bytes), What::SentBinary(bytes)).await }
    }

    /// Sends a ping with this payload, at most 125 bytes if it is to be a proper one.
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
        async move { self.client.say(at, encode(Opcode::Ping, &payload), What::SentPing(payload)).await }
    }

    /// Writes bytes behind the handshake as they are: frames that no proper client would send.
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
        async move { self.client.say(at, bytes.clone(), What::SentRaw(bytes)).await }
    }

    /// Closes politely with 1000. As a browser does, it leaves hanging up to the server.
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

    /// Closes with this code and reason. As a browser does, it leaves hanging up to the server.
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
        async move { self.client.say_goodbye(at, code, reason).await }
    }
}

impl Client {
    pub(crate) async fn say_goodbye(&self, at: &Location<'_>, code: u16, reason: String) {
        let frame = encode(Opcode::Close, &[&code.to_be_bytes(), reason.as_bytes()].concat());
        self.look(|seat| seat.closing = Some(code));
        self.say(at, frame, What::Close { code: Some(code), reason, by: Side::Client }).await;
    }

    async fn say(&self, at: &Location<'_>, frame: Vec<u8>, what: What) {
        settle().await;
        let (open, standing) = self.look(|seat| {
            let refused = seat.head.as_ref().is_some_and(|(status, _)| *status != 101);
            (!seat.gone && !refused, seat.standing())
        });
        if !open {
            self.fail_at(at, &format!("`{}` cannot send: its connection is {standing}", self.name()));
        }
        self.seat().note(what);
        self.outbox().send(frame);
        settle().await;
    }
}

/// What is to be written: by the test, pongs, the answer to a close. Each connection takes it up anew.
#[derive(Clone, Default)]
pub(crate) struct Outbox {
    current: Arc<Mutex<Option<UnboundedSender<Vec<u8>>>>>,
}

impl Outbox {
    pub(crate) fn begin(&self) -> UnboundedReceiver<Vec<u8>> {
        let (send, written) = unbounded_channel();
        *self.lock() = Some(send);
        written
    }

    pub(crate) fn send(&self, bytes: Vec<u8>) {
        if let Some(current) = &*self.lock() {
            // The writing task has ended only if the connection has, at this very instant; the transcript then says so.
            let _ = current.send(bytes);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<UnboundedSender<Vec<u8>>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for WsClient {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Source for WsClient {
    fn part(&self) -> Part {
        self.client.part()
    }
}
