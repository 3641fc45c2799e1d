#![doc = include_str!("../doc/guide.md")]

mod runtime;
mod test_result;
mod harness;
mod server;
mod client;
mod transport;
mod journal;
mod entry;
mod transcript;
mod text;
mod assert;
mod resume;

pub use client::Client;
pub use client::builder::ClientBuilder;
pub use client::faults::{Chunks, Cut, Fault, ReadRate};
pub use client::response::Response;
pub use client::ws_client::WsClient;
pub use entry::Event;
pub use harness::Harness;
pub use journal::client_state::Ending;
pub use resume::{ResumeAtEveryByte, resume_at_every_byte};
pub use runtime::test_run::ClockGuard;
#[doc(hidden)]
pub use runtime::{TestConfig, run_test};
pub use runtime::{run, run_in_real_time, settle};
pub use server::ServerControl;
pub use server::acceptor::InMemoryAcceptor;
pub use test_result::TestResult;
pub use transcript::Recording;
pub use transport::Transport;

/// Makes an `async fn` a test, on its own runtime: one thread, the clock paused from birth.
///
/// The function takes no arguments unless told so below, is not generic, and returns `()` or a `Result<(), E>` with `E: Debug`. Other
/// attributes of a test, `#[should_panic]` and `#[ignore]`, keep their meaning. How it ends, and what fails it then, is
/// said at [`run`], which does the same without an attribute.
///
/// ```
/// use std::time::Duration;
/// use tokio::time::{Instant, sleep};
///
/// #[tornadose_test::test]
/// async fn an_hour_passes_in_no_time() -> Result<(), std::io::Error> {
///     let start = Instant::now();
///     sleep(Duration::from_secs(3600)).await;
///     assert_eq!(start.elapsed().as_secs(), 3600);
///     Ok(())
/// }
/// ```
///
/// With `clock = real` time is real, for hooks that talk to a database: see [`run_in_real_time`]. With `over = [sse, ws]`
/// the test is two tests, `…_over_sse` and `…_over_ws`, and takes the [`Transport`] as its argument; its snapshots stand in
/// two files, which differ in what belongs to the transports only. `crate = my_kit::tornadose_test` is for a crate that
/// re-exports this one.
///
/// ```
/// # use salvo::prelude::*;
/// # fn router() -> Router { Router::new() }
/// use tornadose_test::{Harness, Transport, assert_transcript};
///
/// #[tornadose_test::test(over = [sse, ws])]
/// async fn everybody_hears_everything(over: Transport) {
///     let app = Harness::new(router());
///     app.client("ada").open(over, "/rooms/1").await;
///     assert_transcript!(app); // …__everybody_hears_everything@sse.snap, and …@ws.snap
/// }
/// ```
///
/// ```compile_fail
/// #[tornadose_test::test(start_paused = true)] // unknown option `start_paused`; the clock is always paused: remove it
/// async fn it_is_paused() {}
/// ```
pub use tornadose_macros::test;

/// What the macros name; not for use by hand.
#[doc(hidden)]
pub mod __private {
    pub use insta;

    pub use crate::assert::Printing;
}
