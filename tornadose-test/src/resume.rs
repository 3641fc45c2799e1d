//! Proves that a stream resumes without loss and without duplicates, by cutting it at every one of its bytes.

mod difference;

use std::fmt;
use std::panic::Location;
use std::pin::Pin;

use tokio::time::{Duration, Instant, sleep, sleep_until};

use crate::client::Client;
use crate::client::builder::ClientBuilder;
use crate::client::faults::cut::Cut;
use crate::entry::{CutPoint, Happening};
use crate::harness::Harness;
use crate::resume::difference::{before_cut, difference};
use crate::runtime::current::{current, settle};
use crate::server::service::HarnessService;
use crate::transport::Transport;

/// The longest wait, in virtual time, for the messages of the client that was cut.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(10);

/// The longest stream that is tested: a longer one has too many bytes to cut at each.
const STREAM_BYTES_MAX: usize = 64 << 10;

/// Cuts a stream at every one of its bytes, lets the client reconnect, and fails unless the client then has what a
/// client without a cut has: every message once, in order.
///
/// `make` is called for every cut. It returns a new service, and a context for the scenario, a store for example. The
/// service is a router of Salvo, or made of axum's by [`HarnessService::tower`]. Two clients open the path, and one of
/// them is cut. Then the scenario runs. When it has ended and the client has reconnected with its last id, the two
/// clients are compared. A few hundred cuts take about a second.
///
/// - A message that arrived before the cut, but after the last id, may arrive again: the client's page does not know
///   it.
/// - A client that is cut before it has any id reconnects without one. Then no message may be duplicated or out of
///   order.
/// - A client that was cut before it had an id is sent the loaded state again. Let the scenario change nothing of that state:
///   the clients are compared by their messages, and not by what a page shows.
/// - A gap event counts as a loss, so keep scenarios within the history that the service keeps.
/// - Where only the newest value matters, as in a `latest` store, values may be lost while the client is disconnected:
///   let the scenario sleep between them, for longer than the client takes to reconnect.
///
/// Before the `.await`, [`over`](ResumeAtEveryByte::over) sets the transport, and [`with`](ResumeAtEveryByte::with)
/// configures the clients. The `.await` returns the number of cuts.
///
/// ```
#[doc = include_str!("../doc/numbers.md")]
/// use tornadose_test::resume_at_every_byte;
/// # tornadose_test::run(async {
/// let counting = || {
///     let numbers = Numbers::new();
///     (Router::with_path("count").get(Serve(numbers.clone())), numbers)
/// };
/// let cuts = resume_at_every_byte(counting, "/count", async |numbers| numbers.count_to(5)).await;
/// assert_eq!(cuts, 5 * "id: 1\ndata: 1\n\n".len() + 1);
/// # });
/// ```
///
/// # Panics
///
/// - When a cut loses, duplicates or reorders messages. The failure contains the number of such cuts and the transcript of the
///   first.
/// - When no message carries an id, when the client does not reconnect, and when the stream is longer than 64 KiB.
#[track_caller]
pub fn resume_at_every_byte<S, C, M, F>(make: M, path: impl Into<String>, scenario: F) -> ResumeAtEveryByte<M, F>
where
    S: Into<HarnessService>,
    M: Fn() -> (S, C) + 'static,
    F: AsyncFn(C) + 'static,
{
    let (path, at) = (path.into(), Location::caller());
    ResumeAtEveryByte { make, path, scenario, over: Transport::Sse, configure: Box::new(|client| client), at }
}

/// A proof that has not run yet, from [`resume_at_every_byte`]: the `.await` runs it.
///
/// ```
#[doc = include_str!("../doc/numbers.md")]
/// use tornadose_test::{Transport, resume_at_every_byte};
/// # tornadose_test::run(async {
/// # let counting = || {
/// #     let numbers = Numbers::new();
/// #     (Router::with_path("count").get(Serve(numbers.clone())), numbers)
/// # };
/// let cuts = resume_at_every_byte(counting, "/count", async |numbers| numbers.count_to(2))
///     .over(Transport::Sse)
///     .with(|client| client.cookie("session", 7))
///     .await;
/// assert_eq!(cuts, 2 * "id: 1\ndata: 1\n\n".len() + 1);
/// # });
/// ```
#[must_use = "the proof runs only on `.await`"]
pub struct ResumeAtEveryByte<M, F> {
    make: M,
    path: String,
    scenario: F,
    over: Transport,
    configure: Box<dyn Fn(ClientBuilder) -> ClientBuilder>,
    at: &'static Location<'static>,
}

/// The result of one cut.
enum CutOutcome {
    /// The stream ended before the place of the cut.
    NotReached,
    Resumed {
        with_id: bool,
    },
    Failed(String),
}

