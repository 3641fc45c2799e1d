//! The runtime of a test: one thread, a clock paused from birth, and the instant at which nothing is left to do.
//! What happened in a test is not kept here: see `record`.

pub(crate) mod test_run;
mod timers;
mod panics;
mod watchdog;

use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};

use crate::runtime::test_run::{Clock, Run};
use crate::runtime::watchdog::Watchdog;
use crate::test_result::TestResult;
use crate::transport::Transport;

/// How long a test may take on the wall clock. It is a net under hangs, not a limit on honest work.
const WALL: Duration = Duration::from_mins(1);

/// In real time everything has settled when nothing has happened for so long.
const WINDOW: Duration = Duration::from_millis(50);
/// However much happens, in real time an act is over after so many windows.
const WINDOWS: u32 = 20;

thread_local! {
    static CURRENT: RefCell<Option<Arc<Run>>> = const { RefCell::new(None) };
    static WAITING: RefCell<Vec<oneshot::Sender<()>>> = const { RefCell::new(Vec::new()) };
}

/// Runs a test body on its own runtime, as `#[tornadose_test::test]` does: one thread, the clock paused from birth.
///
/// When the body has returned, everything settles once more; then unread events, broken protocols and panicked tasks
/// fail the test.
///
/// ```
/// use std::time::Duration;
/// use tokio::time::{Instant, sleep};
///
/// let passed = tornadose_test::run(async {
///     let start = Instant::now();
///     sleep(Duration::from_secs(15)).await; // takes no time at all
///     start.elapsed()
/// });
/// assert_eq!(passed, Duration::from_secs(15));
/// ```
///
/// # Panics
///
/// With the body's own panic, and with the failures listed above. Also when the body waits for something outside its
/// runtime while the clock runs away, and when it takes a minute of real time.
pub fn run<F: Future>(body: F) -> F::Output {
    run_within(WALL, TestConfig::default(), body, |_| false)
}

/// [`run`] in real time, as `#[tornadose_test::test(clock = real)]` does: for hooks that talk to a database.
///
/// The vocabulary is the same. [`settle`] is then a window: it returns when nothing has happened for 50 ms, and after a
/// second in any case. Waits are bounded by 10 s. In transcripts no time passes, for it is never the same: they are ordered
/// by act.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// tornadose_test::run_in_real_time(async {
///     tokio::time::sleep(Duration::from_millis(20)).await;
/// });
/// assert!(start.elapsed() >= Duration::from_millis(20));
/// ```
///
/// # Panics
///
/// As [`run`] does.
pub fn run_in_real_time<F: Future>(body: F) -> F::Output {
    run_within(WALL, TestConfig { clock: Clock::Real, ..TestConfig::default() }, body, |_| false)
}

/// What `#[tornadose_test::test]` calls: an `Err` is the test's own failure and is not covered by another.
#[doc(hidden)]
pub fn run_test<F: Future<Output: TestResult>>(body: F) -> F::Output {
    TestConfig::default().run_test(body)
}

/// What `#[tornadose_test::test]` with options calls.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct TestConfig {
    pub(crate) clock: Clock,
    pub(crate) over: Option<Transport>,
}

impl Default for TestConfig {
    fn default() -> Self {
        Self { clock: Clock::Virtual, over: None }
    }
}

#[doc(hidden)]
impl TestConfig {
    #[must_use]
    pub fn in_real_time(self) -> Self {
        Self { clock: Clock::Real, ..self }
    }

    #[must_use]
    pub fn over(self, over: Transport) -> Self {
        Self { over: Some(over), ..self }
    }

    pub fn run_test<F: Future<Output: TestResult>>(self, body: F) -> F::Output {
        run_within(WALL, self, body, TestResult::failed)
    }
}

fn run_within<F: Future>(
    wall: Duration,
    config: TestConfig,
    body: F,
    failed: impl FnOnce(&F::Output) -> bool,
) -> F::Output {
    panics::install();
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(config.clock == Clock::Virtual)
        .on_thread_park(wake_waiting)
        .on_thread_unpark(timers::woken)
        .build()
        .expect("a current-thread runtime needs nothing that could be missing");
    let entered = runtime.enter();
    let run = Arc::new(Run::new(config));
    let _current = Current::set(&run);
    let _followed = panics::follow(runtime.handle().id(), &run);
    let (_watchdog, alarm) = Watchdog::start(wall, &run);
    drop(entered);

    let outcome = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            let settled = async {
                let output = body.await;
                settle().await;
                output
            };
            let output = guard(&run, settled, alarm).await;
            if failed(&output) {
                run.explain();
            } else {
                run.check_end();
            }
            output
        })
    }));
    // Not a plain drop, which would wait for blocking work that a failed test has left behind.
    runtime.shutdown_background();
    if outcome.is_err() {
        run.explain();
    }
    run.forget();
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Drives the body, unless the wall clock or the virtual one says that it will never end.
async fn guard<F: Future>(run: &Arc<Run>, body: F, mut alarm: oneshot::Receiver<()>) -> F::Output {
    let mut body = pin!(body);
    loop {
        let limit = run.arm();
        tokio::select! {
            biased;
            output = &mut body => return output,
            Ok(()) = &mut alarm => run.fail(None, &watchdog::verdict(run)),
            () = sleep_until(limit), if run.clock == Clock::Virtual => if Instant::now() >= run.limit() {
                run.fail(None, test_run::RUNAWAY);
            },
        }
    }
}

