//! Panics of spawned tasks: noticed where they happen, kept with the run whose runtime the task belongs to.

use std::collections::HashMap;
use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::sync::{Arc, LazyLock, Mutex, Once, PoisonError, Weak};

use tokio::runtime::{Handle, Id};

use crate::runtime::test_run::Run;

static RUNS: LazyLock<Mutex<HashMap<Id, Weak<Run>>>> = LazyLock::new(Mutex::default);
static INSTALL: Once = Once::new();

/// Puts our hook before the one that is there, once in a process.
pub(crate) fn install() {
    INSTALL.call_once(|| {
        let next = take_hook();
        set_hook(Box::new(move |panic| {
            note(panic);
            next(panic);
        }));
    });
}

/// Notes the panics of this runtime's tasks in `run`, until the result is dropped.
pub(crate) fn follow(runtime: Id, run: &Arc<Run>) -> Following {
    lock().insert(runtime, Arc::downgrade(run));
    Following(runtime)
}

pub(crate) struct Following(Id);

impl Drop for Following {
    fn drop(&mut self) {
        lock().remove(&self.0);
    }
}

fn note(panic: &PanicHookInfo<'_>) {
    // The test's own body is not a task: its panic fails the test without our help.
    if tokio::task::try_id().is_none() {
        return;
    }
    let Ok(runtime) = Handle::try_current() else { return };
    let run = lock().get(&runtime.id()).and_then(Weak::upgrade);
    if let Some(run) = run {
        run.task_panicked(panic.payload_as_str().unwrap_or("a value that is not text"));
    }
}

fn lock() -> std::sync::MutexGuard<'static, HashMap<Id, Weak<Run>>> {
    RUNS.lock().unwrap_or_else(PoisonError::into_inner)
}
