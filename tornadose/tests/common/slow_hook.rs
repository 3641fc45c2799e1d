//! Subscribers whose hooks take a long time.

use tornadose::prelude::*;
use tornadose_test::Harness;

use super::harness::{harness, secs};

#[store(queue, capacity = 64)]
#[derive(Serialize)]
pub(crate) struct Line(pub(crate) String);

/// A subscriber that receives a number of seconds and waits for so long.
#[subscriber(sse, ws, store = Line, receive = Self::wait)]
pub(crate) struct Lines;

impl Lines {
    async fn wait(&mut self, seconds: u64, _: &Store<Line>) {
        tokio::time::sleep(secs(seconds)).await;
    }
}

pub(crate) fn lines() -> (Store<Line>, Harness) {
    let store = Store::new();
    let app = harness(Router::with_path("lines").get(Lines::handler(&store)));
    (store, app)
}

/// A subscriber whose `authorize` takes 3 seconds.
#[subscriber(sse, ws, store = Line, authorize = Self::wait, replay = 100, max_connections = 3)]
pub(crate) struct SlowAuthorize;

impl SlowAuthorize {
    async fn wait(&self) -> Result<(), StatusError> {
        tokio::time::sleep(secs(3)).await;
        Ok(())
    }
}
