//! A client that has connected: what it has received, one at a time, and how its stream ended.

pub(crate) mod answer;
pub(crate) mod builder;
pub(crate) mod pipe;
pub(crate) mod request;
pub(crate) mod socket;
mod read;
mod sse;
mod ws;

use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use salvo::http::HeaderMap;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout_at};

use crate::client::pipe::Valve;
use crate::client::request::Tasks;
use crate::record::Record;
use crate::record::line::{Event, Side, What};
use crate::record::seat::{Ending, Seat};
use crate::settle;
use crate::transcript::Recording;
use crate::transcript::assert::{Part, Source};

/// How much virtual time a wait may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client with its stream, from [`Harness::sse`](crate::Harness::sse) or
/// [`ClientBuilder::sse`](crate::ClientBuilder::sse); a WebSocket's [`Socket`](crate::Socket) is one too.
///
/// It records by itself, from the first byte. What it has received is read in order with [`next`](Self::next) and its
/// like, or compared as a whole with [`assert_transcript!`](crate::assert_transcript); what nobody has read fails the
/// test at its end. Dropping the handle leaves the connection open.
///
/// ```
/// # use salvo::prelude::*;
/// # #[handler]
/// # async fn news(res: &mut Response) {
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
/// let news = Harness::new(Router::with_path("news").get(news)).sse("/news").await;
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
}

impl Client {
    pub(crate) fn new(record: Arc<Record>, number: usize) -> Self {
        Self { record, number, tasks: Tasks::default(), valve: Valve::default() }
    }

    /// Waits for the next message and reads it as a `T`. Up to 60 s of virtual time may pass.
    ///
    /// An event with a name is first tried as serde's externally tagged enum, `{name: data}`, then its data alone. Data
    /// that is not JSON is read as a string.
    ///
    /// # Panics
    ///
    /// When it is not a `T`, when nothing comes, and when the stream has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits, it has read nothing.
    #[track_caller]
    pub fn next<T: DeserializeOwned>(&self) -> impl Future<Output = T> + Send {
        let at = Location::caller();
        async move {
            let message = self.wait(at, &format!("a `{}`", read::name_of::<T>())).await;
            read::typed(&message).unwrap_or_else(|wrong| self.fail_at(at, &wrong))
        }
    }

    /// Reads the next message as a `T`, which must be there when everything has settled: the clock does not move.
    ///
    /// # Panics
    ///
    /// When it is not a `T`, and when there is none.
    #[track_caller]
    pub fn next_now<T: DeserializeOwned>(&self) -> impl Future<Output = T> + Send {
        let at = Location::caller();
        async move {
            settle().await;
            let Some(message) = self.record.take(self.number) else {
                let expected = read::name_of::<T>();
                self.fail_at(at, &format!("`{}`: expected a `{expected}` now, and there is nothing", self.name()))
            };
            read::typed(&message).unwrap_or_else(|wrong| self.fail_at(at, &wrong))
        }
    }

    /// Waits for the next event as it is, with its name and id. Up to 60 s of virtual time may pass.
    ///
    /// # Panics
    ///
    /// When nothing comes, when the stream has ended, and when it is a WebSocket message that is no event.
    #[track_caller]
    pub fn next_event(&self) -> impl Future<Output = Event> + Send {
        let at = Location::caller();
        async move {
            match self.wait(at, "an event").await {
                What::Event(event) => event,
                other => self.fail_at(at, &format!("expected an event, got {}", read::shown(&other))),
            }
        }
    }

    /// Waits for so many messages and overlooks them.
    ///
    /// # Panics
    ///
    /// When fewer come within 60 s of virtual time each.
    #[track_caller]
    pub fn skip(&self, messages: usize) -> impl Future<Output = ()> + Send {
        let at = Location::caller();
        async move {
            for nth in 1..=messages {
                self.wait(at, &format!("message {nth} of {messages} to skip")).await;
            }
        }
    }

    /// Proves that nothing is left to read, and that nothing more comes at this instant: the clock does not move.
    ///
    /// # Panics
    ///
    /// When there are unread messages.
    #[track_caller]
    pub fn quiet(&self) -> impl Future<Output = ()> + Send {
        let at = Location::caller();
        async move {
            settle().await;
            let (count, shown) = self.record.unread(self.number);
            if count > 0 {
                let name = self.name();
                self.fail_at(at, &format!("`{name}`: expected quiet, and {count} unread came:{shown}"));
            }
        }
    }

    /// Proves that nothing comes during this span of virtual time; keep-alives may.
    ///
    /// # Panics
    ///
    /// When there are unread messages.
    #[track_caller]
    pub fn quiet_for(&self, span: Duration) -> impl Future<Output = ()> + Send {
        let at = Location::caller();
        async move {
            settle().await;
            self.record.run.allow(span);
            sleep(span).await;
            settle().await;
            let (count, shown) = self.record.unread(self.number);
            if count > 0 {
                let name = self.name();
                self.fail_at(at, &format!("`{name}`: expected quiet for {span:?}, and {count} unread came:{shown}"));
            }
        }
    }

