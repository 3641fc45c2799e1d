//! A fake client for [Salvo](https://docs.rs/salvo) routers: tests of event streams, over SSE and WebSocket, in one
//! process, in virtual time, without a port.
//!
//! Three lines are a test. The whole `salvo::Server` runs behind a pipe in memory and is spoken to in real HTTP/1.1 and
//! WebSocket bytes; what a page would see becomes a transcript, which a snapshot is compared with.
//!
//! ```
//! use salvo::prelude::*;
//! use tornadose_test::{Harness, assert_transcript};
//!
//! #[handler]
//! async fn ticks(res: &mut Response) {
//!     res.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
//!     let mut stream = res.channel();
//!     tokio::spawn(async move {
//!         while stream.send_data("event: tick\ndata: {\"n\":1}\n\n").await.is_ok() {
//!             tokio::time::sleep(std::time::Duration::from_secs(15)).await;
//!         }
//!     });
//! }
//!
//! # fn main() { tornadose_test::run(a_tick_comes_at_once()) }
//! # // A doc test is no test binary, which would drop the function: it is run without its attribute.
//! # macro_rules! body { (#[$_:meta] $test:item) => { $test } }
//! # body! {
//! #[tornadose_test::test]
//! async fn a_tick_comes_at_once() {
//!     let app = Harness::new(Router::with_path("ticks").get(ticks));
//!     app.sse("/ticks").await;
//!     assert_transcript!(app, @r#"
//!     ticks > GET /ticks
//!     ticks ~ open 200 text/event-stream
//!     ticks < tick {"n":1}
//!     "#);
//! }
//! # }
//! ```
//!
//! Write `@""` and let `cargo insta` fill it in: `cargo insta test --review`. A test needs no dependency on insta.
//!
//! # Time
//!
//! The clock of a test is paused from birth: it moves only when nothing is left to do, and then straight to the next
//! timer. [`settle`] waits until everything that can happen at this instant has happened, and the clock has not moved:
//! so that *nothing more arrives* is proved ([`Client::quiet`]), not waited for. Every act of a test (an open, a send, an
//! [`advance`](Harness::advance)) settles before it returns. Waits are bounded, in virtual time.
//!
//! ```
//! # use salvo::prelude::*;
//! # #[handler]
//! # async fn serve_ticks(res: &mut Response) {
//! #     res.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
//! #     let mut stream = res.channel();
//! #     tokio::spawn(async move {
//! #         while stream.send_data("event: tick\ndata: {\"n\":1}\n\n").await.is_ok() {
//! #             tokio::time::sleep(std::time::Duration::from_secs(15)).await;
//! #         }
//! #     });
//! # }
//! # use std::time::Duration;
//! # use tornadose_test::Harness;
//! # tornadose_test::run(async {
//! # let app = Harness::new(Router::with_path("ticks").get(serve_ticks));
//! let ada = app.client("ada").sse("/ticks").await;
//! ada.skip(1).await;
//! ada.quiet_for(Duration::from_secs(14)).await;
//! app.advance(Duration::from_secs(1)).await;
//! let event = ada.next_event().await;
//! assert_eq!(event.name, "tick");
//! # });
//! ```
//!
//! Work outside the test's runtime (threads, real sockets) does not stop the clock: a test that waits for it fails, with
//! a sentence that says so. So does one that hangs.
//!
//! # What a transcript says
//!
//! ```text
//! alice > GET /rooms/1                           she asks, for SSE
//! alice ~ open 200 text/event-stream, retry 2s   the stream is open; `retry` unless it is the default, 3s
//! bob > GET /rooms/1 upgrade websocket           he asks, for a WebSocket
//! bob ~ open 101                                 and `, protocol v1` when one was chosen
//! bob > {"type":"say","text":"hi"}               he sends a text message; text that is not JSON stands in quotes
//! alice < said #1 {"text":"hi"}                  an event: its name (`message` without one), its id, its data
//! bob < said #1 {"text":"hi"}                    the same as {"id":"…","event":"said","data":{…}} over a WebSocket
//! after 15s                                      the clock has moved
//! alice < : keep-alive                           a comment
//! alice < retry 4.2s                             a new delay in the midst of the stream
//! bob < ping                                     which he answers by himself
//! alice ! stall                                  a deed that is no bytes; also a breach of protocol by the server
//! carol > GET /rooms/1 last-event-id #1          a resumption
//! carol ~ answer 403 not your room               an answer that is no stream
//! alice ~ end                                    the end of the body; `abort` when it broke off
//! bob ~ close 1001 (server)                      a close frame, and its reason if it has one
//! dave ~ refused                                 nobody listens
//! server ! panicked: …                           a task has panicked
//! ```
//!
//! It is canonical: ordered by instant, then by act (its own line first, then what came of it), then by client in order
//! of opening, then by the client's own sequence. An act is what lies between two settlings. Ids and UUIDs differ from
//! run to run, so they are labels (`#1`, `[uuid-1]`) that keep their identity over all clients, numbered as they are
//! first printed; an id that was never seen on the wire is quoted. What a page never hears of (position frames, the
//! comments and the default `retry` of the first frame, pongs) shows only in the `wire` view, with the exact bytes.
//!
//! # What fails a test
//!
//! Beside its own assertions: a message that nobody has read, with [`next`](Client::next) or in a transcript; a server
//! that breaks the WebSocket protocol; a task that panics, if not [expected](Harness::expect_panic). All of it is looked
//! at when the body has returned and everything has settled once more; a client opened with
//! [`lenient`](ClientBuilder::lenient) is left out.

mod runtime;
mod outcome;
mod harness;
mod server;
mod client;
mod record;
mod transcript;
mod resume;

pub use client::Client;
pub use client::answer::Answer;
pub use client::builder::ClientBuilder;
pub use client::faults::{Chunks, Cut, Fault, ReadRate};
pub use client::socket::Socket;
pub use client::transport::Transport;
pub use harness::Harness;
pub use outcome::Outcome;
pub use record::line::Event;
pub use record::seat::Ending;
pub use resume::{ResumeAtEveryByte, resume_at_every_byte};
pub use runtime::run::HeldClock;
#[doc(hidden)]
pub use runtime::{Plan, run_test};
pub use runtime::{run, run_in_real_time, settle};
pub use server::ServerControl;
pub use server::acceptor::InMemory;
pub use transcript::Recording;

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

    pub use crate::transcript::assert::Printing;
}
