//! Panics of spawned tasks: a hook records each in the test run whose runtime the task belongs to.

use std::collections::HashMap;
use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, Once, PoisonError, Weak};

use tokio::runtime::{Handle, Id};

use crate::runtime::test_run::TestRun;

static RUNS: LazyLock<Mutex<HashMap<Id, Weak<TestRun>>>> = LazyLock::new(Mutex::default);
static INSTALL: Once = Once::new();

/// Installs the hook in front of the present one, once in a process.
pub(crate) fn install_hook() {
    INSTALL.call_once(|| {
        let next = take_hook();
        set_hook(Box::new(move |panic| {
            record(panic);
            next(panic);
        }));
    });
}

/// Records the panics of this runtime's tasks in `run`, until the result is dropped.
pub(crate) fn record_in(runtime: Id, run: &Arc<TestRun>) -> PanicScope {
    lock().insert(runtime, Arc::downgrade(run));
    PanicScope(runtime)
}

pub(crate) struct PanicScope(Id);

impl Drop for PanicScope {
    fn drop(&mut self) {
        lock().remove(&self.0);
    }
}

fn record(panic: &PanicHookInfo<'_>) {
    // The test's own body is not a task: its panic fails the test already.
    if tokio::task::try_id().is_none() {
        return;
    }
    let Ok(runtime) = Handle::try_current() else { return };
    let run = lock().get(&runtime.id()).and_then(Weak::upgrade);
    if let Some(run) = run {
        run.record_panic(panic.payload_as_str().unwrap_or("a value that is not text"));
    }
}

fn lock() -> MutexGuard<'static, HashMap<Id, Weak<TestRun>>> {
    RUNS.lock().unwrap_or_else(PoisonError::into_inner)
}
