//! The entries of a journal: when something happened, to which client, and what it was.
//! An entry keeps the values as they arrived; labels and masks are applied when it is printed.

use std::time::Duration;

/// Something that happened at an instant, during a step of the test.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) at: Duration,
    pub(crate) step: u64,
    /// Whether the test did it, rather than observed it.
    pub(crate) by_test: bool,
    pub(crate) client: Option<usize>,
    pub(crate) happening: Happening,
    pub(crate) read: bool,
}

impl Entry {
    /// Whether it is a message that the test has not read.
    pub(crate) fn is_unread(&self) -> bool {
        !self.read && self.is_message()
    }

    /// Whether it is the next piece of a block whose last piece so far arrived at the same instant.
    pub(crate) fn continues(&self, last: &Self) -> bool {
        let (Happening::Block(_), Happening::Block(bytes)) = (&self.happening, &last.happening) else { return false };
        let is_whole = matches!(&bytes[..], [b'\n' | b'\r'] | [.., b'\n', b'\n'] | [.., b'\r', b'\r'])
            || bytes.ends_with(b"\n\r\n")
            || bytes == b"\r\n";
        !is_whole && (self.client, self.at, self.step) == (last.client, last.at, last.step)
    }

    pub(crate) fn is_unseen(&self) -> bool {
        !self.read && self.is_outcome()
    }

    /// Whether it is a message that a page would receive.
    pub(crate) fn is_message(&self) -> bool {
        matches!(self.happening, Happening::Event(_) | Happening::Text(_) | Happening::Binary(_))
    }

    /// Whether it is an answer, or the end of a stream by the server: the test must look at it.
    pub(crate) fn is_outcome(&self) -> bool {
        matches!(
            self.happening,
            Happening::Response { .. }
                | Happening::Refused
                | Happening::End
                | Happening::Abort
                | Happening::Close { by: Peer::Server, .. }
        )
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
/// # news.closed().await;
/// # });
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The event's name; `message` when the server sent none.
    pub name: String,
    /// The id that the event itself carried; the id of an earlier event is not repeated here.
    pub id: Option<String>,
    /// The event's data: the text of an SSE event, the JSON text of a WebSocket event.
    pub data: String,
    /// Of an event from the past of a key that the client watches: its position in that past, which is no position of the
    /// connection.
    pub at: Option<String>,
    /// The JSON of that key.
    pub key: Option<String>,
    /// The number of the ask that the event answers: of `tornadose:reply`, and of its `tornadose:error`.
    pub ask: Option<u64>,
}

impl Event {
    pub(crate) fn new(name: Option<String>, id: Option<String>, data: String) -> Self {
        Self { name: name.unwrap_or_else(|| "message".to_owned()), id, data, at: None, key: None, ask: None }
    }
}

/// The side that closed a WebSocket first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Client,
    Server,
}

/// Where a connection was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CutPoint {
    Now,
    Byte(usize),
    Inside { nth: usize, id: Option<String>, arrived: usize, of: usize },
    After { nth: usize, id: Option<String> },
}

/// What an entry reports. The comments name the variants that only the `wire` view shows.
#[derive(Debug, Clone)]
pub(crate) enum Happening {
    /// The body is shown in `wire`.
    Request {
        method: String,
        target: String,
        http2: bool,
        upgrade: bool,
        last_event_id: Option<String>,
        body: Vec<u8>,
    },
    /// No server was listening.
    Refused,
    /// `wire`.
    Header {
        name: String,
        value: Vec<u8>,
    },
    /// An SSE stream has opened; `retry` is the value of its first frame.
    Open {
        status: u16,
        media: String,
        retry: Option<u64>,
    },
    Upgraded {
        protocol: Option<String>,
    },
    /// A redirect, which the client follows.
    Redirect {
        status: u16,
        target: String,
    },
    /// A response that is not a stream; its body grows while it arrives.
    Response {
        status: u16,
        body: Vec<u8>,
    },
    Event(Event),
    /// A position frame, an id without an event: `wire`.
    Position(String),
    Retry(u64),
    /// A comment of the first frame is shown in `wire`.
    Comment {
        text: String,
        opening: bool,
    },
    /// The bytes of an SSE stream, a block or a piece of one: `wire`, instead of the values read from them.
    Block(Vec<u8>),
    /// A WebSocket frame: `wire`, instead of the values read from it.
    Frame {
        kind: &'static str,
        payload: Vec<u8>,
        last: bool,
    },
    /// A frame that the client sent automatically, such as a pong: `wire`.
    Reply {
        kind: &'static str,
        payload: Vec<u8>,
    },
    Text(String),
    Binary(Vec<u8>),
    Ping,
    SentText(String),
    /// The text is shown in `wire`.
    SentAsk {
        number: u64,
        data: String,
        text: String,
    },
    SentBinary(Vec<u8>),
    SentPing(Vec<u8>),
    SentRaw(Vec<u8>),
    /// An action of the test that sends no bytes: `stall`, `resume`, `vanish`, a fault, the server's stop and start.
    Action(String),
    /// The connection was cut, by a fault or directly by the test.
    Cut(CutPoint),
    End,
    Abort,
    /// The code is `None` for a close frame without one, and for SSE, which has none.
    Close {
        code: Option<u16>,
        reason: String,
        by: Peer,
    },
    Violation(String),
    Panic(String),
}

impl Happening {
    /// Whether the test does this, rather than observes it.
    pub(crate) fn is_by_test(&self) -> bool {
        matches!(
            self,
            Self::Request { .. }
                | Self::SentText(_)
                | Self::SentAsk { .. }
                | Self::SentBinary(_)
                | Self::SentPing(_)
                | Self::SentRaw(_)
                | Self::Action(_)
                | Self::Cut(CutPoint::Now)
                | Self::Close { by: Peer::Client, .. }
        )
    }
}
