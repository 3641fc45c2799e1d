//! The runtime of a test: one thread, with a clock that is paused from the start. It drives the test's body, and checks
//! the test's end.

pub(crate) mod config;
pub(crate) mod current;
mod idle;
pub(crate) mod blocking;
pub(crate) mod test_run;
mod timers;
mod panics;
mod watchdog;
mod leftover;

use std::fmt::Debug;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::runtime::blocking::BlockingTasks;
use crate::runtime::config::{ClockMode, TestConfig};
use crate::runtime::current::{CurrentRun, settle};
use crate::runtime::test_run::TestRun;
use crate::runtime::watchdog::Watchdog;

/// The result of a test: `()`, or a `Result` whose error implements `Debug`.
///
/// ```
/// fn returns_a_test_result(_: impl tornadose_test::TestResult) {}
/// returns_a_test_result(());
/// returns_a_test_result(Ok::<(), std::io::Error>(()));
/// ```
#[diagnostic::on_unimplemented(
    message = "a test returns `()` or `Result<(), E>` with `E: Debug`, not `{Self}`",
    label = "not a test result"
)]
pub trait TestResult {
    /// Returns whether the test has failed.
    ///
    /// ```
    /// use tornadose_test::TestResult;
    ///
    /// assert!(Err::<(), _>("wrong").failed());
    /// ```
    fn failed(&self) -> bool;
}

impl TestResult for () {
    fn failed(&self) -> bool {
        false
    }
}

impl<E: Debug> TestResult for Result<(), E> {
    fn failed(&self) -> bool {
        self.is_err()
    }
}

/// Runs a test body on its own runtime, as `#[tornadose_test::test]` does: one thread, the clock paused from the start.
///
/// After the body has returned, everything settles once more. Then unread messages, protocol violations and panicked
/// tasks fail the test.
///
/// ```
/// use std::time::Duration;
/// use tokio::time::{Instant, sleep};
///
/// let passed = tornadose_test::run(async {
///     let start = Instant::now();
///     sleep(Duration::from_secs(15)).await; // takes no real time
///     start.elapsed()
/// });
/// assert_eq!(passed, Duration::from_secs(15));
/// ```
///
/// # Panics
///
/// With the body's own panic, and with the failures listed above. Also when the body waits for something outside its
/// runtime while the clock runs away, and when it takes a minute of real time. `#[tornadose_test::test(timeout = "5m")]`
/// sets another limit.
pub fn run<F: Future>(body: F) -> F::Output {
    run_within(TestConfig::default(), body, |_| false)
}

/// Runs a test body in real time, as `#[tornadose_test::test(clock = real)]` does: for hooks that use a database.
///
/// The test is written as for [`run`]. [`settle`] returns when nothing has happened for 50 ms, and after a second in
/// any case. Waits are bounded by 10 s. Transcripts show no time, because it differs in every run: they are ordered by
/// step.
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
    run_within(TestConfig::default().in_real_time(), body, |_| false)
}

#[doc(hidden)]
impl TestConfig {
    /// Runs the body of a `#[tornadose_test::test]`. An `Err` is the test's own failure: the checks at the end are
    /// skipped.
    pub fn run_test<F: Future<Output: TestResult>>(self, body: F) -> F::Output {
        run_within(self, body, TestResult::failed)
    }
}

fn run_within<F: Future>(config: TestConfig, body: F, failed: impl FnOnce(&F::Output) -> bool) -> F::Output {
    let mut output = None;
    let body = async {
        let returned = body.await;
        settle().await;
        let has_failed = failed(&returned);
        output = Some(returned);
        has_failed
    };
    run_boxed(config, Box::pin(body));
    output.expect("a run that returns has an output")
}

