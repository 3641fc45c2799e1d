//! The test run of this thread, and the wait until everything in it has settled.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::runtime::blocking::BlockingTasks;
use crate::runtime::config::ClockMode;
use crate::runtime::idle;
use crate::runtime::test_run::TestRun;

/// In real time everything has settled when nothing has happened for this long.
const WINDOW: Duration = Duration::from_millis(50);
/// In real time a step ends after this many windows, even if something happened in each.
const WINDOWS_MAX: u32 = 20;

thread_local! {
    static CURRENT: RefCell<Option<Arc<TestRun>>> = const { RefCell::new(None) };
}

/// Waits until everything that can happen at this instant has happened; the clock does not move.
///
/// It waits for blocking tasks of the runtime (`spawn_blocking`, `tokio::fs`, a database's crate that uses them), for
/// 10 s of real time at most. It does not know of threads that were started without the runtime, nor of real sockets:
/// see [`Harness::hold_clock`](crate::Harness::hold_clock). In [real time](crate::run_in_real_time) it returns when
/// nothing has happened for 50 ms and no blocking task is in flight.
///
/// ```
/// # tornadose_test::run(async {
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicBool, Ordering};
///
/// let done = Arc::new(AtomicBool::new(false));
/// let task = done.clone();
/// tokio::spawn(async move {
///     tokio::task::yield_now().await;
///     task.store(true, Ordering::Relaxed);
/// });
/// tornadose_test::settle().await;
/// assert!(done.load(Ordering::Relaxed));
/// # });
/// ```
///
/// # Panics
///
/// Outside of `#[tornadose_test::test]` and [`run`](crate::run).
pub async fn settle() {
    // Only the runtime of a test reports that it is idle: on any other the wait would never end.
    let run = current();
    match run.clock {
        ClockMode::Virtual => settle_exactly(&run.blocking).await,
        ClockMode::Real => settle_for_a_window(&run).await,
    }
    run.begin_step();
}

/// Waits until no task is runnable and no blocking task is in flight.
async fn settle_exactly(blocking: &BlockingTasks) {
    let start = Instant::now();
    loop {
        // What an ended task has woken is runnable by now. If none starts from here on, the next idle moment is the end.
        let started = blocking.started();
        let is_busy = blocking.is_busy();
        // The wait keeps the runtime from parking, so that the clock does not move when a blocking task releases it.
        idle::wait_until_idle().await;
        if is_busy && start.elapsed() < blocking.wait_limit {
            blocking.wait_briefly();
        } else if is_busy {
            blocking.mark_overdue();
        } else if blocking.started() == started {
            return;
        }
    }
}

/// Waits until nothing has happened for a window, and no blocking task was in flight.
async fn settle_for_a_window(run: &TestRun) {
    let start = Instant::now();
    let mut windows = 0;
    loop {
        let before = (run.entry_count(), run.blocking.started());
        let was_busy = run.blocking.is_busy();
        sleep(WINDOW).await;
        windows += 1;
        let is_busy = was_busy || run.blocking.is_busy();
        if is_busy && start.elapsed() < run.blocking.wait_limit {
            continue;
        }
        if is_busy {
            run.blocking.mark_overdue();
        }
        if windows >= WINDOWS_MAX || before == (run.entry_count(), run.blocking.started()) {
            return;
        }
    }
}

/// Returns the test run of this thread.
///
/// # Panics
///
/// Outside of a test run.
pub(crate) fn current() -> Arc<TestRun> {
    CURRENT.with_borrow(Clone::clone).expect(
        "a harness needs the runtime of a test: make it in a test under `#[tornadose_test::test]`, or inside \
         `tornadose_test::run(async { … })`",
    )
}

/// Keeps a run the current one of this thread, until it is dropped.
pub(crate) struct CurrentRun(());

impl CurrentRun {
    pub(crate) fn set(run: &Arc<TestRun>) -> Self {
        CURRENT.set(Some(run.clone()));
        Self(())
    }
}

impl Drop for CurrentRun {
    fn drop(&mut self) {
        CURRENT.set(None);
        idle::clear();
    }
}
