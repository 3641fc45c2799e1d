//! A harness: a service under test, its server, its clients and their clock.

#[cfg(feature = "salvo")]
mod salvo_harness;
#[cfg(feature = "tower")]
mod tower_harness;
mod clients;
mod clock;
mod eventually;

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use crate::app::App;
use crate::assert::{HasTranscript, Scope};
use crate::journal::Journal;
use crate::runtime::current::{current, settle};
use crate::server::ServerControl;
use crate::server::acceptor::InMemoryAcceptor;
use crate::server::running::RunningServer;
use crate::server::service::HarnessService;
use crate::transcript::Recording;
use crate::transcript::mask::Mask;

/// A service and the clients that connect to it, without a port. A whole server, `salvo::Server` or hyper's, serves
/// real HTTP/1.1, HTTP/2 and WebSocket bytes over in-memory pipes.
///
/// Every step of a test (an open, a send, an advance) settles before it returns: everything that can happen at this
/// instant has happened, and the clock has not moved.
///
/// ```
/// # use salvo::prelude::*;
/// # #[handler]
/// # async fn serve_ticks(res: &mut Response) {
/// #     res.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
/// #     let mut ticks = res.channel();
/// #     tokio::spawn(async move {
/// #         for tick in 1.. {
/// #             tokio::time::sleep(std::time::Duration::from_secs(15)).await;
/// #             if ticks.send_data(format!("data: {tick}\n\n")).await.is_err() { break }
/// #         }
/// #     });
/// # }
/// use std::time::Duration;
/// use tornadose_test::{Harness, assert_transcript};
/// # tornadose_test::run(async {
/// let app = Harness::new(Router::with_path("ticks").get(serve_ticks));
/// let first = app.client("first").sse("/ticks").await;
/// app.advance(Duration::from_secs(20)).await;
/// app.client("second").sse("/ticks").await;
/// app.advance(Duration::from_secs(10)).await;
/// assert_transcript!(app, @r"
/// first > GET /ticks
/// first ~ open 200 text/event-stream
/// after 15s
/// first < message 1
/// after 5s
/// second > GET /ticks
/// second ~ open 200 text/event-stream
/// after 10s
/// first < message 2
/// ");
/// # });
/// ```
#[derive(Clone)]
pub struct Harness {
    app: App,
}

impl Harness {
    /// Makes a harness that skips the end-of-test checks.
    pub(crate) fn unchecked(service: HarnessService) -> Self {
        Self::with_journal(Journal::unchecked(current()), service, |acceptor, service| service.spawn(acceptor))
    }

    /// Makes a harness whose server `start` starts, now and whenever it is started again.
    fn serving(
        service: HarnessService,
        start: impl Fn(InMemoryAcceptor, HarnessService) -> RunningServer + Send + Sync + 'static,
    ) -> Self {
        Self::with_journal(Journal::new(current()), service, start)
    }

    fn with_journal(
        journal: Arc<Journal>,
        service: HarnessService,
        start: impl Fn(InMemoryAcceptor, HarnessService) -> RunningServer + Send + Sync + 'static,
    ) -> Self {
        let server = ServerControl::new(journal.clone(), service, start);
        Self { app: App { journal, server } }
    }

    /// Masks values in everything that this harness prints, transcripts and failures: see [`Recording::mask`]. A mask
    /// that has matched nothing by the end of the test fails the test.
    ///
    /// ```
    #[doc = include_str!("../doc/news.md")]
    /// app.mask([".text"]);
    /// let news = app.sse("/news").await;
    /// assert_transcript!(news, @r#"
    /// news > GET /news
    /// news ~ open 200 text/event-stream
    /// news < said #1 {"text":"[text-1]"}
    /// "#);
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When a path is invalid.
    #[track_caller]
    pub fn mask<P: AsRef<str>>(&self, paths: impl IntoIterator<Item = P>) {
        let masks: Result<Vec<Mask>, String> = paths.into_iter().map(|path| Mask::parse(path.as_ref())).collect();
        self.app.journal.add_masks(masks.unwrap_or_else(|error| panic!("{error}")));
    }

    /// Marks the panic of a task as expected. An unexpected panic fails the test at its end.
    ///
    /// ```
    /// # use salvo::prelude::*;
    /// # #[handler]
    /// # async fn broken() { tokio::spawn(async { panic!("the cellar is flooded") }); }
    /// # use tornadose_test::Harness;
    /// # tornadose_test::run(async {
    /// let app = Harness::new(Router::with_path("broken").get(broken));
    /// assert_eq!(app.get("/broken").await.status(), 200);
    /// app.expect_panic("cellar").await;
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When no task has panicked with this text in its message.
    #[track_caller]
    pub fn expect_panic(&self, text: &str) -> impl Future<Output = ()> + Send {
        let at = Location::caller();
        async move {
            settle().await;
            let run = &self.app.journal.run;
            if !run.allow_panic(text) {
                run.fail(Some(at), &format!("expected a task to panic with `{text}`, and none has"));
            }
        }
    }

    /// Returns the server, to stop it and to start it again.
    ///
    /// ```
    #[doc = include_str!("../doc/news.md")]
    /// app.server().stop().await;
    /// app.server().start(Router::with_path("news").get(serve_news)).await;
    /// # });
    /// ```
    pub fn server(&self) -> &ServerControl {
        &self.app.server
    }

    /// Returns the recording of all clients so far, on one timeline.
    ///
    /// ```
    #[doc = include_str!("../doc/news.md")]
    /// let news = app.sse("/news").await;
    /// # news.skip(1).await;
    /// assert_eq!(app.recording().to_string(), news.recording().to_string());
    /// # });
    /// ```
    pub fn recording(&self) -> Recording {
        self.app.journal.recording(None)
    }
}

impl fmt::Debug for Harness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harness").field("server", &self.app.server).finish_non_exhaustive()
    }
}

impl HasTranscript for Harness {
    fn scope(&self) -> Scope {
        Scope { journal: self.app.journal.clone(), client: None }
    }
}