    /// Waits until the stream has ended, and tells how. Up to 60 s of virtual time may pass.
    ///
    /// # Panics
    ///
    /// When it does not end.
    #[track_caller]
    pub fn closed(&self) -> impl Future<Output = Ending> + Send {
        let at = Location::caller();
        async move {
            let deadline = Instant::now() + PATIENCE;
            self.record.run.allow(PATIENCE);
            loop {
                settle().await;
                let (ending, changed) = self.look(|seat| (seat.ending.clone(), seat.changed.clone()));
                if let Some(ending) = ending {
                    return ending;
                }
                let changed = changed.notified();
                if timeout_at(deadline, changed).await.is_err() {
                    self.fail_at(at, &format!("`{}`: expected its stream to end, and it is open", self.name()));
                }
            }
        }
    }

    /// Goes away politely: the connection is closed at once. A WebSocket does more: see
    /// [`Socket::close`](crate::Socket::close).
    pub async fn close(&self) {
        settle().await;
        if self.look(|seat| seat.ending.is_none()) {
            let line = What::Close { code: None, reason: String::new(), by: Side::Client };
            self.record.ended(self.number, Some(line), Ending::End);
        }
        self.tasks.abort();
        self.seat().gone();
        settle().await;
    }

    /// Stops reading, as a slow client does: the server's bytes fill the pipe. [`resume`](Self::resume) reads on.
    pub async fn stall(&self) {
        self.deed("stall", Valve::stall).await;
    }

    /// Reads on after [`stall`](Self::stall).
    pub async fn resume(&self) {
        self.deed("resume", Valve::resume).await;
    }

    /// Vanishes, as a phone in a tunnel does: the connection stays, nothing is read or written any more, and nobody is
    /// told.
    pub async fn vanish(&self) {
        self.deed("vanish", Valve::vanish).await;
    }

    /// The status of the answer: 200 for an SSE stream, 101 for a WebSocket.
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
    /// # Panics
    ///
    /// While there is no answer.
    #[track_caller]
    pub fn headers(&self) -> HeaderMap {
        self.answered(|(_, headers)| headers.clone())
    }

    /// The body of an answer that is not a stream; empty for a stream.
    pub fn text(&self) -> String {
        self.look(|seat| String::from_utf8_lossy(&seat.body).into_owned())
    }

    /// The id this client would reconnect with: the last that came, with an event or alone.
    pub fn last_event_id(&self) -> Option<String> {
        self.look(|seat| seat.last_event_id.clone())
    }

    /// What this client has seen and done so far.
    pub fn recording(&self) -> Recording {
        self.record.recording(Some(self.number))
    }

    /// The next message, once everything has settled; `expected` is for the failure.
    async fn wait(&self, at: &Location<'_>, expected: &str) -> What {
        settle().await;
        let deadline = Instant::now() + PATIENCE;
        self.record.run.allow(PATIENCE);
        loop {
            if let Some(message) = self.record.take(self.number) {
                return message;
            }
            let name = self.name();
            let (ended, changed) = self.look(|seat| (seat.ending.is_some(), seat.changed.clone()));
            if ended {
                self.fail_at(at, &format!("`{name}`: expected {expected}, and its stream has ended"));
            }
            let notified = changed.notified();
            if timeout_at(deadline, notified).await.is_err() {
                self.fail_at(at, &format!("`{name}`: expected {expected}, and nothing came for 60s"));
            }
            settle().await;
        }
    }

    async fn deed(&self, deed: &'static str, turn: fn(&Valve)) {
        settle().await;
        self.record.note(self.number, What::Deed(deed));
        turn(&self.valve);
        settle().await;
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

    pub(crate) fn seat(&self) -> Place {
        Place { record: self.record.clone(), number: self.number }
    }

    pub(crate) fn tasks(&self) -> Tasks {
        self.tasks.clone()
    }

    pub(crate) fn valve(&self) -> Valve {
        self.valve.clone()
    }

    pub(crate) fn record(&self) -> &Arc<Record> {
        &self.record
    }
}

impl Source for Client {
    fn part(&self) -> Part {
        Part { record: self.record.clone(), client: Some(self.number) }
    }
}

/// A client's place in its record, as its connection's tasks hold it.
#[derive(Clone)]
pub(crate) struct Place {
    record: Arc<Record>,
    number: usize,
}

impl Place {
    pub(crate) fn note(&self, what: What) {
        self.record.note(self.number, what);
    }

    pub(crate) fn ended(&self, what: Option<What>, ending: Ending) {
        self.record.ended(self.number, what, ending);
    }

    /// The connection broke off in the midst of something.
    pub(crate) fn broke_off(&self) {
        self.gone();
        self.ended(Some(What::Abort), Ending::Abort);
    }

    /// The server has hung up a WebSocket: as agreed by close frames, or not.
    pub(crate) fn hung_up(&self) {
        if self.record.with_seat(self.number, |seat| seat.ending.is_some()) { self.gone() } else { self.broke_off() }
    }

    /// The code of the close that the client has sent, if it has.
    pub(crate) fn closing(&self) -> Option<Option<u16>> {
        self.record.with_seat(self.number, |seat| seat.closing)
    }

    pub(crate) fn head(&self, status: u16, headers: &HeaderMap) {
        self.record.with_seat(self.number, |seat| seat.head = Some((status, headers.clone())));
    }

    pub(crate) fn note_headers(&self, headers: &HeaderMap) {
        for (name, value) in headers {
            self.note(What::Header { name: name.to_string(), value: value.as_bytes().to_vec() });
        }
    }

    pub(crate) fn answer_more(&self, bytes: &[u8]) {
        self.record.answer_more(self.number, bytes);
    }

    pub(crate) fn gone(&self) {
        self.record.with_seat(self.number, |seat| seat.gone = true);
    }
}
