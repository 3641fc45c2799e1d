//! One run of one test: its clock, its steps, the panics of its tasks, and the checks at its end.

use std::fmt;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::entry::{Entry, Happening};
use crate::runtime::blocking::BlockingTasks;
use crate::runtime::config::{ClockMode, TestConfig};
use crate::runtime::timers;
use crate::text::duration;
use crate::transport::Transport;

/// The longest wait for a message, in virtual time and in real time.
const WAIT_LIMIT: Duration = Duration::from_mins(1);
const REAL_WAIT_LIMIT: Duration = Duration::from_secs(10);

/// The time that the clock may run from one step of the test to the next, beyond the time that the step asked for.
const CLOCK_SLACK: Duration = Duration::from_mins(10);

pub(crate) const RUNAWAY_CLOCK: &str = "the clock ran 10 minutes ahead without a step of the test: the test waits for \
    something outside its runtime (a thread, a socket, a database), or for something that never happens.\n    \
    While work outside the runtime is running, hold the clock: `let _held = app.hold_clock();`\n    \
    For a test that depends on such work throughout, use real time: `#[tornadose_test::test(clock = real)]`\n    \
    For an intended long wait, write `app.advance(duration).await`";

const NO_TIMER: &str = "the next timer: none within the hour\n";

const OUTSIDE_THE_RUNTIME: &str = "    If it comes from a thread or a socket outside the runtime, the clock does not wait \
    for it. Hold the clock meanwhile: `let _held = app.hold_clock();`\n    \
    Or use real time throughout: `#[tornadose_test::test(clock = real)]`\n";

/// The state of a harness, as its test run reports and checks it.
pub(crate) trait EndCheck: Send + Sync {
    /// The text that follows a failure: what happened so far.
    fn report(&self) -> String;
    /// The failures that the harness finds at the end of the test.
    fn failures_at_end(&self) -> Vec<String>;
    /// Takes the actions that end the clients and the server.
    fn take_shutdown(&self) -> Vec<Shutdown>;
}

/// Ends a client or a server.
pub(crate) type Shutdown = Box<dyn FnOnce() + Send>;

pub(crate) struct TestRun {
    start: Instant,
    pub(crate) clock: ClockMode,
    pub(crate) over: Option<Transport>,
    /// The path of the test's function, or else the name of its thread.
    pub(crate) name: String,
    /// Whether the test is run by the attribute, which knows its function.
    pub(crate) test: Option<&'static str>,
    pub(crate) wall_limit: Duration,
    clock_guards: Arc<AtomicUsize>,
    pub(crate) blocking: Arc<BlockingTasks>,
    /// The number of entries so far, in all journals.
    entries: AtomicU64,
    steps: AtomicU64,
    /// The instant that the clock may not pass before the next step.
    limit: Mutex<Instant>,
    /// The limit that the driver's own timer is set to.
    armed_limit: Mutex<Instant>,
    checks: Mutex<Vec<Arc<dyn EndCheck>>>,
    panics: Mutex<Vec<Entry>>,
    reported: AtomicBool,
}

impl TestRun {
    pub(crate) fn new(config: TestConfig, blocking: Arc<BlockingTasks>) -> Self {
        let (start, thread) = (Instant::now(), std::thread::current());
        Self {
            start,
            clock: config.clock,
            over: config.over,
            name: config.name.or_else(|| thread.name()).unwrap_or("a test").to_owned(),
            test: config.name,
            wall_limit: config.wall_limit,
            clock_guards: Arc::default(),
            blocking,
            entries: AtomicU64::new(0),
            steps: AtomicU64::new(0),
            limit: Mutex::new(start + CLOCK_SLACK),
            armed_limit: Mutex::new(start + CLOCK_SLACK),
            checks: Mutex::default(),
            panics: Mutex::default(),
            reported: AtomicBool::new(false),
        }
    }

    /// Adds a harness to report on and to check at the end.
    pub(crate) fn add_check(&self, check: Arc<dyn EndCheck>) {
        lock(&self.checks).push(check);
    }

