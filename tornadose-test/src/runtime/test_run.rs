//! One run of one test: its start, its acts, its harnesses' records, and its end.

use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::entry::{Line, What};
use crate::journal::Record;
use crate::runtime::{TestConfig, timers};
use crate::text::duration;
use crate::transport::Transport;

/// How much time a wait may take: virtual, or real.
const PATIENCE: Duration = Duration::from_mins(1);
const REAL_PATIENCE: Duration = Duration::from_secs(10);

/// How far the clock may run from one act of the test to the next, beyond what the act asked for.
const SLACK: Duration = Duration::from_mins(10);

pub(crate) const RUNAWAY: &str = "the clock ran 10 minutes ahead without an act of the test: the test waits for \
    something outside its runtime (a thread, a socket, a database), or for something that will never come.\n    \
    While something outside is under way, hold the clock: `let _held = app.hold_clock();`\n    \
    For a test that lives on it, let time be real: `#[tornadose_test::test(clock = real)]`\n    \
    For a long wait that is meant, write `app.advance(duration).await`";

/// What moves a test's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// It stands still while there is anything to do, and then jumps to the next timer.
    Virtual,
    Real,
}

pub(crate) struct Run {
    start: Instant,
    pub(crate) clock: Clock,
    pub(crate) over: Option<Transport>,
    held: Arc<AtomicUsize>,
    /// So many lines so far, in all records.
    lines: AtomicU64,
    acts: AtomicU64,
    limit: Mutex<Instant>,
    /// The limit that the guard's own timer is set to.
    armed: Mutex<Instant>,
    records: Mutex<Vec<Arc<Record>>>,
    panics: Mutex<Vec<Line>>,
    explained: AtomicBool,
}

impl Run {
    pub(crate) fn new(config: TestConfig) -> Self {
        let start = Instant::now();
        Self {
            start,
            clock: config.clock,
            over: config.over,
            held: Arc::default(),
            lines: AtomicU64::new(0),
            acts: AtomicU64::new(0),
            limit: Mutex::new(start + SLACK),
            armed: Mutex::new(start + SLACK),
            records: Mutex::default(),
            panics: Mutex::default(),
            explained: AtomicBool::new(false),
        }
    }

    pub(crate) fn add(&self, record: &Arc<Record>) {
        lock(&self.records).push(record.clone());
    }

    /// Everything has settled: what comes next is another act.
    pub(crate) fn settled(&self) {
        self.acts.fetch_add(1, Ordering::Relaxed);
        self.allow(Duration::ZERO);
    }

    /// Lets the clock run this far, and the usual slack.
    pub(crate) fn allow(&self, span: Duration) {
        let mut limit = lock(&self.limit);
        // Another act may be under way that was allowed more.
        *limit = (*limit).max(Instant::now() + span + SLACK);
    }

    pub(crate) fn limit(&self) -> Instant {
        *lock(&self.limit)
    }

    /// The limit, as the guard's timer takes it up.
    pub(crate) fn arm(&self) -> Instant {
        let limit = self.limit();
        *lock(&self.armed) = limit;
        limit
    }

    pub(crate) fn armed(&self) -> Instant {
        *lock(&self.armed)
    }

    /// How long the test waits for something of which it does not know when it comes.
    pub(crate) fn patience(&self) -> Duration {
        match self.clock {
            Clock::Virtual => PATIENCE,
            Clock::Real => REAL_PATIENCE,
        }
    }

