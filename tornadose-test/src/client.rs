//! A client that has connected: what it has received, one at a time, and how its stream ended.

pub(crate) mod builder;
mod opening;
mod reconnect;
mod connection;
mod http;
pub(crate) mod faults;
mod sse;
mod ws;
mod log;
mod reading;
mod actions;
pub(crate) mod ws_client;
pub(crate) mod response;

use std::panic::Location;
use std::sync::Arc;

use salvo::http::HeaderMap;

use crate::assert::{Part, Source};
use crate::client::connection::pipe_control::Valve;
use crate::client::faults::Cuts;
use crate::client::http::Tasks;
use crate::client::log::Place;
use crate::client::ws_client::Outbox;
use crate::entry::{Side, What};
use crate::journal::Record;
use crate::journal::client_state::{Conduct, Ending, Seat};
use crate::runtime::settle;
use crate::transcript::Recording;

/// A client with its stream, from [`Harness::sse`](crate::Harness::sse) or
/// [`ClientBuilder::sse`](crate::ClientBuilder::sse); a WebSocket's [`WsClient`](crate::WsClient) is one too.
///
/// It records by itself, from the first byte. What it has received is read in order with [`next`](Self::next) and its
/// like, or compared as a whole with [`assert_transcript!`](crate::assert_transcript); what nobody has read fails the
/// test at its end. Dropping the handle leaves the connection open.
///
/// ```
/// # use salvo::prelude::*;
/// # #[handler]
/// # async fn serve_news(res: &mut Response) {
/// #     res.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
/// #     res.write_body("id: 7\nevent: said\ndata: {\"text\":\"hi\"}\n\n").unwrap();
/// # }
/// use serde::Deserialize;
/// use tornadose_test::Harness;
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
/// news.quiet().await;
/// # });
/// ```
pub struct Client {
    record: Arc<Record>,
    number: usize,
    tasks: Tasks,
    valve: Valve,
    cuts: Cuts,
    /// Of a WebSocket only.
    outbox: Option<Outbox>,
}

impl Client {
    pub(crate) fn new(record: Arc<Record>, number: usize, outbox: Option<Outbox>) -> Self {
        let (valve, cuts) = (Valve::default(), Cuts::default());
        record.watch(number, Arc::new((valve.clone(), cuts.clone())));
        Self { record, number, tasks: Tasks::default(), valve, cuts, outbox }
    }

    /// Goes away politely, and does not come back: the connection is closed at once. A WebSocket does more: see
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
        if self.look(|seat| seat.due.take().is_some() || seat.ending.is_none()) {
            let line = What::Close { code: None, reason: String::new(), by: Side::Client };
            self.record.ended(self.number, Some(line), Ending::End);
        }
        self.tasks.abort();
        self.seat().gone();
        settle().await;
    }

    /// The status of the answer: 200 for an SSE stream, 101 for a WebSocket.
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
    /// While there is no answer.
    #[track_caller]
    pub fn status(&self) -> u16 {
        self.answered(|(status, _)| *status)
    }

    /// The headers of the answer.
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
    /// While there is no answer.
    #[track_caller]
    pub fn headers(&self) -> HeaderMap {
        self.answered(|(_, headers)| headers.clone())
    }

    /// The body of an answer that is not a stream; empty for a stream.
    ///
    /// ```
    #[doc = include_str!("../doc/news.md")]
    /// let lost = app.sse("/elsewhere").await;
    /// assert!(lost.text().contains("Not Found"));
    /// # });
    /// ```
    pub fn text(&self) -> String {
        self.look(|seat| String::from_utf8_lossy(&seat.body).into_owned())
    }

    /// The id this client comes back with: the last that came, with an event or alone, else the one it began with.
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
        self.seat().last_event_id()
    }

    /// What this client has seen and done so far.
    ///
    /// ```
    #[doc = include_str!("../doc/news.md")]
    /// let news = app.sse("/news").await;
    /// # news.skip(1).await;
    /// println!("{}", news.recording());
    /// # });
    /// ```
    pub fn recording(&self) -> Recording {
        self.record.recording(Some(self.number))
    }

    #[track_caller]
    fn answered<T>(&self, tell: impl FnOnce(&(u16, HeaderMap)) -> T) -> T {
        match self.look(|seat| seat.head.as_ref().map(tell)) {
            Some(told) => told,
            None => self.fail(&format!("`{}` has had no answer", self.name())),
        }
    }

    pub(crate) fn name(&self) -> String {
        self.record.name(self.number)
    }

    pub(crate) fn look<T>(&self, look: impl FnOnce(&mut Seat) -> T) -> T {
        self.record.with_seat(self.number, look)
    }

    #[track_caller]
    pub(crate) fn fail(&self, wrong: &str) -> ! {
        self.record.run.fail(Some(Location::caller()), wrong)
    }

    pub(crate) fn fail_at(&self, at: &Location<'_>, wrong: &str) -> ! {
        self.record.run.fail(Some(at), wrong)
    }

    pub(crate) async fn fail_waiting(&self, at: &Location<'_>, wrong: &str) -> ! {
        self.record.run.fail_waiting(at, wrong).await
    }

    pub(crate) fn seat(&self) -> Place {
        Place { record: self.record.clone(), number: self.number }
    }

    pub(crate) fn tasks(&self) -> Tasks {
        self.tasks.clone()
    }

    pub(crate) fn valve(&self) -> Valve {
        self.valve.clone()
    }

    pub(crate) fn cuts(&self) -> Cuts {
        self.cuts.clone()
    }

    pub(crate) fn outbox(&self) -> Outbox {
        self.outbox.clone().unwrap_or_default()
    }
}

impl Conduct for (Valve, Cuts) {
    fn standing(&self) -> Option<&'static str> {
        self.0.standing()
    }

    fn unused(&self) -> Vec<String> {
        self.1.unused().into_iter().chain(self.0.unused()).collect()
    }
}

impl Source for Client {
    fn part(&self) -> Part {
        Part { record: self.record.clone(), client: Some(self.number) }
    }
}
