//! A client's seat at its harness: what it was answered, how far it has come, how it ended.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use salvo::http::HeaderMap;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::entry::{Line, What};
use crate::text::duration;

/// How a stream has ended, as [`Client::closed`](crate::Client::closed) tells it.
///
/// ```
/// # use salvo::prelude::*;
/// # #[handler]
/// # async fn serve_news(res: &mut Response) {
/// #     res.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
/// #     res.write_body(": nothing today\n\n").unwrap();
/// # }
/// # use tornadose_test::{Ending, Harness};
/// # tornadose_test::run(async {
/// let news = Harness::new(Router::with_path("news").get(serve_news)).sse("/news").await;
/// assert_eq!(news.closed().await, Ending::End);
/// # });
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// The body came to its end, or a plain answer was given.
    End,
    /// A WebSocket close frame came from the server, or answered the client's.
    Close {
        /// Its code; 1005 when it had none, as a page would see it.
        code: u16,
        /// Its reason, often empty.
        reason: String,
    },
    /// The connection broke off, without the end of a body or a close frame; or nobody had listened.
    Abort,
}

/// What an `EventSource` waits before it comes back when no server has told it anything else.
const RETRY: Duration = Duration::from_secs(3);

/// What a client's connection does to its bytes.
pub(crate) trait Conduct: Send + Sync {
    /// A word for where it stands, when it does not stand open.
    fn standing(&self) -> Option<&'static str>;
    /// The faults that were set and never felt.
    fn unused(&self) -> Vec<String>;
}

pub(crate) struct Seat {
    pub(crate) name: String,
    /// Whether it is a stream's client, rather than one of a plain request.
    pub(crate) streams: bool,
    pub(crate) lenient: bool,
    pub(crate) head: Option<(u16, HeaderMap)>,
    pub(crate) body: Vec<u8>,
    pub(crate) ending: Option<Ending>,
    /// Whether nothing can be sent any more: the connection is gone.
    pub(crate) gone: bool,
    /// The code of the close frame that the client has sent.
    pub(crate) closing: Option<u16>,
    pub(crate) last_event_id: Option<String>,
    /// How long it waits before it comes back.
    pub(crate) retry: Duration,
    /// When it comes back, while it waits for that.
    pub(crate) due: Option<Instant>,
    /// How many connections came before this one.
    earlier: usize,
    /// How often its stream has opened again.
    pub(crate) returns: usize,
    /// How many of those the test knows of.
    pub(crate) known: usize,
    /// The connection that the test has cut, by how many came before it.
    cut: Option<usize>,
    pub(crate) conduct: Option<Arc<dyn Conduct>>,
    /// The lines of the messages that nobody has read.
    pub(crate) messages: VecDeque<usize>,
    pub(crate) changed: Arc<Notify>,
    /// The line that opened the stream, while its first frame may still be coming.
    opening: Option<usize>,
}

impl Seat {
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            streams: false,
            lenient: false,
            head: None,
            body: Vec::new(),
            ending: None,
            gone: false,
            closing: None,
            last_event_id: None,
            retry: RETRY,
            due: None,
            earlier: 0,
            returns: 0,
            known: 0,
            cut: None,
            conduct: None,
            messages: VecDeque::new(),
            changed: Arc::default(),
            opening: None,
        }
    }

    pub(crate) fn of_stream(name: String, lenient: bool) -> Self {
        Self { streams: true, lenient, ..Self::new(name) }
    }

    /// Makes the seat ready for another connection.
    pub(crate) fn reopen(&mut self) {
        (self.head, self.ending, self.closing, self.due) = (None, None, None, None);
        self.gone = false;
        self.earlier += 1;
        self.body.clear();
    }

    /// The test cuts the connection of the moment: that it breaks off is no news.
    pub(crate) fn cut(&mut self) {
        self.cut = Some(self.earlier);
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut == Some(self.earlier)
    }

    /// Whether its stream has ended, and it will not come back.
    pub(crate) fn is_over(&self) -> bool {
        self.ending.is_some() && self.due.is_none()
    }

    /// Keeps up with a line that is about to be added to `lines`.
    pub(crate) fn see(&mut self, line: &Line, lines: &[Line]) {
        match &line.what {
            What::Open { .. } => {
                self.opening = Some(lines.len());
                self.returns += usize::from(self.earlier > 0);
            }
            What::Upgraded { .. } => self.returns += usize::from(self.earlier > 0),
            What::Retry(retry) => self.retry = Duration::from_millis(*retry),
            What::Event(event) => {
                self.opening = None;
                self.last_event_id = event.id.clone().or_else(|| self.last_event_id.take());
            }
            What::Position(id) => self.last_event_id = Some(id.clone()),
            _ => {}
        }
    }

    /// The line that opened the stream, if what comes now still belongs to its first frame: no event has come, and no
    /// act of the test.
    pub(crate) fn opening(&self, now: &Line, lines: &[Line]) -> Option<usize> {
        self.opening.filter(|open| lines[*open].at == now.at && lines[*open].act == now.act)
    }

    /// Where its connection stands, in words.
    pub(crate) fn standing(&self) -> String {
        let mut standing = vec![self.connection()];
        standing.extend(self.conduct.as_ref().and_then(|conduct| conduct.standing()).map(str::to_owned));
        if let Some(due) = self.due {
            standing.push(format!("comes back in {}", duration(due.saturating_duration_since(Instant::now()))));
        }
        standing.join(", ")
    }

    fn connection(&self) -> String {
        match (&self.ending, &self.head) {
            (Some(Ending::End), Some((200 | 101, _))) => "ended".into(),
            (Some(Ending::Close { code, .. }), _) => format!("closed with {code}"),
            (Some(Ending::Abort), None) => "nobody listened".into(),
            (Some(Ending::Abort), Some(_)) => "broken off".into(),
            (_, None) => "waiting for an answer".into(),
            (None, Some((200 | 101, _))) => "open".into(),
            (_, Some((status, _))) => format!("answered {status}"),
        }
    }
}
