//! Finds the tasks of a test's runtime that never end: they run on when every client and every server has gone.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use crate::runtime::current::settle;
use crate::runtime::test_run::TestRun;
use crate::text::duration;

/// The interval at which the tasks are counted.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Ends every client and every server, and gives the tasks time to end. Returns a failure when some do not.
pub(crate) async fn find(run: &Arc<TestRun>) -> Option<String> {
    run.shut_down();
    let limit = run.wait_limit();
    run.allow_time(limit);
    let deadline = Instant::now() + limit;
    loop {
        settle().await;
        let count = Handle::current().metrics().num_alive_tasks();
        let blocking = run.blocking.in_flight();
        if count + blocking == 0 {
            return None;
        }
        if Instant::now() >= deadline || blocking > 0 {
            return Some(format!(
                "{count} tasks and {blocking} blocking tasks are still running, {} after every client has disconnected \
                 and every server has stopped\n    end them with what they work for, for example by an `AbortHandle`, or \
                 leave out `leftover_tasks = deny`",
                duration(limit)
            ));
        }
        sleep(POLL_INTERVAL).await;
    }
}
