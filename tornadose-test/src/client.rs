//! A client that has connected: its response, its recording, and its last id. The submodules open its connections, read
//! its messages and inject faults.

pub(crate) mod builder;
pub(crate) mod cookie_jar;
mod open;
mod reconnect;
mod connection;
mod http;
pub(crate) mod faults;
mod sse;
mod ws;
mod log;
pub(crate) mod reading;
mod quiet;
mod waiting;
mod finished;
mod actions;
pub(crate) mod ws_client;
pub(crate) mod ask;
pub(crate) mod response;

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use hyper::HeaderMap;

use crate::assert::{HasTranscript, Scope};
use crate::client::connection::pipe_control::PipeControl;
use crate::client::faults::armed_cuts::ArmedCuts;
use crate::client::http::Tasks;
use crate::client::log::ClientLog;
use crate::client::ws::frame_queue::FrameQueue;
use crate::entry::{Happening, Peer};
use crate::journal::client_state::{ClientState, Ending, PipeStatus};
use crate::runtime::current::settle;
use crate::transcript::Recording;

/// A client and its stream, from [`Harness::sse`](crate::Harness::sse) or
/// [`ClientBuilder::sse`](crate::ClientBuilder::sse). A [`WsClient`](crate::WsClient) dereferences to one.
///
/// The client records everything that it receives, from the first byte. A test reads the messages in order, with
/// [`next`](Self::next) and similar methods, or compares the whole transcript with
/// [`assert_transcript!`](crate::assert_transcript). Messages that it has not read fail the test at its end. Dropping
/// the handle leaves the connection open.
///
/// ```
/// # use salvo::prelude::*;
/// # #[handler]
/// # async fn serve_news(res: &mut Response) {
/// #     res.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
/// #     res.write_body("id: 7\nevent: said\ndata: {\"text\":\"hi\"}\n\n").unwrap();
/// # }
/// use serde::Deserialize;
/// use tornadose_test::{Ending, Harness};
///
/// #[derive(Deserialize)]
/// #[serde(rename_all = "snake_case")]
/// enum News {
///     Said { text: String },
/// }
/// # tornadose_test::run(async {
/// let news = Harness::new(Router::with_path("news").get(serve_news)).sse("/news").await;
/// assert_eq!(news.status(), 200);
/// assert_eq!(news.headers()["content-type"], "text/event-stream");
/// let News::Said { text } = news.next().await;
/// assert_eq!(text, "hi");
/// assert_eq!(news.last_event_id().as_deref(), Some("7"));
/// assert_eq!(news.closed().await, Ending::End);
/// # });
/// ```
pub struct Client {
    pub(crate) log: ClientLog,
    pub(crate) tasks: Tasks,
    pub(crate) pipe_control: PipeControl,
    pub(crate) cuts: ArmedCuts,
    /// The frames that a WebSocket client sends; unused by other clients.
    pub(crate) frame_queue: FrameQueue,
}

impl Client {
    pub(crate) fn new(log: ClientLog) -> Self {
        let (pipe_control, cuts) = (PipeControl::default(), ArmedCuts::default());
        let status = Status { pipe_control: pipe_control.clone(), cuts: cuts.clone() };
        log.journal.set_pipe_status(log.client, Arc::new(status));
        Self { log, tasks: Tasks::default(), pipe_control, cuts, frame_queue: FrameQueue::default() }
    }

    /// Closes the connection at once, and does not reconnect. For a WebSocket's closing handshake see
    /// [`WsClient::close`](crate::WsClient::close).
    ///
    /// ```
    #[doc = include_str!("../doc/news.md")]
    /// let ada = app.client("ada").sse("/news").await;
    /// ada.close().await;
    /// assert_transcript!(ada, @r#"
    /// ada > GET /news
    /// ada ~ open 200 text/event-stream
    /// ada < said #1 {"text":"hi"}
    /// ada ~ close (client)
    /// "#);
    /// # });
    /// ```
    pub async fn close(&self) {
        settle().await;
        if self.log.with_state(|state| state.reconnect_at.take().is_some() || state.ending.is_none()) {
            let close = Happening::Close { code: None, reason: String::new(), by: Peer::Client };
            self.log.record_end(Some(close), Ending::End);
        }
        self.tasks.abort();
        self.log.mark_disconnected();
        settle().await;
    }

