//! A client before it connects: its name, its headers, its pipe.

use std::fmt::Display;

use hyper::Method;
use hyper::header::{
    ACCEPT, CACHE_CONTROL, CONNECTION, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};

use crate::client::answer::Answer;
use crate::client::pipe::Pipe;
use crate::client::request::{self, Ask};
use crate::client::socket::Socket;
use crate::client::{Client, answer, sse, ws};
use crate::harness::Harness;
use crate::record::line::What;
use crate::record::seat::Ending;
use crate::settle;

/// So many bytes fit into a connection by default: a reader that stalls is soon felt.
const PIPE: usize = 1024;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A client that has not connected yet, from [`Harness::client`]: say what it sends, then open a stream.
///
/// ```
/// # use salvo::prelude::*;
/// # #[handler]
/// # async fn inbox(req: &mut Request, res: &mut Response) {
/// #     let user = req.header::<String>("cookie").unwrap();
/// #     res.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
/// #     res.write_body(format!("id: 8\ndata: \"{user}\"\n\n")).unwrap();
/// # }
/// use tornadose_test::{Harness, assert_transcript};
/// # tornadose_test::run(async {
/// let app = Harness::new(Router::with_path("inbox").get(inbox));
/// let ada = app.client("ada").cookie("user", "ada").last_event_id("8").pipe(64).sse("/inbox").await;
/// assert_transcript!(ada, @r#"
/// ada > GET /inbox last-event-id #1
/// ada ~ open 200 text/event-stream
/// ada < message #1 "user=ada"
/// ada ~ end
/// "#);
/// # });
/// ```
#[derive(Clone)]
#[must_use = "a client does nothing until it opens a stream: `.sse(path).await` or `.ws(path).await`"]
pub struct ClientBuilder {
    app: Harness,
    name: Option<String>,
    headers: HeaderMap,
    without: Vec<HeaderName>,
    pipe: usize,
    lenient: bool,
    mute: bool,
}

impl ClientBuilder {
    pub(crate) fn new(app: Harness, name: Option<String>) -> Self {
        let (headers, without) = (HeaderMap::new(), Vec::new());
        Self { app, name, headers, without, pipe: PIPE, lenient: false, mute: false }
    }

    /// Sends this header too. One that the client would send by itself (`host`, `accept`, `sec-websocket-version`, …)
    /// is replaced; the same name given twice is sent twice.
    ///
    /// # Panics
    ///
    /// When it cannot be a header.
    pub fn header(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        let (name, value) = (header_name(name.as_ref()), header_value(value.as_ref()));
        self.headers.append(name, value);
        self
    }

    /// Leaves out a header that the client would send by itself.
    ///
    /// # Panics
    ///
    /// When it cannot be the name of a header.
    pub fn without(mut self, name: impl AsRef<str>) -> Self {
        self.without.push(header_name(name.as_ref()));
        self
    }

    /// Sends this cookie, beside those already given.
    ///
    /// # Panics
    ///
    /// When it cannot stand in a header.
    pub fn cookie(mut self, name: impl Display, value: impl Display) -> Self {
        let cookie = format!("{name}={value}");
        let cookies = match self.headers.get(COOKIE) {
            Some(before) => format!("{}; {cookie}", String::from_utf8_lossy(before.as_bytes())),
            None => cookie,
        };
        self.headers.insert(COOKIE, header_value(&cookies));
        self
    }

    /// Connects as one that has seen everything up to this id: the header `Last-Event-ID`.
    ///
    /// # Panics
    ///
    /// When it cannot stand in a header.
    pub fn last_event_id(mut self, id: impl Display) -> Self {
        self.headers.insert(LAST_EVENT_ID, header_value(&id.to_string()));
        self
    }

    /// Connects from a page of this origin, `https://app.example` for example.
    ///
    /// # Panics
    ///
    /// When it cannot stand in a header.
    pub fn origin(mut self, origin: impl AsRef<str>) -> Self {
        self.headers.insert(ORIGIN, header_value(origin.as_ref()));
        self
    }

