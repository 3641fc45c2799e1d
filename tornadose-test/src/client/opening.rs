//! A client connects: for SSE, for a WebSocket, or with a plain request. Each adds the headers that its kind sends.

use hyper::Method;
use hyper::header::{
    ACCEPT, CACHE_CONTROL, CONNECTION, HOST, HeaderName, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};

use crate::client::answer::Answer;
use crate::client::builder::{ClientBuilder, LAST_EVENT_ID};
use crate::client::pipe::Pipe;
use crate::client::request::{self, Ask};
use crate::client::socket::Socket;
use crate::client::{Client, answer, sse, ws};
use crate::record::line::What;
use crate::record::seat::Ending;
use crate::runtime::settle;

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
        let (client, pipe, ask) = self.open(Kind::Sse, Method::GET, path.as_ref(), Vec::new()).await;
        if let Some(pipe) = pipe {
            let (seat, tasks) = (client.seat(), client.tasks());
            client.tasks().spawn(sse::stream::read(seat, pipe, ask, tasks));
        }
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
    pub async fn ws(mut self, path: impl AsRef<str>) -> Socket {
        self.default(HOST, "localhost");
        self.default(CONNECTION, "Upgrade");
        self.default(UPGRADE, "websocket");
        self.default(SEC_WEBSOCKET_VERSION, "13");
        self.default(SEC_WEBSOCKET_KEY, ws::handshake::KEY);
        let mute = self.mute;
        let (client, pipe, ask) = self.open(Kind::Ws, Method::GET, path.as_ref(), Vec::new()).await;
        let (socket, outbox) = Socket::new(client);
        if let Some(pipe) = pipe {
            let (seat, tasks) = (socket.seat(), socket.tasks());
            socket.tasks().spawn(ws::stream::read(seat, pipe, ask, tasks, outbox, mute));
        }
        settle().await;
        socket
    }

    /// A plain `GET`, for routes beside the stream. See [`request`](Self::request).
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// assert_eq!(app.client("ada").get("/elsewhere").await.status(), 404);
    /// # });
    /// ```
    pub async fn get(self, path: impl AsRef<str>) -> Answer {
        self.request("GET", path, "").await
    }

    /// A plain `POST`. See [`request`](Self::request).
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// assert_eq!(app.client("ada").post("/news", "hi").await.status(), 405);
    /// # });
    /// ```
    pub async fn post(self, path: impl AsRef<str>, body: impl AsRef<[u8]>) -> Answer {
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
    pub async fn request(mut self, method: impl AsRef<str>, path: impl AsRef<str>, body: impl AsRef<[u8]>) -> Answer {
        let method = method.as_ref();
        let method = Method::from_bytes(method.as_bytes()).unwrap_or_else(|_| panic!("`{method}` is not a method"));
        self.default(HOST, "localhost");
        self.default(ACCEPT, "*/*");
        let (client, pipe, ask) = self.open(Kind::Plain, method, path.as_ref(), body.as_ref().to_vec()).await;
        if let Some(pipe) = pipe {
            let (seat, tasks) = (client.seat(), client.tasks());
            client.tasks().spawn(answer::read(seat, pipe, ask, tasks));
        }
        settle().await;
        Answer::new(client)
    }

    async fn open(&self, kind: Kind, method: Method, path: &str, body: Vec<u8>) -> (Client, Option<Pipe>, Ask) {
        let parsed =
            path.parse::<hyper::Uri>().ok().filter(|uri| uri.scheme().is_none() && uri.path().starts_with('/'));
        assert!(parsed.is_some(), "`{path}` is not a path; it begins with `/`, and odd characters are percent-encoded");
        let last_event_id = self.headers.get(LAST_EVENT_ID);
        let last_event_id = last_event_id.map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned());

        let record = self.app.record();
        settle().await;
        let name = self.name.clone().unwrap_or_else(|| named_after(path));
        let seat = match kind {
            Kind::Sse | Kind::Ws => record.seat(&name, self.lenient),
            Kind::Plain => record.seat_beside(&name),
        };
        let client = Client::new(record.clone(), seat);
        let target = path.to_owned();
        record.note(
            seat,
            What::Request {
                method: method.to_string(),
                target: target.clone(),
                upgrade: kind == Kind::Ws,
                last_event_id,
                body: body.clone(),
            },
        );
        let dialled = self.app.server().dial(self.pipe);
        if dialled.is_none() {
            record.ended(seat, Some(What::Refused), Ending::Abort);
        }
        let pipe = dialled.map(|stream| Pipe::new(stream, client.valve()));
        (client, pipe, Ask { method, target, headers: self.headers.clone(), body })
    }

    fn default(&mut self, name: HeaderName, value: &'static str) {
        request::default(&mut self.headers, &self.without, name, value);
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
