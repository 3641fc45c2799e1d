//! A client connects: for SSE, for a WebSocket, or with a plain request. Each adds the headers that its kind sends.

use hyper::header::{
    ACCEPT, CACHE_CONTROL, CONNECTION, HOST, HeaderName, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Method, Version};

use crate::client::builder::ClientBuilder;
use crate::client::connection::Link;
use crate::client::http::{self, Ask};
use crate::client::reconnect::{self, Speech};
use crate::client::response::Response;
use crate::client::ws_client::{Outbox, WsClient};
use crate::client::{Client, response, ws};
use crate::entry::What;
use crate::runtime::settle;
use crate::transport::Transport;

impl ClientBuilder {
    /// Opens an SSE stream, as `EventSource` does. Returns when everything has happened that can happen at this instant;
    /// a refusal is a line in the transcript, and [`Client::status`] tells it.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let ada = app.client("ada").sse("/news").await;
    /// assert_eq!(ada.next_event().await.name, "said");
    /// # });
    /// ```
    pub async fn sse(mut self, path: impl AsRef<str>) -> Client {
        self.default(HOST, "localhost");
        self.default(ACCEPT, "text/event-stream");
        self.default(CACHE_CONTROL, "no-cache");
        let body = std::mem::take(&mut self.post_body);
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let (client, link) = self.open_link(Kind::Sse, method, path.as_ref(), body.unwrap_or_default()).await;
        client.tasks().spawn(reconnect::live(link, Speech::Sse, self.returns != Some(false)));
        settle().await;
        client
    }

    /// Opens a WebSocket, as a browser does. Returns when everything has happened that can happen at this instant; a
    /// refusal is a line in the transcript, and [`Client::status`] tells it.
    ///
    /// ```
    #[doc = include_str!("../../doc/room.md")]
    /// let ada = app.client("ada").ws("/room").await;
    /// assert_eq!(ada.status(), 101);
    /// # });
    /// ```
    pub async fn ws(mut self, path: impl AsRef<str>) -> WsClient {
        self.default(HOST, "localhost");
        self.default(CONNECTION, "Upgrade");
        self.default(UPGRADE, "websocket");
        self.default(SEC_WEBSOCKET_VERSION, "13");
        self.default(SEC_WEBSOCKET_KEY, ws::handshake::KEY);
        let (client, link) = self.open_link(Kind::Ws, Method::GET, path.as_ref(), Vec::new()).await;
        let speech = Speech::Ws { outbox: client.outbox(), mute: self.mute };
        client.tasks().spawn(reconnect::live(link, speech, self.returns == Some(true)));
        settle().await;
        WsClient::new(client)
    }

    /// Opens a stream over this transport: [`sse`](Self::sse), or [`ws`](Self::ws) for one that only listens.
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

    /// A plain `GET`, for routes beside the stream. See [`request`](Self::request).
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// assert_eq!(app.client("ada").get("/elsewhere").await.status(), 404);
    /// # });
    /// ```
    pub async fn get(self, path: impl AsRef<str>) -> Response {
        self.request("GET", path, "").await
    }

    /// A plain `POST`. See [`request`](Self::request).
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// assert_eq!(app.client("ada").post("/news", "hi").await.status(), 405);
    /// # });
    /// ```
    pub async fn post(self, path: impl AsRef<str>, body: impl AsRef<[u8]>) -> Response {
        self.request("POST", path, body).await
    }

    /// A plain request, for routes beside the stream; its name may be that of a stream's client.
    ///
    /// ```
    /// # use salvo::prelude::*;
    /// # #[handler]
    /// # async fn put(res: &mut Response) {
    /// #     res.status_code(StatusCode::CREATED);
    /// #     res.render("kept");
    /// # }
    /// use tornadose_test::{Harness, assert_transcript};
    /// # tornadose_test::run(async {
    /// let app = Harness::new(Router::with_path("inbox/{user}").put(put));
    /// let answer = app.client("ada").header("content-type", "text/plain").request("PUT", "/inbox/7", "hi").await;
    /// assert_eq!((answer.status(), answer.text()), (201, "kept".to_owned()));
    /// assert_transcript!(app, @r"
    /// ada > PUT /inbox/7
    /// ada ~ answer 201 kept
    /// ");
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When the method cannot be one.
    pub async fn request(mut self, method: impl AsRef<str>, path: impl AsRef<str>, body: impl AsRef<[u8]>) -> Response {
        let method = method.as_ref();
        let method = Method::from_bytes(method.as_bytes()).unwrap_or_else(|_| panic!("`{method}` is not a method"));
        self.default(HOST, "localhost");
        self.default(ACCEPT, "*/*");
        let (client, link) = self.open_link(Kind::Plain, method, path.as_ref(), body.as_ref().to_vec()).await;
        client.tasks().spawn(async move { response::read(&link).await });
        settle().await;
        Response::new(client)
    }

    async fn open_link(&self, kind: Kind, method: Method, path: &str, body: Vec<u8>) -> (Client, Link) {
        let parsed =
            path.parse::<hyper::Uri>().ok().filter(|uri| uri.scheme().is_none() && uri.path().starts_with('/'));
        assert!(parsed.is_some(), "`{path}` is not a path; it begins with `/`, and odd characters are percent-encoded");
        let upgrade = kind == Kind::Ws;
        assert!(!(upgrade && self.http2), "a WebSocket goes over HTTP/1.1: leave out `.http2()`");
        let version = if self.http2 { Version::HTTP_2 } else { Version::HTTP_11 };
        let headers = self.headers.clone();
        let ask = Ask { method, target: path.to_owned(), version, upgrade, headers, body };

        let record = self.app.record();
        settle().await;
        let name = self.name.clone().unwrap_or_else(|| named_after(path));
        let seat = match kind {
            Kind::Sse | Kind::Ws => record.seat(&name, self.lenient),
            Kind::Plain => record.seat_beside(&name),
        };
        let client = Client::new(record.clone(), seat, upgrade.then(Outbox::default));
        if let What::Request { last_event_id, .. } = ask.line() {
            client.look(|seat| seat.last_event_id = last_event_id);
        }
        record.note(seat, ask.line());
        for fault in &self.faults {
            client.set(fault.clone()).expect("nothing has passed yet that it could be too late for");
        }
        let (seat, server) = (client.seat(), self.app.server().clone());
        let link =
            Link { seat, server, ask, buffer_size: self.buffer_size, valve: client.valve(), cuts: client.cuts() };
        (client, link)
    }

    fn default(&mut self, name: HeaderName, value: &'static str) {
        http::default(&mut self.headers, &self.without, name, value);
    }
}

/// What a client opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sse,
    Ws,
    Plain,
}

/// The last segment of a path, `client` at the root.
fn named_after(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let last = path.rsplit('/').find(|segment| !segment.is_empty());
    last.unwrap_or("client").to_owned()
}
