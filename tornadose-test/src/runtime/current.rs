//! The test run of this thread, and the wait until everything in it has settled.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

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
/// It does not wait for tasks that run on other threads (`spawn_blocking`, `tokio::fs`, real sockets). In
/// [real time](crate::run_in_real_time) it returns when nothing has happened for 50 ms.
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
        ClockMode::Virtual => idle::wait_until_idle().await,
        ClockMode::Real => {
            for _ in 0..WINDOWS_MAX {
                let before = run.entry_count();
                sleep(WINDOW).await;
                if run.entry_count() == before {
                    break;
                }
            }
        }
    }
    run.begin_step();
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