    /// Returns the status of the response: 200 for an SSE stream, 101 for a WebSocket.
    ///
    /// ```
    #[doc = include_str!("../doc/news.md")]
    /// let news = app.sse("/news").await;
    /// # news.skip(1).await;
    /// assert_eq!(news.status(), 200);
    /// assert_eq!(app.sse("/elsewhere").await.status(), 404);
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// While there is no response.
    #[track_caller]
    pub fn status(&self) -> u16 {
        self.with_head(|(status, _)| *status)
    }

    /// Returns the headers of the response.
    ///
    /// ```
    #[doc = include_str!("../doc/news.md")]
    /// let news = app.sse("/news").await;
    /// # news.skip(1).await;
    /// assert_eq!(news.headers()["content-type"], "text/event-stream");
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// While there is no response.
    #[track_caller]
    pub fn headers(&self) -> HeaderMap {
        self.with_head(|(_, headers)| headers.clone())
    }

    /// Returns the body of a response that is not a stream; empty for a stream.
    ///
    /// ```
    #[doc = include_str!("../doc/news.md")]
    /// let missing = app.sse("/elsewhere").await;
    /// assert!(missing.text().contains("Not Found"));
    /// # });
    /// ```
    pub fn text(&self) -> String {
        self.log.mark_seen();
        self.log.with_state(|state| String::from_utf8_lossy(&state.body).into_owned())
    }

    /// Returns the id that this client reconnects with: the last one received, with an event or alone, or else the one
    /// that it connected with.
    ///
    /// ```
    #[doc = include_str!("../doc/news.md")]
    /// let news = app.sse("/news").await;
    /// news.skip(1).await;
    /// let id = news.last_event_id().unwrap();
    /// let again = app.client("again").last_event_id(id).sse("/news").await;
    /// # again.skip(1).await;
    /// # });
    /// ```
    pub fn last_event_id(&self) -> Option<String> {
        self.log.last_event_id()
    }

    /// Returns the recording of this client so far.
    ///
    /// ```
    #[doc = include_str!("../doc/news.md")]
    /// let news = app.sse("/news").await;
    /// # news.skip(1).await;
    /// println!("{}", news.recording());
    /// # });
    /// ```
    pub fn recording(&self) -> Recording {
        self.log.journal.recording(Some(self.log.client))
    }

    #[track_caller]
    fn with_head<T>(&self, f: impl FnOnce(&(u16, HeaderMap)) -> T) -> T {
        self.log.mark_seen();
        if let Some(value) = self.log.with_state(|state| state.head.as_ref().map(f)) {
            return value;
        }
        let (name, status) = self.with_state(|state| (state.name.clone(), state.status()));
        self.fail(&format!("`{name}` has received no response: {status}"))
    }

    pub(crate) fn name(&self) -> String {
        self.log.name()
    }

    pub(crate) fn with_state<T>(&self, f: impl FnOnce(&mut ClientState) -> T) -> T {
        self.log.with_state(f)
    }

    #[track_caller]
    pub(crate) fn fail(&self, problem: &str) -> ! {
        self.fail_at(Location::caller(), problem)
    }

    pub(crate) fn fail_at(&self, at: &Location<'_>, problem: &str) -> ! {
        self.log.journal.run.fail(Some(at), problem)
    }

    pub(crate) async fn fail_waiting(&self, at: &Location<'_>, problem: &str) -> ! {
        self.log.journal.run.fail_waiting(at, problem).await
    }

    /// Fails a wait for something that did not come; `has_waited` tells whether time has passed.
    pub(crate) async fn fail_in_vain(&self, at: &Location<'_>, problem: &str, has_waited: bool) -> ! {
        self.log.journal.run.fail_in_vain(at, problem, has_waited).await
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, status) = self.with_state(|state| (state.name.clone(), state.status()));
        f.debug_struct("Client").field("name", &name).field("status", &status).finish_non_exhaustive()
    }
}

impl HasTranscript for Client {
    fn scope(&self) -> Scope {
        Scope { journal: self.log.journal.clone(), client: Some(self.log.client) }
    }
}

/// The status of a client's pipe, and its unused faults.
struct Status {
    pipe_control: PipeControl,
    cuts: ArmedCuts,
}

impl PipeStatus for Status {
    fn status(&self) -> Option<&'static str> {
        self.pipe_control.status()
    }

    fn unused_faults(&self) -> Vec<String> {
        self.cuts.unused().into_iter().chain(self.pipe_control.unused()).collect()
    }
}
