//! The builder of a client: its name, headers, pipe and faults. The module `open` connects it.

use std::fmt::{self, Display};

use hyper::header::{COOKIE, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_PROTOCOL};

use crate::app::App;
use crate::client::cookie_jar::CookieJar;
use crate::client::faults::Fault;
use crate::client::http::LAST_EVENT_ID;

/// The default buffer of a connection in bytes: small, so that the server soon notices a reader that stalls.
const BUFFER_SIZE: usize = 1024;

/// The builder of a client, from [`Harness::client`](crate::Harness::client): set what it sends, then open a stream.
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
/// let ada = app.client("ada").cookie("user", "ada").last_event_id("8").buffer_size(64).sse("/inbox").await;
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
    pub(crate) app: App,
    pub(crate) name: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) cookie_jar: Option<CookieJar>,
    /// The default headers that are left out.
    pub(crate) without: Vec<HeaderName>,
    pub(crate) buffer_size: usize,
    pub(crate) lenient: bool,
    pub(crate) mute: bool,
    pub(crate) http2: bool,
    pub(crate) post_body: Option<Vec<u8>>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) opening: Opening,
    /// Whether it reconnects; `None` for the default of its transport.
    pub(crate) reconnects: Option<bool>,
}

/// The moment at which the opening of a client returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    WaitForResponse,
    ReturnAtOnce,
}

impl ClientBuilder {
    pub(crate) fn new(app: App, name: Option<String>) -> Self {
        Self {
            app,
            name,
            headers: HeaderMap::new(),
            cookie_jar: None,
            without: Vec::new(),
            buffer_size: BUFFER_SIZE,
            lenient: false,
            mute: false,
            http2: false,
            post_body: None,
            faults: Vec::new(),
            opening: Opening::WaitForResponse,
            reconnects: None,
        }
    }

    /// Adds a header. It replaces a header that the client would send by default (`host`, `accept`,
    /// `sec-websocket-version`, …). A name that is given twice is sent twice.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let ada = app.client("ada").header("authorization", "Bearer 7").sse("/news").await;
    /// ada.skip(1).await;
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When the name or the value is invalid.
    pub fn header(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        let (name, value) = (header_name(name.as_ref()), header_value(value.as_ref()));
        self.headers.append(name, value);
        self
    }

    /// Leaves out a header that the client would send by default.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let ada = app.client("ada").without("accept").sse("/news").await;
    /// ada.skip(1).await;
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When the name is invalid.
    pub fn without(mut self, name: impl AsRef<str>) -> Self {
        self.without.push(header_name(name.as_ref()));
        self
    }

    /// Adds a cookie.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let ada = app.client("ada").cookie("user", "ada").cookie("theme", "dark").sse("/news").await;
    /// ada.skip(1).await;
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When the cookie is not a valid header value.
    pub fn cookie(mut self, name: impl Display, value: impl Display) -> Self {
        let cookie = format!("{name}={value}");
        let cookies = match self.headers.get(COOKIE) {
            Some(before) => format!("{}; {cookie}", String::from_utf8_lossy(before.as_bytes())),
            None => cookie,
        };
        self.headers.insert(COOKIE, header_value(&cookies));
        self
    }

    /// Keeps the cookies that the server sets in this jar, and sends them, also when it reconnects: a login lasts for all
    /// clients of the jar. See [`CookieJar`].
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// use tornadose_test::CookieJar;
    ///
    /// let jar = CookieJar::new();
    /// let ada = app.client("ada").cookie_jar(&jar).sse("/news").await;
    /// ada.skip(1).await;
    /// # });
    /// ```
    pub fn cookie_jar(mut self, jar: &CookieJar) -> Self {
        self.cookie_jar = Some(jar.clone());
        self
    }

    /// Connects as a client that has received everything up to this id: sends the header `Last-Event-ID`.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let ada = app.client("ada").last_event_id("k3v9x0aq-17").sse("/news").await;
    /// ada.skip(1).await;
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When the id is not a valid header value.
    pub fn last_event_id(mut self, id: impl Display) -> Self {
        self.headers.insert(LAST_EVENT_ID, header_value(&id.to_string()));
        self
    }

    /// Connects from a page of this origin, for example `https://app.example`.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let ada = app.client("ada").origin("https://app.example").sse("/news").await;
    /// ada.skip(1).await;
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When the origin is not a valid header value.
    pub fn origin(mut self, origin: impl AsRef<str>) -> Self {
        self.headers.insert(ORIGIN, header_value(origin.as_ref()));
        self
    }

