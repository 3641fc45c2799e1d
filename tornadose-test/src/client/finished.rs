//! Waits for the finish of a stream.

use std::future::Future;
use std::panic::Location;

use crate::client::Client;
use crate::client::reading::decode::describe;
use crate::entry::Happening;
use crate::journal::client_state::Ending;

/// The event that tells a client that its stream is finished.
const FINISHED: &str = "tornadose:finished";

impl Client {
    /// Waits until the stream is finished: the next message is the event `tornadose:finished` without a key, and the
    /// connection ends, a WebSocket with code 1000. Up to 60 s of virtual time may pass for each.
    ///
    /// ```
    /// # use salvo::prelude::*;
    /// # #[handler]
    /// # async fn run(res: &mut Response) {
    /// #     res.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
    /// #     res.body("data: 1\n\nid: 2\nevent: tornadose:finished\ndata: {}\n\n");
    /// # }
    /// use tornadose_test::Harness;
    /// # tornadose_test::run(async {
    /// let app = Harness::new(Router::with_path("run").get(run));
    /// let log = app.client("log").once().sse("/run").await;
    /// log.skip(1).await;
    /// log.finished().await;
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When the next message is another, when none arrives, and when the connection does not end, or ends in another way.
    #[track_caller]
    pub fn finished(&self) -> impl Future<Output = ()> + Send {
        let at = Location::caller();
        async move {
            let message = self.next_message(at, &format!("`{FINISHED}`")).await;
            let is_finish =
                matches!(&message, Happening::Event(event) if event.name == FINISHED && event.data.trim() == "{}");
            if !is_finish {
                let got = describe(&message);
                self.fail_waiting(at, &format!("`{}`: expected `{FINISHED}`, got {got}", self.name())).await;
            }
            let ending = self.closed().await;
            if !matches!(ending, Ending::End | Ending::Close { code: 1000, .. }) {
                let problem = format!("`{}`: expected its finished stream to end, got {ending:?}", self.name());
                self.fail_at(at, &problem);
            }
        }
    }
}
