//! The state of one client: its response, its unread messages, its last id, and the end of its stream.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use hyper::HeaderMap;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::entry::{Entry, Event, Happening};
use crate::text::duration;

/// The end of a stream, from [`Client::closed`](crate::Client::closed).
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
    /// The body ended, or the response was not a stream.
    End,
    /// The server sent a WebSocket close frame, first or in reply to the client's.
    Close {
        /// The code; 1005 when the frame had none, as a page would see it.
        code: u16,
        /// The reason, often empty.
        reason: String,
    },
    /// The connection broke off without the end of a body or a close frame, or no server was listening.
    Abort,
}

/// The delay before an `EventSource` reconnects, unless the server sends another.
const DEFAULT_RETRY: Duration = Duration::from_secs(3);

/// The status of the pipe under a client's connection.
pub(crate) trait PipeStatus: Send + Sync {
    /// A word for the status; `None` while bytes pass freely.
    fn status(&self) -> Option<&'static str>;
    /// The faults that were set and had no effect.
    fn unused_faults(&self) -> Vec<String>;
}

pub(crate) struct ClientState {
    pub(crate) name: String,
    /// Whether it is the client of a stream, rather than of a plain request.
    pub(crate) is_stream: bool,
    pub(crate) lenient: bool,
    pub(crate) head: Option<(u16, HeaderMap)>,
    pub(crate) body: Vec<u8>,
    pub(crate) ending: Option<Ending>,
    /// Whether its connection is gone, so that nothing can be sent any more.
    pub(crate) disconnected: bool,
    /// The code of the close frame that the client has sent.
    pub(crate) close_sent: Option<u16>,
    pub(crate) last_event_id: Option<String>,
    /// The delay before it reconnects.
    pub(crate) retry: Duration,
    /// The instant at which it reconnects, while it waits for that.
    pub(crate) reconnect_at: Option<Instant>,
    /// The number of connections before this one.
    previous_connections: usize,
    /// The number of times that its stream has opened again.
    pub(crate) reconnects: usize,
    /// The number of reconnects that the test has waited for.
    pub(crate) awaited_reconnects: usize,
    /// The connection that the test has cut, as the number of connections before it.
    cut_connection: Option<usize>,
    pub(crate) pipe_status: Option<Arc<dyn PipeStatus>>,
    /// The entries of its unread messages.
    pub(crate) unread: VecDeque<usize>,
    /// The number of its asks.
    asks: u64,
    /// The asks whose answers the test has not taken.
    pub(crate) awaited_answers: BTreeSet<u64>,
    /// The entries of its answers and ends that the test has not looked at.
    pub(crate) unseen: Vec<usize>,
    pub(crate) changed: Arc<Notify>,
    /// The entry that opened the stream, until its first event has arrived.
    open_entry: Option<usize>,
}

impl ClientState {
    pub(crate) fn for_request(name: String, lenient: bool) -> Self {
        Self {
            name,
            is_stream: false,
            lenient,
            head: None,
            body: Vec::new(),
            ending: None,
            disconnected: false,
            close_sent: None,
            last_event_id: None,
            retry: DEFAULT_RETRY,
            reconnect_at: None,
            previous_connections: 0,
            reconnects: 0,
            awaited_reconnects: 0,
            cut_connection: None,
            pipe_status: None,
            unread: VecDeque::new(),
            asks: 0,
            awaited_answers: BTreeSet::new(),
            unseen: Vec::new(),
            changed: Arc::default(),
            open_entry: None,
        }
    }

    pub(crate) fn for_stream(name: String, lenient: bool) -> Self {
        Self { is_stream: true, ..Self::for_request(name, lenient) }
    }

    /// Returns the number of its next ask, whose answer is awaited from now on.
    pub(crate) fn next_ask(&mut self) -> u64 {
        self.asks += 1;
        self.awaited_answers.insert(self.asks);
        self.asks
    }

    /// Whether an entry is the answer to an ask that the test has not taken.
    pub(crate) fn awaits_answer(&self, entry: &Entry) -> bool {
        let Happening::Event(Event { ask: Some(ask), .. }) = &entry.happening else { return false };
        self.awaited_answers.contains(ask)
    }