    /// Holds the clock until the result is dropped.
    pub(crate) fn hold(&self) -> ClockGuard {
        self.held.fetch_add(1, Ordering::Relaxed);
        let (held, until_dropped) = channel::<()>();
        if self.clock == Clock::Virtual {
            // Blocking work holds a paused clock; this ends when the other end of the channel is dropped.
            tokio::task::spawn_blocking(move || until_dropped.recv());
        }
        ClockGuard { _held: held, count: self.held.clone() }
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    /// A line of now: what the test does itself comes first within its act.
    pub(crate) fn line(&self, client: Option<usize>, own: bool, what: What) -> Line {
        self.lines.fetch_add(1, Ordering::Relaxed);
        let at = Instant::now() - self.start;
        Line { at, act: self.acts.load(Ordering::Relaxed), own, client, what, read: false }
    }

    pub(crate) fn task_panicked(&self, message: &str) {
        let line = self.line(None, false, What::Panic(message.to_owned()));
        lock(&self.panics).push(line);
    }

    pub(crate) fn panics(&self) -> Vec<Line> {
        lock(&self.panics).clone()
    }

    /// Takes note that a panic with this text was meant. False when there is none.
    pub(crate) fn forgive(&self, text: &str) -> bool {
        let mut panics = lock(&self.panics);
        let meant =
            panics.iter_mut().find(|line| !line.read && matches!(&line.what, What::Panic(said) if said.contains(text)));
        meant.map(|line| line.read = true).is_some()
    }

    /// Fails the test with what went wrong, where, and what had happened until then.
    pub(crate) fn fail(&self, at: Option<&Location<'_>>, wrong: &str) -> ! {
        self.fail_with(at, wrong, &self.report())
    }

    /// The same, with when the next timer is due: the test waited for something.
    pub(crate) async fn fail_waiting(&self, at: &Location<'_>, wrong: &str) -> ! {
        let report = self.report();
        let next = self.next_timer().await;
        self.fail_with(Some(at), wrong, &(report + &next))
    }

    fn fail_with(&self, at: Option<&Location<'_>>, wrong: &str, report: &str) -> ! {
        self.explained.store(true, Ordering::Relaxed);
        match at {
            Some(at) => panic!("{wrong}\nat {at}\n{report}"),
            None => panic!("{wrong}\n{report}"),
        }
    }

    /// Lets go of the records, which hold this run: a process may run very many.
    pub(crate) fn forget(&self) {
        lock(&self.records).clear();
    }

    /// Prints what had happened beside a failure that is not ours, a failed `assert_eq!` for example.
    pub(crate) fn explain(&self) {
        if !self.explained.swap(true, Ordering::Relaxed) {
            let report = self.report();
            if !report.is_empty() {
                eprintln!("{report}");
            }
        }
    }

    /// While insta compares a transcript, a failure shows it already.
    pub(crate) fn explained(&self, explained: bool) {
        self.explained.store(explained, Ordering::Relaxed);
    }

    pub(crate) fn report(&self) -> String {
        let records = lock(&self.records).clone();
        records.iter().map(|record| record.report()).collect()
    }

    /// The checks at the end of a test that has not failed by itself.
    pub(crate) fn check_end(&self) {
        let records = lock(&self.records).clone();
        let mut wrong: Vec<String> = records.iter().flat_map(|record| record.wrong_at_end()).collect();
        for line in lock(&self.panics).iter().filter(|line| !line.read) {
            if let What::Panic(message) = &line.what {
                wrong.push(format!(
                    "a task panicked: {message}\n    if it was meant to, say `app.expect_panic(\"…\").await`"
                ));
            }
        }
        if !wrong.is_empty() {
            self.fail(None, &wrong.join("\n"));
        }
    }
}

impl Run {
    /// A sentence on the next timer. It lets the clock run there: the test has failed already.
    async fn next_timer(&self) -> String {
        if self.clock == Clock::Real || self.is_held() {
            return String::new();
        }
        self.allow(timers::HORIZON * 2);
        match timers::next(self.start, self.armed()).await {
            Some(ahead) => format!("the next timer: in {}\n", duration(ahead)),
            None => "the next timer: none within the hour\n".into(),
        }
    }
}

/// The clock stands still as long as this lives; from [`Harness::hold_clock`](crate::Harness::hold_clock).
#[must_use = "the clock is held only as long as this lives: `let _held = app.hold_clock();`"]
pub struct ClockGuard {
    _held: Sender<()>,
    count: Arc<AtomicUsize>,
}

impl Drop for ClockGuard {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A test that has failed is still to be reported on.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
