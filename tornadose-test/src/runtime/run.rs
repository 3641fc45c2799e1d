//! One run of one test: its start, its acts, its harnesses' records, and its end.

use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::record::Record;
use crate::record::line::{Line, What};

/// How far the clock may run from one act of the test to the next, beyond what the act asked for.
const SLACK: Duration = Duration::from_mins(10);

pub(crate) const RUNAWAY: &str = "the clock ran 10 minutes ahead without an act of the test: the test waits for \
    something outside its runtime (a thread, a socket, a database), or for something that will never come. For a long \
    wait that is meant, write `app.advance(duration).await`";

pub(crate) struct Run {
    start: Instant,
    acts: AtomicU64,
    limit: Mutex<Instant>,
    records: Mutex<Vec<Arc<Record>>>,
    panics: Mutex<Vec<Line>>,
    explained: AtomicBool,
}

impl Run {
    pub(crate) fn new() -> Self {
        let start = Instant::now();
        Self {
            start,
            acts: AtomicU64::new(0),
            limit: Mutex::new(start + SLACK),
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

    /// A line of now: what the test does itself comes first within its act.
    pub(crate) fn line(&self, client: Option<usize>, own: bool, what: What) -> Line {
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
        let report = self.report();
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A test that has failed is still to be reported on.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