    /// Offers these WebSocket subprotocols, the dearest first.
    ///
    /// # Panics
    ///
    /// When they cannot stand in a header.
    pub fn protocols<P: AsRef<str>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        let protocols: Vec<P> = protocols.into_iter().collect();
        let offered: Vec<&str> = protocols.iter().map(AsRef::as_ref).collect();
        self.headers.insert(SEC_WEBSOCKET_PROTOCOL, header_value(&offered.join(", ")));
        self
    }

    /// So many bytes fit into the connection, each way, before its writer has to wait: 1024 unless told.
    ///
    /// # Panics
    ///
    /// When it is 0: nothing could ever come through.
    pub fn pipe(mut self, bytes: usize) -> Self {
        assert!(bytes > 0, "a pipe holds at least 1 byte");
        self.pipe = bytes;
        self
    }

    /// The end of the test overlooks what this client has not read, and forgives what the server did wrong to it.
    pub fn lenient(mut self) -> Self {
        self.lenient = true;
        self
    }

    /// A WebSocket client that answers nothing by itself: neither pings nor a close.
    pub fn mute(mut self) -> Self {
        self.mute = true;
        self
    }

    /// Opens an SSE stream, as `EventSource` does. Returns when everything has happened that can happen at this instant;
    /// a refusal is a line in the transcript, and [`Client::status`] tells it.
    pub async fn sse(mut self, path: impl AsRef<str>) -> Client {
        self.default(HOST, "localhost");
        self.default(ACCEPT, "text/event-stream");
        self.default(CACHE_CONTROL, "no-cache");
        let (client, pipe, ask) = self.open(Method::GET, path.as_ref(), Vec::new()).await;
        if let Some(pipe) = pipe {
            let (seat, tasks) = (client.seat(), client.tasks());
            client.tasks().spawn(sse::stream::read(seat, pipe, ask, tasks));
        }
        settle().await;
        client
    }

    /// Opens a WebSocket, as a browser does. Returns when everything has happened that can happen at this instant; a
    /// refusal is a line in the transcript, and [`Client::status`] tells it.
    pub async fn ws(mut self, path: impl AsRef<str>) -> Socket {
        self.default(HOST, "localhost");
        self.default(CONNECTION, "Upgrade");
        self.default(UPGRADE, "websocket");
        self.default(SEC_WEBSOCKET_VERSION, "13");
        self.default(SEC_WEBSOCKET_KEY, ws::handshake::KEY);
        let mute = self.mute;
        let (client, pipe, ask) = self.open(Method::GET, path.as_ref(), Vec::new()).await;
        let (socket, outbox) = Socket::new(client);
        if let Some(pipe) = pipe {
            let (seat, tasks) = (socket.seat(), socket.tasks());
            socket.tasks().spawn(ws::stream::read(seat, pipe, ask, tasks, outbox, mute));
        }
        settle().await;
        socket
    }

    /// A plain `GET`, for routes beside the stream. See [`request`](Self::request).
    pub async fn get(self, path: impl AsRef<str>) -> Answer {
        self.request("GET", path, "").await
    }

    /// A plain `POST`. See [`request`](Self::request).
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
        self.name = Some(self.name.unwrap_or_else(|| named_after(path.as_ref())));
        let (client, pipe, ask) = self.open(method, path.as_ref(), body.as_ref().to_vec()).await;
        if let Some(pipe) = pipe {
            let (seat, tasks) = (client.seat(), client.tasks());
            client.tasks().spawn(answer::read(seat, pipe, ask, tasks));
        }
        settle().await;
        Answer::new(client)
    }

    async fn open(&self, method: Method, path: &str, body: Vec<u8>) -> (Client, Option<Pipe>, Ask) {
        let parsed =
            path.parse::<hyper::Uri>().ok().filter(|uri| uri.scheme().is_none() && uri.path().starts_with('/'));
        assert!(parsed.is_some(), "`{path}` is not a path; it begins with `/`, and odd characters are percent-encoded");
        let upgrade = self.headers.contains_key(SEC_WEBSOCKET_KEY);
        let last_event_id = self.headers.get(LAST_EVENT_ID);
        let last_event_id = last_event_id.map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned());

        let record = self.app.record();
        settle().await;
        let name = self.name.clone().unwrap_or_else(|| named_after(path));
        let streams = upgrade || self.headers.get(ACCEPT).is_some_and(|accept| accept == "text/event-stream");
        let seat = if streams { record.seat(&name, self.lenient) } else { record.seat_beside(&name) };
        let client = Client::new(record.clone(), seat);
        let target = path.to_owned();
        record.note(
            seat,
            What::Request {
                method: method.to_string(),
                target: target.clone(),
                upgrade,
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

/// The last segment of a path, `client` at the root.
fn named_after(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let last = path.rsplit('/').find(|segment| !segment.is_empty());
    last.unwrap_or("client").to_owned()
}

fn header_name(name: &str) -> HeaderName {
    name.parse().unwrap_or_else(|_| panic!("`{name}` cannot be the name of a header"))
}

fn header_value(value: &str) -> HeaderValue {
    HeaderValue::from_bytes(value.as_bytes()).unwrap_or_else(|_| panic!("`{value}` cannot stand in a header"))
}
