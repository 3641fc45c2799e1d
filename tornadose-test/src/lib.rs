#![doc = include_str!("../doc/guide.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(any(feature = "salvo", feature = "tower")))]
compile_error!("a harness serves Salvo or tower: enable the feature `salvo` or the feature `tower`");

mod runtime;
mod harness;
mod server;
mod app;
mod client;
mod transport;
mod journal;
mod entry;
mod transcript;
mod assert;
mod text;
mod resume;

pub use client::Client;
pub use client::ask::Ask;
pub use client::builder::ClientBuilder;
pub use client::cookie_jar::CookieJar;
pub use client::faults::Fault;
pub use client::faults::chunks::Chunks;
pub use client::faults::cut::Cut;
pub use client::faults::read_rate::ReadRate;
pub use client::response::Response;
pub use client::ws_client::WsClient;
pub use entry::Event;
pub use harness::Harness;
pub use journal::client_state::Ending;
pub use resume::{ResumeAtEveryByte, resume_at_every_byte};
#[doc(hidden)]
pub use runtime::config::TestConfig;
pub use runtime::current::settle;
pub use runtime::test_run::ClockGuard;
pub use runtime::{TestResult, run, run_in_real_time};
pub use server::ServerControl;
pub use server::acceptor::{InMemoryAcceptor, InMemoryStream};
pub use server::running::{RunningServer, StopMode};
#[cfg(feature = "salvo")]
pub use server::salvo_server::HarnessServer;
pub use server::service::HarnessService;
pub use transcript::Recording;
pub use transport::Transport;

/// Makes an `async fn` a test on its own runtime: one thread, with a clock that is paused from the start.
///
/// The function is not generic and takes no arguments, except as described below and for the cases of `#[rstest]` and
/// `#[test_case]`, which may stand above or below this attribute. It returns `()` or a `Result<(), E>`
/// with `E: Debug`. Other attributes of a test, `#[should_panic]` and `#[ignore]`, keep their meaning. [`run`] does the
/// same without an attribute, and describes the failures at the end of a test.
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
/// - `clock = real`: the clock is real, for hooks that use a database. See [`run_in_real_time`].
/// - `timeout = "5m"`: the longest time on the wall clock, in `ms`, `s`, `m` or `h`; a minute by default.
/// - `leftover_tasks = deny`: a task fails the test if it is still running when every client has disconnected, every
///   server has stopped, and 60 s of the test's time have passed.
/// - `over = [sse, ws]`: the test becomes two tests, `…_over_sse` and `…_over_ws`, and takes the [`Transport`] as its
///   argument. Each has its own snapshot files.
/// - `crate = my_kit::tornadose_test`: the path to this crate, for a crate that re-exports it.
///
/// ```
/// # use salvo::prelude::*;
/// # fn router() -> Router { Router::new() }
/// use tornadose_test::{Harness, Transport, assert_transcript};
///
/// #[tornadose_test::test(over = [sse, ws])]
/// async fn every_member_gets_every_message(over: Transport) {
///     let app = Harness::new(router());
///     app.client("ada").open(over, "/rooms/1").await;
///     assert_transcript!(app); // …__every_member_gets_every_message@sse.snap, and …@ws.snap
/// }
/// ```
///
/// ```compile_fail
/// #[tornadose_test::test(start_paused = true)] // unknown option `start_paused`; the clock is always paused: remove it
/// async fn it_is_paused() {}
/// ```
pub use tornadose_macros::test;

/// The items that macros name; not for use by hand.
#[doc(hidden)]
pub mod __private {
    pub use insta;

    pub use crate::assert::TranscriptBuilder;
}
