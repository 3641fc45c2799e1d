//! Opens clients: SSE streams, WebSocket connections and plain requests, each with its default headers.

use hyper::header::{
    ACCEPT, CACHE_CONTROL, CONNECTION, HOST, HeaderName, HeaderValue, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Method, Uri, Version};

use crate::client::Client;
use crate::client::builder::{ClientBuilder, Opening};
use crate::client::connection::Dial;
use crate::client::http::{self, ConnectionTasks, RequestSpec};
use crate::client::log::ClientLog;
use crate::client::reconnect::{self, Protocol};
use crate::client::response::Response;
use crate::client::ws::handshake;
use crate::client::ws_client::WsClient;
use crate::journal::client_state::ClientState;
use crate::runtime::current::settle;
use crate::transport::Transport;

/// The kind of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientKind {
    Sse,
    Ws,
    Plain,
}

impl ClientBuilder {
    /// Opens an SSE stream, as `EventSource` does. Returns when a response has arrived and everything that can happen at
    /// this instant has happened. Up to 60 s of virtual time may pass before the response, see
    /// [`without_waiting`](Self::without_waiting). A rejection is a line in the transcript, and [`Client::status`]
    /// returns its status.
    ///
    /// # Panics
    ///
    /// When the path is not a valid path of a URL.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let ada = app.client("ada").sse("/news").await;
    /// assert_eq!(ada.next_event().await.name, "said");
    /// # });
    /// ```
    pub async fn sse(mut self, path: impl AsRef<str>) -> Client {
        self.set_default_header(HOST, "localhost");
        self.set_default_header(ACCEPT, "text/event-stream");
        self.set_default_header(CACHE_CONTROL, "no-cache");
        let body = std::mem::take(&mut self.post_body);
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let (client, dial) = self.prepare(ClientKind::Sse, method, path.as_ref(), body.unwrap_or_default()).await;
        client.tasks.spawn(reconnect::run(dial, Protocol::Sse, self.reconnects != Some(false)));
        self.wait_for_response(&client).await;
        client
    }

    /// Opens a WebSocket, as a browser does. Returns when a response has arrived and everything that can happen at this
    /// instant has happened. Up to 60 s of virtual time may pass before the response, see
    /// [`without_waiting`](Self::without_waiting). A rejection is a line in the transcript, and [`Client::status`]
    /// returns its status.
    ///
    /// # Panics
    ///
    /// When the path is not a valid path of a URL, and after [`http2`](Self::http2).
    ///
    /// ```
    #[doc = include_str!("../../doc/room.md")]
    /// let ada = app.client("ada").ws("/room").await;
    /// assert_eq!(ada.status(), 101);
    /// # });
    /// ```
    pub async fn ws(mut self, path: impl AsRef<str>) -> WsClient {
        self.set_default_header(HOST, "localhost");
        self.set_default_header(CONNECTION, "Upgrade");
        self.set_default_header(UPGRADE, "websocket");
        self.set_default_header(SEC_WEBSOCKET_VERSION, "13");
        self.set_default_header(SEC_WEBSOCKET_KEY, handshake::KEY);
        let (client, dial) = self.prepare(ClientKind::Ws, Method::GET, path.as_ref(), Vec::new()).await;
        let protocol = Protocol::Ws { frame_queue: client.frame_queue.clone(), mute: self.mute };
        client.tasks.spawn(reconnect::run(dial, protocol, self.reconnects == Some(true)));
        self.wait_for_response(&client).await;
        WsClient::new(client)
    }

    /// Opens a stream over this transport: [`sse`](Self::sse), or [`ws`](Self::ws) for a client that only receives.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// use tornadose_test::Transport;
    ///
    /// let ada = app.client("ada").open(Transport::Sse, "/news").await;
    /// assert_eq!(ada.next_event().await.name, "said");
    /// # });
    /// ```
    pub async fn open(self, over: Transport, path: impl AsRef<str>) -> Client {
        match over {
            Transport::Sse => self.sse(path).await,
            Transport::Ws => self.ws(path).await.into_client(),
        }
    }

    /// Sends a plain `GET`, for routes beside the stream. See [`request`](Self::request).
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// assert_eq!(app.client("ada").get("/elsewhere").await.status(), 404);
    /// # });
    /// ```
    pub async fn get(self, path: impl AsRef<str>) -> Response {
        self.request("GET", path, "").await
    }

    /// Sends a plain `POST`. See [`request`](Self::request).
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// assert_eq!(app.client("ada").post("/news", "hi").await.status(), 405);
    /// # });
    /// ```
    pub async fn post(self, path: impl AsRef<str>, body: impl AsRef<[u8]>) -> Response {
        self.request("POST", path, body).await
    }