/// Runs a body that returns whether the test has failed. It is not generic, so that a program of many tests is built with
/// one runtime.
fn run_boxed(config: TestConfig, body: Pin<Box<dyn Future<Output = bool> + '_>>) {
    panics::install_hook();
    let blocking = Arc::new(BlockingTasks::new(config.wall_limit));
    let (starting, ending) = (blocking.clone(), blocking.clone());
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(config.clock == ClockMode::Virtual)
        .on_thread_park(idle::on_park)
        .on_thread_unpark(timers::on_unpark)
        .thread_keep_alive(Duration::ZERO)
        .thread_name_fn(move || starting.start_thread())
        .on_thread_stop(move || ending.end_thread())
        .build()
        .expect("a current-thread runtime needs nothing that could be missing");
    let entered = runtime.enter();
    let run = Arc::new(TestRun::new(config, blocking));
    let _current = CurrentRun::set(&run);
    let _panics = panics::record_in(runtime.handle().id(), &run);
    let (_watchdog, alarm) = Watchdog::start(&run);
    drop(entered);

    let result = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            let settled = async {
                if body.await {
                    return None;
                }
                let mut failures = run.failures_at_end();
                if config.denies_leftover_tasks {
                    failures.extend(leftover::find(&run).await);
                }
                Some(failures)
            };
            match drive(&run, settled, alarm).await {
                None => run.report_once(),
                Some(failures) if failures.is_empty() => {}
                Some(failures) => run.fail(None, &failures.join("\n")),
            }
        });
    }));
    // A plain drop would wait for blocking work that a failed test has left running.
    runtime.shutdown_background();
    if result.is_err() {
        run.report_once();
    }
    run.drop_checks();
    result.unwrap_or_else(|panic| resume_unwind(panic));
}

/// Drives the body, and fails the test if the watchdog or the virtual clock shows that it will never end.
async fn drive<F: Future>(run: &Arc<TestRun>, body: F, mut alarm: oneshot::Receiver<()>) -> F::Output {
    let mut body = pin!(body);
    loop {
        let limit = run.arm_limit();
        tokio::select! {
            biased;
            output = &mut body => return output,
            Ok(()) = &mut alarm => run.fail(None, &watchdog::hang_message(run)),
            () = sleep_until(limit), if run.clock == ClockMode::Virtual => if Instant::now() >= run.limit() {
                run.fail(None, test_run::RUNAWAY_CLOCK);
            },
        }
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

    use super::{run, run_within};
    use crate::runtime::config::TestConfig;
    use crate::runtime::current::{current, settle};

    #[test]
    fn a_hang_on_the_wall_clock_fails_the_test() {
        let (release, released) = channel::<()>();
        let panic = catch_unwind(|| {
            run_within(
                TestConfig::default().timeout(Duration::from_millis(20)),
                async {
                    // Blocking work holds the clock, as a call to a database would.
                    spawn_blocking(move || released.recv());
                    pending::<()>().await;
                },
                |()| false,
            );
        });
        drop(release);
        insta::assert_snapshot!(panic.unwrap_err().downcast_ref::<String>().unwrap(), @r#"
        the test hangs: it has not ended after 20ms of real time. It waits for work outside its runtime (a thread, a socket, `spawn_blocking`), or it loops without the clock ever moving
            If it needs more time, write `#[tornadose_test::test(timeout = "5m")]`
        "#);
    }

    #[test]
    fn a_hang_with_a_held_clock_names_the_held_clock() {
        let panic = catch_unwind(|| {
            run_within(
                TestConfig::default().timeout(Duration::from_millis(20)),
                async {
                    let _held = current().hold_clock();
                    sleep(Duration::from_secs(1)).await;
                },
                |()| false,
            );
        });
        insta::assert_snapshot!(panic.unwrap_err().downcast_ref::<String>().unwrap(), @r#"
        the test hangs: it has not ended after 20ms of real time. The clock is held by `hold_clock()`, so that no timer fires, and the work outside has not finished
            If it needs more time, write `#[tornadose_test::test(timeout = "5m")]`
        "#);
    }

    #[test]
    fn settle_waits_for_long_chains_and_not_for_timers() {
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
    fn a_panic_on_a_blocking_thread_fails_its_test() {
        let panic = catch_unwind(|| {
            run(async {
                spawn_blocking(|| panic!("out of paper")).await.unwrap_err();
            });
        });
        let panic = panic.unwrap_err();
        assert!(panic.downcast_ref::<String>().unwrap().starts_with("a task panicked: out of paper"));
    }
}
