//! Detects tests that hang. A thread watches the wall clock, because a paused test clock does not move by itself.

use std::io::{Write, stderr};
use std::process::abort;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::runtime::test_run::TestRun;
use crate::text::duration;

/// The time that a test has to react to the alarm before it counts as stuck in one poll.
const ALARM_TIMEOUT_MAX: Duration = Duration::from_secs(10);

/// A busy machine may not run the test's thread for seconds.
const ALARM_TIMEOUT_MIN: Duration = Duration::from_secs(5);

/// Sends the alarm when a test takes too long on the wall clock. Dropping it stops its thread.
pub(crate) struct Watchdog {
    _stop: Sender<()>,
}

impl Watchdog {
    pub(crate) fn start(run: &Arc<TestRun>) -> (Self, oneshot::Receiver<()>) {
        let (stop, stopped) = channel();
        let (alarm, on_alarm) = oneshot::channel();
        let run = run.clone();
        thread::Builder::new()
            .name("tornadose-test watchdog".into())
            .spawn(move || watch(&stopped, alarm, &run))
            .expect("a test process can start a thread");
        (Self { _stop: stop }, on_alarm)
    }
}

pub(crate) fn hang_message(run: &TestRun) -> String {
    let held = "The clock is held by `hold_clock()`, so that no timer fires, and the work outside has not finished";
    let free = "It waits for work outside its runtime (a thread, a socket, `spawn_blocking`), or it loops without the \
                clock ever moving";
    let reason = if run.is_clock_held() { held } else { free };
    let waited = duration(run.wall_limit);
    format!(
        "the test hangs: it has not ended after {waited} of real time. {reason}\n    If it needs more time, write \
         `#[tornadose_test::test(timeout = \"5m\")]`"
    )
}

fn watch(stopped: &Receiver<()>, alarm: oneshot::Sender<()>, run: &TestRun) {
    if let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(run.wall_limit) {
        // A failed send means that the test ends at this moment.
        let _ = alarm.send(());
        let timeout = run.wall_limit.clamp(ALARM_TIMEOUT_MIN, ALARM_TIMEOUT_MAX);
        if let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(timeout) {
            // The test's thread is inside one poll that never returns, and nothing in this process can stop it.
            let problem = format!("{}: it is inside one poll that never returns", run.name);
            // The harness of `cargo test` captures what `eprintln!` prints, and the capture ends with the process.
            let _ = writeln!(stderr(), "{problem}\n{}\n{}", hang_message(run), run.report());
            abort();
        }
    }
}