impl<M, F> ResumeAtEveryByte<M, F> {
    /// Uses this transport. Over a WebSocket the client reconnects with the query parameter `last_event_id`. See
    /// [`resume_at_every_byte`].
    pub fn over(mut self, over: Transport) -> Self {
        self.over = over;
        self
    }

    /// Configures the clients before they connect: `.with(|client| client.cookie("session", 7))`. See
    /// [`resume_at_every_byte`].
    pub fn with(mut self, configure: impl Fn(ClientBuilder) -> ClientBuilder + 'static) -> Self {
        self.configure = Box::new(configure);
        self
    }

    async fn prove<S, C>(self) -> usize
    where
        S: Into<HarnessService>,
        M: Fn() -> (S, C),
        F: AsyncFn(C),
    {
        let (mut first_failure, mut failed, mut with_id, mut cuts) = (None, 0, 0, 0);
        loop {
            match self.cut_at(cuts).await {
                CutOutcome::NotReached => break,
                CutOutcome::Resumed { with_id: true } => with_id += 1,
                CutOutcome::Resumed { with_id: false } => {}
                CutOutcome::Failed(difference) => {
                    failed += 1;
                    first_failure.get_or_insert((cuts, difference));
                }
            }
            cuts += 1;
            if cuts > STREAM_BYTES_MAX {
                self.fail("is longer than 64 KiB: choose a shorter scenario");
            }
        }
        if let Some((byte, difference)) = first_failure {
            self.fail(&format!(
                "does not resume: {failed} of {cuts} cuts fail. The first, at byte {byte}:{difference}"
            ));
        }
        if with_id == 0 {
            self.fail("cannot be resumed: no message carries an id");
        }
        cuts
    }

    async fn cut_at<S, C>(&self, byte: usize) -> CutOutcome
    where
        S: Into<HarnessService>,
        M: Fn() -> (S, C),
        F: AsyncFn(C),
    {
        let (service, context) = (self.make)();
        let app = Harness::unchecked(service.into());
        let uncut = (self.configure)(app.client("uncut")).once().open(self.over, &self.path).await;
        let cut = (self.configure)(app.client("cut")).reconnects().fault(Cut::at_byte(byte));
        let cut = cut.open(self.over, &self.path).await;
        for client in [&uncut, &cut] {
            let status = client.with_state(|state| state.head.as_ref().map(|(status, _)| *status));
            if !matches!(status, Some(200 | 101)) {
                self.fail(&format!("does not open:\n{}", app.recording()));
            }
        }
        (self.scenario)(context).await;
        settle().await;
        let is_cut = |happening: &Happening| matches!(happening, Happening::Cut(CutPoint::Byte(_)));
        let outcome = if cut.log.happenings().iter().any(is_cut) {
            compare(&uncut, &cut, &app).await
        } else {
            CutOutcome::NotReached
        };
        cut.close().await;
        uncut.close().await;
        app.server().stop().await;
        outcome
    }

    fn fail(&self, problem: &str) -> ! {
        current().fail(Some(self.at), &format!("the stream at `{}` over {} {problem}", self.path, self.over))
    }
}

impl<M, F> fmt::Debug for ResumeAtEveryByte<M, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResumeAtEveryByte").field("path", &self.path).field("over", &self.over).finish_non_exhaustive()
    }
}

impl<S, C, M, F> IntoFuture for ResumeAtEveryByte<M, F>
where
    S: Into<HarnessService> + 'static,
    C: 'static,
    M: Fn() -> (S, C) + 'static,
    F: AsyncFn(C) + 'static,
{
    type Output = usize;
    type IntoFuture = Pin<Box<dyn Future<Output = usize>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.prove())
    }
}

/// Waits until the cut client has caught up, and compares it with the other.
async fn compare(uncut: &Client, cut: &Client, app: &Harness) -> CutOutcome {
    if let Some(at) = cut.with_state(|state| state.reconnect_at) {
        current().allow_time(at.saturating_duration_since(Instant::now()));
        sleep_until(at).await;
        settle().await;
    }
    current().allow_time(CATCH_UP_LIMIT);
    for _ in 0..CATCH_UP_LIMIT.as_secs() {
        let has_reconnected = cut.with_state(|state| state.reconnects > 0);
        if has_reconnected && difference(&uncut.log.happenings(), &cut.log.happenings()).is_none() {
            break;
        }
        // A service may take some time to continue.
        sleep(Duration::from_secs(1)).await;
        settle().await;
    }
    let (whole, cut) = (uncut.log.happenings(), cut.log.happenings());
    match difference(&whole, &cut) {
        None => CutOutcome::Resumed { with_id: before_cut(&cut).has_id },
        Some(difference) => {
            let transcript = app.recording().to_string();
            let transcript: Vec<&str> = transcript.lines().collect();
            CutOutcome::Failed(format!("{difference}\nits transcript:\n    {}\n", transcript.join("\n    ")))
        }
    }
}
