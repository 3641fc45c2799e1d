//! The net under hangs: a thread that looks at the wall clock, which a paused test does not.

use std::process::abort;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::runtime::test_run::Run;

/// How long a rung alarm may go unheard before the test counts as stuck in one poll.
const DEAF: Duration = Duration::from_secs(10);

/// Rings when a test has taken too long on the wall clock; dropped, it goes to sleep.
pub(crate) struct Watchdog {
    _leash: Sender<()>,
}

impl Watchdog {
    pub(crate) fn start(wall: Duration, run: &Arc<Run>) -> (Self, oneshot::Receiver<()>) {
        let (leash, held) = channel();
        let (ring, alarm) = oneshot::channel();
        let run = run.clone();
        thread::Builder::new()
            .name("tornadose-test watchdog".into())
            .spawn(move || watch(wall, &held, ring, &run))
            .expect("a test process can start a thread");
        (Self { _leash: leash }, alarm)
    }
}

pub(crate) fn verdict(run: &Run) -> String {
    let held = "The clock is held by `hold_clock()`, so that no timer fires, and what is waited for has not come";
    let free = "It waits for work outside its runtime (a thread, a socket, `spawn_blocking`), or it goes in circles \
                without the clock ever moving";
    let why = if run.is_held() { held } else { free };
    format!("the test hangs: a minute of real time has passed and it has not ended. {why}")
}

fn watch(wall: Duration, held: &Receiver<()>, ring: oneshot::Sender<()>, run: &Run) {
    if let Err(RecvTimeoutError::Timeout) = held.recv_timeout(wall) {
        // A failed send means that the test ends at this very moment.
        let _ = ring.send(());
        if let Err(RecvTimeoutError::Timeout) = held.recv_timeout(DEAF) {
            // The test's thread is inside one poll that never returns; nothing in this process can stop it.
            eprintln!("{}, inside one poll that never returns\n{}", verdict(run), run.report());
            abort();
        }
    }
}