    /// Offers these WebSocket subprotocols, in order of preference.
    ///
    /// ```
    #[doc = include_str!("../../doc/room.md")]
    /// let ada = app.client("ada").protocols(["v2", "v1"]).ws("/room").await;
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When the protocols are not a valid header value.
    pub fn protocols<P: AsRef<str>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        let protocols: Vec<P> = protocols.into_iter().collect();
        let offered: Vec<&str> = protocols.iter().map(AsRef::as_ref).collect();
        self.headers.insert(SEC_WEBSOCKET_PROTOCOL, header_value(&offered.join(", ")));
        self
    }

    /// Sets the number of bytes that the connection buffers in each direction before the writer has to wait. The
    /// default is 1024.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let ada = app.client("ada").buffer_size(64).sse("/news").await;
    /// ada.skip(1).await;
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When `bytes` is 0: no byte could ever pass.
    pub fn buffer_size(mut self, bytes: usize) -> Self {
        assert!(bytes > 0, "the buffer holds at least 1 byte");
        self.buffer_size = bytes;
        self
    }

    /// Uses HTTP/2 with prior knowledge and without TLS; for SSE and plain requests.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let ada = app.client("ada").http2().sse("/news").await;
    /// assert_transcript!(ada, @r#"
    /// ada > GET /news http/2
    /// ada ~ open 200 text/event-stream
    /// ada < said #1 {"text":"hi"}
    /// "#);
    /// # });
    /// ```
    pub fn http2(mut self) -> Self {
        self.http2 = true;
        self
    }

    /// Requests its SSE stream with a `POST` of this body, as clients based on `fetch` do; also when it reconnects.
    ///
    /// ```
    /// # use salvo::prelude::*;
    /// # #[handler]
    /// # async fn search(res: &mut Response) {
    /// #     res.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
    /// #     res.write_body("data: found\n\n").unwrap();
    /// # }
    /// # use tornadose_test::Harness;
    /// # tornadose_test::run(async {
    /// let app = Harness::new(Router::with_path("search").post(search));
    /// let hits = app.client("hits").post_body("needle").sse("/search").await;
    /// assert_eq!(hits.next::<String>().await, "found");
    /// # hits.closed().await;
    /// # });
    /// ```
    pub fn post_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.post_body = Some(body.into());
        self
    }

    /// Sets a [`Fault`] before the client connects; several may be set.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// use tornadose_test::Cut;
    ///
    /// let ada = app.client("ada").fault(Cut::at_byte(0)).sse("/news").await;
    /// ada.reconnected().await;
    /// ada.skip(1).await;
    /// # });
    /// ```
    pub fn fault(mut self, fault: impl Into<Fault>) -> Self {
        self.faults.push(fault.into());
        self
    }

    /// Connects once, as `curl` does.
    ///
    /// By default an SSE client reconnects as an `EventSource` does: when its stream has ended, broken off, or was
    /// refused. It waits for the `retry` delay that the server sent (3 s by default), and sends the last id that it
    /// received. A response other than a stream is final.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let ada = app.client("ada").once().sse("/news").await;
    /// ada.skip(2).await;
    /// ada.closed().await;
    /// # });
    /// ```
    pub fn once(mut self) -> Self {
        self.reconnects = Some(false);
        self
    }

    /// Makes a WebSocket client reconnect, as a page's script does: 3 s after it was closed, broken off or refused,
    /// with its last id as the query parameter `last_event_id`. By default it connects once, as a browser's WebSocket
    /// does.
    ///
    /// ```
    #[doc = include_str!("../../doc/room.md")]
    /// let ada = app.client("ada").reconnects().ws("/room").await;
    /// ada.cut().await;
    /// ada.reconnected().await;
    /// # });
    /// ```
    pub fn reconnects(mut self) -> Self {
        self.reconnects = Some(true);
        self
    }

    /// Opens without waiting for a response, which the handler withholds: a long poll, or a server at its limit. See
    /// [`Client::responded`](crate::Client::responded) and [`Response::responded`](crate::Response::responded).
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let ada = app.client("ada").without_waiting().sse("/news").await;
    /// ada.responded().await;
    /// assert_eq!(ada.status(), 200);
    /// # ada.skip(1).await;
    /// # });
    /// ```
    pub fn without_waiting(mut self) -> Self {
        self.opening = Opening::ReturnAtOnce;
        self
    }

    /// Skips the end-of-test checks for this client: for unread messages, for a missing response, for answers and ends
    /// that the test has not looked at, for violations by the server, for faults without effect, and for a connection
    /// that the server still holds.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// app.client("ada").lenient().sse("/news").await; // the news may stay unread
    /// # });
    /// ```
    pub fn lenient(mut self) -> Self {
        self.lenient = true;
        self
    }

    /// Makes a WebSocket client send no automatic replies, neither to pings nor to a close.
    ///
    /// ```
    #[doc = include_str!("../../doc/room.md")]
    /// let ada = app.client("ada").mute().ws("/room").await;
    /// # });
    /// ```
    pub fn mute(mut self) -> Self {
        self.mute = true;
        self
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("name", &self.name)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

fn header_name(name: &str) -> HeaderName {
    name.parse().unwrap_or_else(|_| panic!("`{name}` is not a valid header name"))
}

fn header_value(value: &str) -> HeaderValue {
    HeaderValue::from_bytes(value.as_bytes()).unwrap_or_else(|_| panic!("`{value}` is not a valid header value"))
}