/// Waits until everything that can happen at this instant has happened; the clock does not move.
///
/// Tasks that run on other threads (`spawn_blocking`, `tokio::fs`, real sockets) are not waited for. In
/// [real time](run_in_real_time) it returns when nothing has happened for 50 ms.
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
/// Outside of `#[tornadose_test::test]` and [`run`].
pub async fn settle() {
    // Only our runtime tells when it is idle: elsewhere this would wait for ever.
    let run = current();
    if run.clock == Clock::Real {
        for _ in 0..WINDOWS {
            let before = run.lines();
            sleep(WINDOW).await;
            if run.lines() == before {
                break;
            }
        }
        return run.settled();
    }
    let (idle, when_idle) = oneshot::channel();
    WAITING.with_borrow_mut(|waiting| waiting.push(idle));
    when_idle.await.expect("the sender is dropped only after it has been used");
    run.settled();
}

/// The run on this thread.
pub(crate) fn current() -> Arc<Run> {
    CURRENT.with_borrow(Clone::clone).expect(
        "a harness lives in a test under `#[tornadose_test::test]`, or inside `tornadose_test::run(async { … })`: \
         it needs their runtime",
    )
}

/// The runtime calls this when nothing is runnable, before the clock may move.
fn wake_waiting() {
    for waiting in WAITING.take() {
        // The waiter may have been dropped, by a `select!` for example: then nobody wants to know.
        let _ = waiting.send(());
    }
}

struct Current;

impl Current {
    fn set(run: &Arc<Run>) -> Self {
        CURRENT.set(Some(run.clone()));
        Self
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        CURRENT.set(None);
        WAITING.take();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::future::pending;
    use std::panic::catch_unwind;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use tokio::task::spawn_blocking;
    use tokio::time::{Instant, sleep};

    use salvo::Router;

    use super::{TestConfig, run, run_within, settle};
    use crate::harness::Harness;

    #[test]
    fn a_hang_on_the_wall_clock_is_barked_at() {
        let (release, held) = channel::<()>();
        let said = catch_unwind(|| {
            run_within(
                Duration::from_millis(20),
                TestConfig::default(),
                async {
                    // Blocking work holds the clock, as a call to a database would.
                    spawn_blocking(move || held.recv());
                    pending::<()>().await;
                },
                |()| false,
            );
        });
        drop(release);
        insta::assert_snapshot!(said.unwrap_err().downcast_ref::<String>().unwrap(), @"the test hangs: a minute of real time has passed and it has not ended. It waits for work outside its runtime (a thread, a socket, `spawn_blocking`), or it goes in circles without the clock ever moving");
    }

    #[test]
    fn a_clock_that_is_held_for_ever_is_named_when_the_test_hangs() {
        let said = catch_unwind(|| {
            run_within(
                Duration::from_millis(20),
                TestConfig::default(),
                async {
                    let app = Harness::new(Router::new());
                    let _held = app.hold_clock();
                    sleep(Duration::from_secs(1)).await;
                },
                |()| false,
            );
        });
        insta::assert_snapshot!(said.unwrap_err().downcast_ref::<String>().unwrap(), @"the test hangs: a minute of real time has passed and it has not ended. The clock is held by `hold_clock()`, so that no timer fires, and what is waited for has not come");
    }

    #[test]
    fn settling_waits_for_long_chains_and_not_for_timers() {
        run(async {
            let start = Instant::now();
            let timer = tokio::spawn(sleep(Duration::from_millis(1)));
            let (first, mut last) = tokio::sync::mpsc::unbounded_channel();
            for _ in 0..500 {
                let (send, receive) = tokio::sync::mpsc::unbounded_channel();
                let mut before = std::mem::replace(&mut last, receive);
                tokio::spawn(async move { send.send(before.recv().await.unwrap()) });
            }
            first.send(7).unwrap();
            settle().await;
            assert_eq!(last.try_recv(), Ok(7));
            assert!(!timer.is_finished());
            assert_eq!(start.elapsed(), Duration::ZERO);
        });
    }

    #[test]
    fn a_panic_on_a_blocking_thread_belongs_to_its_test() {
        let said = catch_unwind(|| {
            run(async {
                spawn_blocking(|| panic!("out of paper")).await.unwrap_err();
            });
        });
        let said = said.unwrap_err();
        assert!(said.downcast_ref::<String>().unwrap().starts_with("a task panicked: out of paper"));
    }
}
