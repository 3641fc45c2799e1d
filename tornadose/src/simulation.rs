//! An engine in memory, with faults, for tests: *your app as three processes* is a unit test. The feature `simulation`.
//!
//! [`Engine`] behaves as a Redis Stream with a table of latest values and one of snapshots. Each [`Process`] opens its
//! stores over it, and has faults of its own: lost connections, delays, refusals, unknown outcomes, entries that arrive twice. The engine
//! trims, goes back to an older state, and has messages of other programs. Everything is decided by a seed, in virtual
//! time and in one runtime, so a test that fails once fails always.
//!
//! With the fake client of `tornadose-test` a test sees what the clients of each process see:
//!
//! ```
//! use tornadose::prelude::*;
//! use tornadose::simulation::Engine;
//! use tornadose_test::{Harness, assert_transcript};
//!
//! #[store(queue)]
//! #[derive(Serialize, Deserialize)]
//! struct Line(String);
//!
//! #[subscriber(sse, store = Line)]
//! struct Lines;
//!
//! # tornadose_test::run(async {
//! let (engine, mut stores, mut router) = (Engine::new(7), Vec::new(), Router::new());
//! for name in ["one", "two", "three"] {
//!     let store = Store::open(engine.process(name).backend()).await.unwrap();
//!     router = router.push(Router::with_path(name).get(Lines::handler(&store)));
//!     stores.push(store);
//! }
//! let app = Harness::new(router);
//! let ada = app.client("ada").sse("/one").await;
//! stores[2].submit(Line("hi".into())).await.unwrap();
//! assert_transcript!(ada, @r#"
//! ada > GET /one
//! ada ~ open 200 text/event-stream
//! ada < message #1 "hi"
//! "#);
//! # });
//! ```
//!
//! A process that is killed, a deployment in which a client moves to another process, and an engine that refuses
//! messages are tested in the same way: see [`Process`].
//!
//! [`Checker`] checks what a store promises over everything that stores took and readers received, whatever the faults;
//! [`Faults`] injects random ones.

mod random;
mod kept_snapshots;
mod stream;
mod state;
mod link;
mod connection;
mod mistakes;
mod settlement;
mod reader;
mod writer;
mod keeper;
mod backend;
mod process;
mod engine;
mod faults;
mod checker;

pub use crate::simulation::backend::SimulatedBackend;
pub use crate::simulation::checker::{Checker, Violation, Watch};
pub use crate::simulation::engine::{Engine, Snapshot};
pub use crate::simulation::faults::Faults;
pub use crate::simulation::process::Process;

#[cfg(test)]
mod program;
