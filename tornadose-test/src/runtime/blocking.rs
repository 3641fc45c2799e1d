//! The blocking tasks of a test's runtime: `spawn_blocking`, `tokio::fs`, and what a database's crate runs there.
//!
//! tokio's stable API does not report them, so their threads are counted. The pool keeps no idle thread, so there is a
//! thread exactly while there is a task. The pool asks for the name of a thread where the task is spawned, so that no
//! task is missed before it starts. A thread ends after its task has woken everything that waits for it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The longest time on the wall clock that a step waits for blocking tasks, unless the test's own limit is short.
const WAIT_LIMIT: Duration = Duration::from_secs(10);

/// The interval in which a waiting step looks for work that a blocking task has given to the runtime.
const POLL_INTERVAL: Duration = Duration::from_micros(200);

pub(crate) struct BlockingTasks {
    /// The longest time on the wall clock that a step waits for them.
    pub(crate) wait_limit: Duration,
    threads: AtomicUsize,
    /// The number of threads that were ever started.
    started: AtomicU64,
    /// The tasks that only hold the clock.
    guards: AtomicUsize,
    /// The tasks that a step has waited for until its limit. No later step waits for them.
    overdue: AtomicUsize,
    end_lock: Mutex<()>,
    thread_ended: Condvar,
}

impl BlockingTasks {
    /// Makes the record of a test with this limit on the wall clock. A step gives up before the test does.
    pub(crate) fn new(wall_limit: Duration) -> Self {
        Self {
            wait_limit: WAIT_LIMIT.min(wall_limit / 4),
            threads: AtomicUsize::new(0),
            started: AtomicU64::new(0),
            guards: AtomicUsize::new(0),
            overdue: AtomicUsize::new(0),
            end_lock: Mutex::new(()),
            thread_ended: Condvar::new(),
        }
    }

    /// Counts a thread that is about to start, and returns its name.
    pub(crate) fn start_thread(&self) -> String {
        self.started.fetch_add(1, Ordering::SeqCst);
        self.threads.fetch_add(1, Ordering::SeqCst);
        "tornadose-test blocking task".into()
    }

    /// Counts a thread that has ended.
    pub(crate) fn end_thread(&self) {
        self.threads.fetch_sub(1, Ordering::SeqCst);
        self.overdue.fetch_min(self.in_flight(), Ordering::SeqCst);
        self.thread_ended.notify_all();
    }

    /// Counts a task that only holds the clock. It is counted after it was spawned: for a moment a guard may seem to be
    /// a task, and never a task a guard.
    pub(crate) fn add_guard(&self) {
        self.guards.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn remove_guard(&self) {
        self.guards.fetch_sub(1, Ordering::SeqCst);
    }

    /// Returns the number of tasks in flight; those that hold the clock are not counted.
    pub(crate) fn in_flight(&self) -> usize {
        let guards = self.guards.load(Ordering::SeqCst);
        self.threads.load(Ordering::SeqCst).saturating_sub(guards)
    }

    /// Returns the number of threads that were ever started.
    pub(crate) fn started(&self) -> u64 {
        self.started.load(Ordering::SeqCst)
    }

    /// Whether a task is in flight that is not overdue.
    pub(crate) fn is_busy(&self) -> bool {
        self.in_flight() > self.overdue.load(Ordering::SeqCst)
    }

    /// Marks the tasks in flight as overdue.
    pub(crate) fn mark_overdue(&self) {
        self.overdue.store(self.in_flight(), Ordering::SeqCst);
    }

    /// Blocks this thread until a task has ended, for [`POLL_INTERVAL`] at most.
    pub(crate) fn wait_briefly(&self) {
        let guard = self.end_lock.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_busy() {
            drop(self.thread_ended.wait_timeout(guard, POLL_INTERVAL));
        }
    }
}