    /// Sends a plain request, for routes beside the stream, and waits for its response. Up to 60 s of virtual time may
    /// pass, see [`without_waiting`](Self::without_waiting). Its client may share its name with a stream's client.
    ///
    /// ```
    /// # use salvo::prelude::*;
    /// # #[handler]
    /// # async fn put(res: &mut Response) {
    /// #     res.status_code(StatusCode::CREATED);
    /// #     res.render("stored");
    /// # }
    /// use tornadose_test::{Harness, assert_transcript};
    /// # tornadose_test::run(async {
    /// let app = Harness::new(Router::with_path("inbox/{user}").put(put));
    /// let response = app.client("ada").header("content-type", "text/plain").request("PUT", "/inbox/7", "hi").await;
    /// assert_eq!((response.status(), response.text()), (201, "stored".to_owned()));
    /// assert_transcript!(app, @r"
    /// ada > PUT /inbox/7
    /// ada ~ answer 201 stored
    /// ");
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When the method is invalid.
    pub async fn request(mut self, method: impl AsRef<str>, path: impl AsRef<str>, body: impl AsRef<[u8]>) -> Response {
        let method = method.as_ref();
        let method =
            Method::from_bytes(method.as_bytes()).unwrap_or_else(|_| panic!("`{method}` is not a valid method"));
        self.set_default_header(HOST, "localhost");
        self.set_default_header(ACCEPT, "*/*");
        let (client, dial) = self.prepare(ClientKind::Plain, method, path.as_ref(), body.as_ref().to_vec()).await;
        client.tasks.spawn(run_plain_request(dial));
        self.wait_for_response(&client).await;
        Response::new(client)
    }

    /// Adds the client to the journal, records its request, and sets its faults.
    async fn prepare(&self, kind: ClientKind, method: Method, path: &str, body: Vec<u8>) -> (Client, Dial) {
        let is_path = |uri: &Uri| uri.scheme().is_none() && uri.path().starts_with('/');
        assert!(
            path.parse::<Uri>().is_ok_and(|uri| is_path(&uri)),
            "`{path}` is not a path; it begins with `/`, and special characters are percent-encoded"
        );
        let upgrade = kind == ClientKind::Ws;
        assert!(!(upgrade && self.http2), "a WebSocket uses HTTP/1.1: leave out `.http2()`");
        let version = if self.http2 { Version::HTTP_2 } else { Version::HTTP_11 };
        let headers = self.headers.clone();
        let cookies = self.cookie_jar.clone();
        let request = RequestSpec { method, target: path.to_owned(), version, upgrade, headers, cookies, body };

        let journal = self.app.journal.clone();
        settle().await;
        let name = self.name.clone().unwrap_or_else(|| name_from_path(path));
        let client = match kind {
            ClientKind::Sse | ClientKind::Ws => journal.add_stream_client(&name, self.lenient),
            ClientKind::Plain => journal.add_request_client(&name, self.lenient),
        };
        let client = Client::new(ClientLog { journal, client });
        let tasks = client.tasks.clone();
        client.log.journal.add_shutdown(move || tasks.abort());
        client.with_state(|state| state.last_event_id = request.last_event_id());
        client.log.record(request.happening());
        for fault in &self.faults {
            client.set_fault(fault.clone()).expect("no byte has passed yet");
        }
        let dial = Dial {
            log: client.log.clone(),
            server: self.app.server.clone(),
            request,
            buffer_size: self.buffer_size,
            pipe_control: client.pipe_control.clone(),
            cuts: client.cuts.clone(),
        };
        (client, dial)
    }

    /// Waits for the response, or the end of the connection, and settles.
    async fn wait_for_response(&self, client: &Client) {
        settle().await;
        if self.opening == Opening::WaitForResponse {
            client.wait_while(ClientState::is_unanswered).await;
        }
    }

    /// Adds a header, unless the test has set it or left it out.
    fn set_default_header(&mut self, name: HeaderName, value: &'static str) {
        if !self.headers.contains_key(&name) && !self.without.contains(&name) {
            self.headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

/// Sends a plain request, and records its response.
async fn run_plain_request(dial: Dial) {
    let Some(pipe) = dial.connect() else { return };
    let tasks = ConnectionTasks::default();
    match http::send(pipe, dial.request.clone(), &tasks).await {
        Ok(response) => http::record_response(&dial.log, response).await,
        Err(_) => dial.log.record_abort(),
    }
}

/// Returns the last segment of a path, or `client` at the root.
fn name_from_path(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let last = path.rsplit('/').find(|segment| !segment.is_empty());
    last.unwrap_or("client").to_owned()
}
