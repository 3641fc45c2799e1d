//! The clients of a harness, and connections of a test's own.

use std::panic::Location;

use tokio::io::DuplexStream;

use crate::client::Client;
use crate::client::builder::ClientBuilder;
use crate::client::response::Response;
use crate::client::ws_client::WsClient;
use crate::harness::Harness;
use crate::transport::Transport;

/// The buffer of a connection from [`Harness::connect`], in each direction.
const CONNECT_BUFFER_BYTES: usize = 64 << 10;

impl Harness {
    /// Returns the builder of a client with this name. If another client has the name, this one gets `-2`, and so on.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let ada = app.client("ada").sse("/news").await;
    /// # ada.skip(1).await;
    /// # });
    /// ```
    pub fn client(&self, name: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(self.app.clone(), Some(name.into()))
    }

    /// Opens an SSE stream. The client is named after the last segment of the path, and `client` at the root. See
    /// [`ClientBuilder::sse`].
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let news = app.sse("/news").await; // the client `news`
    /// # news.skip(1).await;
    /// # });
    /// ```
    pub async fn sse(&self, path: impl AsRef<str>) -> Client {
        self.unnamed_client().sse(path).await
    }

    /// Opens a WebSocket. The client is named after the last segment of the path, and `client` at the root. See
    /// [`ClientBuilder::ws`].
    ///
    /// ```
    #[doc = include_str!("../../doc/room.md")]
    /// let room = app.ws("/room").await; // the client `room`
    /// # });
    /// ```
    pub async fn ws(&self, path: impl AsRef<str>) -> WsClient {
        self.unnamed_client().ws(path).await
    }

    /// Opens a stream over this transport. The client is named after the last segment of the path, and `client` at the
    /// root. See [`ClientBuilder::open`].
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// use tornadose_test::Transport;
    ///
    /// let news = app.open(Transport::Sse, "/news").await;
    /// # news.skip(1).await;
    /// # });
    /// ```
    pub async fn open(&self, over: Transport, path: impl AsRef<str>) -> Client {
        self.unnamed_client().open(over, path).await
    }

    /// Sends a plain `GET`, for routes beside the stream. See [`ClientBuilder::request`].
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// assert_eq!(app.get("/elsewhere").await.status(), 404);
    /// # });
    /// ```
    pub async fn get(&self, path: impl AsRef<str>) -> Response {
        self.unnamed_client().get(path).await
    }

    /// Sends a plain `POST`, for routes beside the stream. See [`ClientBuilder::request`].
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// assert_eq!(app.post("/news", "hi").await.status(), 405);
    /// # });
    /// ```
    pub async fn post(&self, path: impl AsRef<str>, body: impl AsRef<[u8]>) -> Response {
        self.unnamed_client().post(path, body).await
    }

    /// Opens a connection over which the test itself sends and receives bytes: another protocol, or half a request. The
    /// bytes are not recorded. The pipe buffers 64 KiB in each direction.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// # app.sse("/news").await.skip(1).await;
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    ///
    /// let mut pipe = app.connect();
    /// pipe.write_all(b"GET /elsewhere HTTP/1.0\r\n\r\n").await.unwrap();
    /// let mut response = String::new();
    /// pipe.read_to_string(&mut response).await.unwrap();
    /// assert!(response.starts_with("HTTP/1.0 404 Not Found\r\n"));
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// While the server is stopped.
    #[track_caller]
    pub fn connect(&self) -> DuplexStream {
        match self.app.server.dial(CONNECT_BUFFER_BYTES, None) {
            Some(pipe) => pipe,
            None => self.app.journal.run.fail(Some(Location::caller()), "cannot connect: the server is stopped"),
        }
    }

    fn unnamed_client(&self) -> ClientBuilder {
        ClientBuilder::new(self.app.clone(), None)
    }
}
