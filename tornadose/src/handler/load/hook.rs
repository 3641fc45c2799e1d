//! One run of a `load` hook.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, timeout};

use crate::handler::lifecycle::HookName;
use crate::handler::load::failure::LoadFailure;
use crate::handler::load::loads::Loaded;
use crate::handler::served::Served;
use crate::message::Message;
use crate::store::Store;

const LOAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs the hook. A failure is logged and counted.
pub(super) async fn run<M: Message>(
    served: &dyn Served<M>,
    keys: &[M::Key],
    store: &Store<M>,
    name: HookName,
) -> Result<Loaded<M>, LoadFailure> {
    let (started_at, head_at_start) = (Instant::now(), store.head());
    let hook = AssertUnwindSafe(served.load(keys, store)).catch_unwind();
    match timeout(LOAD_TIMEOUT, hook).await {
        Ok(Ok(Ok(messages))) => Ok(Loaded { messages, started_at, head_at_start }),
        Ok(Ok(Err(error))) => {
            name.count_refusal();
            Err(LoadFailure::Refused(error))
        }
        Ok(Err(_)) => {
            name.log_panic();
            Err(LoadFailure::Panicked)
        }
        Err(_) => {
            name.log_timeout();
            Err(LoadFailure::TimedOut)
        }
    }
}
