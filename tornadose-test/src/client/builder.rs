//! A client before it connects: its name, its headers, its pipe. How it connects: see `opening`.

use std::fmt::Display;

use hyper::header::{COOKIE, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_PROTOCOL};

use crate::client::faults::Fault;
use crate::harness::Harness;

/// So many bytes fit into a connection by default: a reader that stalls is soon felt.
const BUFFER_SIZE: usize = 1024;

pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

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
    pub(crate) app: Harness,
    pub(crate) name: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) without: Vec<HeaderName>,
    pub(crate) buffer_size: usize,
    pub(crate) lenient: bool,
    pub(crate) mute: bool,
    pub(crate) http2: bool,
    pub(crate) post_body: Option<Vec<u8>>,
    pub(crate) faults: Vec<Fault>,
    /// Whether it comes back; else as its transport does.
    pub(crate) returns: Option<bool>,
}

impl ClientBuilder {
    pub(crate) fn new(app: Harness, name: Option<String>) -> Self {
        Self {
            app,
            name,
            headers: HeaderMap::new(),
            without: Vec::new(),
            buffer_size: BUFFER_SIZE,
            lenient: false,
            mute: false,
            http2: false,
            post_body: None,
            faults: Vec::new(),
            returns: None,
        }
    }

    /// Sends this header too. One that the client would send by itself (`host`, `accept`, `sec-websocket-version`, …)
    /// is replaced; the same name given twice is sent twice.
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
    /// When it cannot be a header.
    pub fn header(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        let (name, value) = (header_name(name.as_ref()), header_value(value.as_ref()));
        self.headers.append(name, value);
        self
    }

    /// Leaves out a header that the client would send by itself.
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
    /// When it cannot be the name of a header.
    pub fn without(mut self, name: impl AsRef<str>) -> Self {
        self.without.push(header_name(name.as_ref()));
        self
    }

    /// Sends this cookie, beside those already given.
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
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let ada = app.client("ada").last_event_id("k3v9x0aq-17").sse("/news").await;
    /// ada.skip(1).await;
    /// # });
    /// ```
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
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let ada = app.client("ada").origin("https://app.example").sse("/news").await;
    /// ada.skip(1).await;
    /// # });
    /// ```
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
    /// ```
    #[doc = include_str!("../../doc/room.md")]
    /// let ada = app.client("ada").protocols(["v2", "v1"]).ws("/room").await;
    /// # });
    /// ```
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
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let ada = app.client("ada").buffer_size(64).sse("/news").await;
    /// ada.skip(1).await;
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When it is 0: nothing could ever come through.
    pub fn buffer_size(mut self, bytes: usize) -> Self {
        assert!(bytes > 0, "a pipe holds at least 1 byte");
        self.buffer_size = bytes;
        self
    }

    /// Speaks HTTP/2, without TLS and from the first byte; for SSE and plain requests.
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

    /// Asks for its SSE stream with a `POST` of this body, as clients on `fetch` do; again when it comes back.
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

    /// Connects once, as `curl` does. Else an SSE client comes back as an `EventSource` does: when its stream has ended,
    /// broken off, or was refused, after the `retry` it was told (3 s), with the last id it was given; an answer other
    /// than a stream is final.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let ada = app.client("ada").once().sse("/news").await;
    /// ada.skip(2).await;
    /// ada.closed().await;
    /// ada.quiet_for(Duration::from_secs(60)).await;
    /// # });
    /// ```
    pub fn once(mut self) -> Self {
        self.returns = Some(false);
        self
    }

    /// A WebSocket that comes back too, 3 s after it was closed, broken off or refused, with its last id as the query
    /// parameter `last_event_id`: as a page's script does. Without this it connects once, as a browser's does.
    ///
    /// ```
    #[doc = include_str!("../../doc/room.md")]
    /// let ada = app.client("ada").reconnects().ws("/room").await;
    /// ada.cut().await;
    /// ada.reconnected().await;
    /// # });
    /// ```
    pub fn reconnects(mut self) -> Self {
        self.returns = Some(true);
        self
    }

    /// The end of the test overlooks what this client has not read, and forgives what the server did wrong to it.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// app.client("ada").lenient().sse("/news").await; // and nobody reads the news
    /// # });
    /// ```
    pub fn lenient(mut self) -> Self {
        self.lenient = true;
        self
    }

    /// A WebSocket client that answers nothing by itself: neither pings nor a close.
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

fn header_name(name: &str) -> HeaderName {
    name.parse().unwrap_or_else(|_| panic!("`{name}` cannot be the name of a header"))
}

fn header_value(value: &str) -> HeaderValue {
    HeaderValue::from_bytes(value.as_bytes()).unwrap_or_else(|_| panic!("`{value}` cannot stand in a header"))
}
