//! One line of a record: when, who, what. As it came, with nothing relabelled.

use std::time::Duration;

/// Something that happened, at an instant, during an act of the test.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) at: Duration,
    pub(crate) act: u64,
    /// Whether it is the act itself, rather than something that came of it.
    pub(crate) own: bool,
    pub(crate) client: Option<usize>,
    pub(crate) what: What,
    pub(crate) read: bool,
}

impl Line {
    /// Whether a test that ends now has overlooked this.
    pub(crate) fn is_unread(&self) -> bool {
        !self.read && self.is_message()
    }

    /// Whether it is a message that a page would hear of.
    pub(crate) fn is_message(&self) -> bool {
        matches!(self.what, What::Event(_) | What::Text(_) | What::Binary(_))
    }
}

/// An event, as a page's `EventSource` or WebSocket would hand it to a handler.
///
/// ```
/// # use salvo::prelude::*;
/// # #[handler]
/// # async fn serve_news(res: &mut Response) {
/// #     res.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
/// #     res.write_body("id: 7\nevent: said\ndata: hi\n\n").unwrap();
/// # }
/// # use tornadose_test::Harness;
/// # tornadose_test::run(async {
/// let news = Harness::new(Router::with_path("news").get(serve_news)).sse("/news").await;
/// let event = news.next_event().await;
/// assert_eq!((event.name.as_str(), event.id.as_deref(), event.data.as_str()), ("said", Some("7"), "hi"));
/// # });
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// Its name; `message` when the server gave none.
    pub name: String,
    /// The id that came with it, if one did: an earlier event's id is not repeated here.
    pub id: Option<String>,
    /// Its data: for SSE the text, for WebSocket the JSON text.
    pub data: String,
}

impl Event {
    pub(crate) fn new(name: Option<String>, id: Option<String>, data: String) -> Self {
        Self { name: name.unwrap_or_else(|| "message".to_owned()), id, data }
    }
}

/// Who ended a WebSocket first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// Where a connection was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Severed {
    Now,
    Byte(usize),
    Inside { nth: usize, id: Option<String>, arrived: usize, of: usize },
    After { nth: usize, id: Option<String> },
}

/// What a line is about. The comments name what only `wire` shows.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// The body shows in `wire`.
    Request {
        method: String,
        target: String,
        http2: bool,
        upgrade: bool,
        last_event_id: Option<String>,
        body: Vec<u8>,
    },
    /// Nobody listened.
    Refused,
    /// `wire`.
    Header {
        name: String,
        value: Vec<u8>,
    },
    /// An SSE stream has opened; `retry` as its first frame said it.
    Open {
        status: u16,
        media: String,
        retry: Option<u64>,
    },
    Upgraded {
        protocol: Option<String>,
    },
    /// An answer that sends a client elsewhere, where it then asks.
    Moved {
        status: u16,
        target: String,
    },
    /// An answer that is not a stream; its body grows as it comes.
    Answer {
        status: u16,
        body: Vec<u8>,
    },
    Event(Event),
    /// An id without an event: `wire`.
    Position(String),
    Retry(u64),
    /// One of the opening frame shows in `wire`.
    Comment {
        text: String,
        opening: bool,
    },
    /// The bytes of an SSE stream up to a blank line: `wire`, in place of what was read from them.
    Block(Vec<u8>),
    /// A frame of a WebSocket: `wire`, in place of what was read from it.
    Frame {
        kind: &'static str,
        payload: Vec<u8>,
        last: bool,
    },
    /// A frame that the client sent of its own accord, such as a pong: `wire`.
    Reply {
        kind: &'static str,
        payload: Vec<u8>,
    },
    Text(String),
    Binary(Vec<u8>),
    Ping,
    SentText(String),
    SentBinary(Vec<u8>),
    SentPing(Vec<u8>),
    SentRaw(Vec<u8>),
    /// A deed that is no bytes: `stall`, `resume`, `vanish`, a fault that is set, the server's stop and start.
    Deed(String),
    /// The connection is cut: by a fault, or by the test at once.
    Cut(Severed),
    End,
    Abort,
    /// The code is `None` for a frame without one, and for SSE, which has none.
    Close {
        code: Option<u16>,
        reason: String,
        by: Side,
    },
    Violation(String),
    Panic(String),
}

impl What {
    /// Whether the test does this, rather than seeing it.
    pub(crate) fn is_own(&self) -> bool {
        matches!(
            self,
            Self::Request { .. }
                | Self::SentText(_)
                | Self::SentBinary(_)
                | Self::SentPing(_)
                | Self::SentRaw(_)
                | Self::Deed(_)
                | Self::Cut(Severed::Now)
                | Self::Close { by: Side::Client, .. }
        )
    }
}