    /// Drops the checks, which hold this run: a process may run very many tests.
    pub(crate) fn drop_checks(&self) {
        // The actions refer back to the journals that hold them.
        for check in lock(&self.checks).drain(..) {
            drop(check.take_shutdown());
        }
    }

    /// Ends every client and every server.
    pub(crate) fn shut_down(&self) {
        let checks = lock(&self.checks).clone();
        checks.iter().flat_map(|check| check.take_shutdown()).for_each(|end| end());
    }

    /// Begins the next step, once everything has settled.
    pub(crate) fn begin_step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
        self.allow_time(Duration::ZERO);
    }

    /// Lets the clock run for this long, and for the usual slack.
    pub(crate) fn allow_time(&self, span: Duration) {
        let mut limit = lock(&self.limit);
        // A concurrent step may have been allowed more.
        *limit = (*limit).max(Instant::now() + span + CLOCK_SLACK);
    }

    pub(crate) fn limit(&self) -> Instant {
        *lock(&self.limit)
    }

    /// Returns the limit, and records it as the one that the driver's timer is set to.
    pub(crate) fn arm_limit(&self) -> Instant {
        let limit = self.limit();
        *lock(&self.armed_limit) = limit;
        limit
    }

    pub(crate) fn armed_limit(&self) -> Instant {
        *lock(&self.armed_limit)
    }

    /// The longest wait for a message.
    pub(crate) fn wait_limit(&self) -> Duration {
        match self.clock {
            ClockMode::Virtual => WAIT_LIMIT,
            ClockMode::Real => REAL_WAIT_LIMIT,
        }
    }

    /// Holds the clock until the result is dropped.
    pub(crate) fn hold_clock(&self) -> ClockGuard {
        self.clock_guards.fetch_add(1, Ordering::Relaxed);
        let (release, until_released) = channel::<()>();
        if self.clock == ClockMode::Virtual {
            // Blocking work holds a paused clock; this work ends when the sender is dropped.
            tokio::task::spawn_blocking(move || until_released.recv());
            self.blocking.add_guard();
        }
        ClockGuard {
            _release: release,
            clock: self.clock,
            count: self.clock_guards.clone(),
            blocking: self.blocking.clone(),
        }
    }

    pub(crate) fn is_clock_held(&self) -> bool {
        self.clock_guards.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn entry_count(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    /// Makes an entry of this instant and this step.
    pub(crate) fn entry(&self, client: Option<usize>, by_test: bool, happening: Happening) -> Entry {
        self.entries.fetch_add(1, Ordering::Relaxed);
        let (at, step) = (Instant::now() - self.start, self.steps.load(Ordering::Relaxed));
        Entry { at, step, by_test, client, happening, read: false }
    }

    pub(crate) fn record_panic(&self, message: &str) {
        let entry = self.entry(None, false, Happening::Panic(message.to_owned()));
        lock(&self.panics).push(entry);
    }

    pub(crate) fn panics(&self) -> Vec<Entry> {
        lock(&self.panics).clone()
    }

    /// Marks the first unread panic with this text as expected. Returns false when there is none.
    pub(crate) fn allow_panic(&self, text: &str) -> bool {
        let matches = |entry: &Entry| {
            !entry.read && matches!(&entry.happening, Happening::Panic(message) if message.contains(text))
        };
        let mut panics = lock(&self.panics);
        let expected = panics.iter_mut().find(|entry| matches(entry));
        expected.map(|entry| entry.read = true).is_some()
    }

    /// Fails the test with the problem, its location, and the report of what happened so far.
    pub(crate) fn fail(&self, at: Option<&Location<'_>>, problem: &str) -> ! {
        self.fail_with_report(at, problem, &self.report())
    }

    /// Fails a test that waited for something: the report also names the next timer.
    pub(crate) async fn fail_waiting(&self, at: &Location<'_>, problem: &str) -> ! {
        let report = self.report();
        let next = self.describe_next_timer().await;
        self.fail_with_report(Some(at), problem, &(report + &next.unwrap_or_default()))
    }

    /// Fails a test that waited for something which did not come. If time has passed, or no timer is ahead, it may come
    /// from outside of the runtime.
    pub(crate) async fn fail_in_vain(&self, at: &Location<'_>, problem: &str, has_waited: bool) -> ! {
        let report = self.report();
        let next = self.describe_next_timer().await;
        let may_be_outside = self.clock == ClockMode::Virtual && (has_waited || next.as_deref() == Some(NO_TIMER));
        let hint = if may_be_outside { OUTSIDE_THE_RUNTIME } else { "" };
        self.fail_with_report(Some(at), problem, &(report + &next.unwrap_or_default() + hint))
    }

    fn fail_with_report(&self, at: Option<&Location<'_>>, problem: &str, report: &str) -> ! {
        self.reported.store(true, Ordering::Relaxed);
        match at {
            Some(at) => panic!("{problem}\nat {at}\n{report}"),
            None => panic!("{problem}\n{report}"),
        }
    }

    /// Prints the report beside a failure of the test's own, a failed `assert_eq!` for example.
    pub(crate) fn report_once(&self) {
        if !self.reported.swap(true, Ordering::Relaxed) {
            let report = self.report();
            if !report.is_empty() {
                eprintln!("{report}");
            }
        }
    }

    /// Sets whether the report counts as printed: a failed snapshot shows the transcript itself.
    pub(crate) fn set_reported(&self, reported: bool) {
        self.reported.store(reported, Ordering::Relaxed);
    }

    pub(crate) fn report(&self) -> String {
        let checks = lock(&self.checks).clone();
        checks.iter().map(|check| check.report()).collect()
    }

    /// Runs the checks at the end of a test that has not failed already.
    pub(crate) fn failures_at_end(&self) -> Vec<String> {
        let checks = lock(&self.checks).clone();
        let mut failures: Vec<String> = checks.iter().flat_map(|check| check.failures_at_end()).collect();
        for entry in lock(&self.panics).iter().filter(|entry| !entry.read) {
            if let Happening::Panic(message) = &entry.happening {
                failures.push(format!(
                    "a task panicked: {message}\n    if the panic is expected, write `app.expect_panic(\"…\").await`"
                ));
            }
        }
        failures
    }

    /// Names the next timer. This lets the clock run to it: the test has failed already.
    async fn describe_next_timer(&self) -> Option<String> {
        if self.clock == ClockMode::Real {
            return None;
        }
        if self.is_clock_held() {
            return Some("the clock is held by `hold_clock()`, so no timer fires\n".into());
        }
        if self.blocking.in_flight() > 0 {
            return Some("a blocking task is running, so no timer fires\n".into());
        }
        self.allow_time(timers::HORIZON * 2);
        Some(match timers::find_next(self.start, self.armed_limit()).await {
            Some(ahead) => format!("the next timer: in {}\n", duration(ahead)),
            None => NO_TIMER.into(),
        })
    }
}

/// Holds the clock until it is dropped; from [`Harness::hold_clock`](crate::Harness::hold_clock).
///
/// ```
/// use std::time::Duration;
/// use salvo::Router;
/// use tornadose_test::{ClockGuard, Harness};
///
/// # tornadose_test::run(async {
/// let app = Harness::new(Router::new());
/// let held: ClockGuard = app.hold_clock();
/// // Work outside the runtime may take its time here: no timer fires.
/// drop(held);
/// app.advance(Duration::from_secs(1)).await;
/// # });
/// ```
#[must_use = "the clock is held only until this is dropped: `let _held = app.hold_clock();`"]
pub struct ClockGuard {
    _release: Sender<()>,
    clock: ClockMode,
    count: Arc<AtomicUsize>,
    blocking: Arc<BlockingTasks>,
}

impl fmt::Debug for ClockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClockGuard").finish_non_exhaustive()
    }
}

impl Drop for ClockGuard {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        if self.clock == ClockMode::Virtual {
            self.blocking.remove_guard();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A failed test is still reported on.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