    /// Resets the state for the next connection.
    pub(crate) fn start_connection(&mut self) {
        (self.head, self.ending, self.close_sent, self.reconnect_at) = (None, None, None, None);
        self.disconnected = false;
        self.previous_connections += 1;
        self.body.clear();
    }

    /// Marks the present connection as cut by the test, whose entry already reports the end.
    pub(crate) fn mark_cut(&mut self) {
        self.cut_connection = Some(self.previous_connections);
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut_connection == Some(self.previous_connections)
    }

    /// Marks its answers and ends among the first `count` entries as seen.
    pub(crate) fn see_outcomes(&mut self, entries: &mut [Entry], count: usize) {
        self.unseen.retain(|outcome| {
            let is_seen = *outcome < count;
            entries[*outcome].read |= is_seen;
            !is_seen
        });
    }

    /// Whether it is connecting for the first time, rather than again.
    pub(crate) fn is_first_connection(&self) -> bool {
        self.previous_connections == 0
    }

    /// Whether it has sent a request and received neither an answer nor an end.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.head.is_none() && self.ending.is_none()
    }

    /// Whether its answer was not a stream.
    pub(crate) fn is_answered(&self) -> bool {
        self.head.as_ref().is_some_and(|(status, _)| !matches!(status, 200 | 101))
    }

    /// Whether its stream is open, so that messages can arrive.
    pub(crate) fn is_open(&self) -> bool {
        self.is_stream && self.ending.is_none() && matches!(self.head, Some((200 | 101, _)))
    }

    /// Whether its stream has ended and it will not reconnect.
    pub(crate) fn is_finished(&self) -> bool {
        self.ending.is_some() && self.reconnect_at.is_none()
    }

    /// Applies an entry that will be at `index` in the journal.
    pub(crate) fn apply(&mut self, entry: &Entry, index: usize) {
        match &entry.happening {
            Happening::Open { .. } => {
                self.open_entry = Some(index);
                self.reconnects += usize::from(self.previous_connections > 0);
            }
            Happening::Upgraded { .. } => self.reconnects += usize::from(self.previous_connections > 0),
            Happening::Retry(retry) => self.retry = Duration::from_millis(*retry),
            Happening::Event(event) => {
                self.open_entry = None;
                self.last_event_id = event.id.clone().or_else(|| self.last_event_id.take());
            }
            Happening::Position(id) => self.last_event_id = Some(id.clone()),
            _ => {}
        }
    }

    /// Returns the entry that opened the stream if `entry` belongs to the stream's first frame: no event has arrived,
    /// and the instant and the step are the same.
    pub(crate) fn open_entry(&self, entry: &Entry, entries: &[Entry]) -> Option<usize> {
        self.open_entry.filter(|open| entries[*open].at == entry.at && entries[*open].step == entry.step)
    }

    /// Describes its connection.
    pub(crate) fn status(&self) -> String {
        let mut parts = vec![self.connection_status()];
        parts.extend(self.pipe_status.as_ref().and_then(|pipe| pipe.status()).map(str::to_owned));
        if let Some(at) = self.reconnect_at {
            parts.push(format!("reconnects in {}", duration(at.saturating_duration_since(Instant::now()))));
        }
        parts.join(", ")
    }

    fn connection_status(&self) -> String {
        match (&self.ending, &self.head) {
            (Some(Ending::End), Some((200 | 101, _))) => "ended".into(),
            (Some(Ending::Close { code, .. }), _) => format!("closed with {code}"),
            (Some(Ending::Abort), None) if self.disconnected => "broken off before an answer".into(),
            (Some(Ending::Abort), None) => "refused, because no server is listening".into(),
            (Some(Ending::Abort), Some(_)) => "broken off".into(),
            (_, None) => "waiting for a response".into(),
            (None, Some((200 | 101, _))) => "open".into(),
            (_, Some((status, _))) => format!("answered {status}"),
        }
    }
}
