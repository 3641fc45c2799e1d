//! An engine in memory, with faults, for tests: *your app as three processes* is a unit test. The feature `simulation`.
//!
//! [`Engine`] behaves as a Redis Stream with a table of latest values. Each [`Process`] opens its stores over it, and
//! has faults of its own: lost connections, delays, refusals, unknown outcomes, entries that arrive twice. The engine
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
//! let engine = Engine::new(7);
//! let [ada_at, bob_at, eve_at] = ["one", "two", "three"].map(|name| engine.process(name));
//! let store = Store::open(ada_at.backend()).await.unwrap();
//! let ada = Harness::new(Router::with_path("lines").get(Lines::handler(&store)));
//! # let (other, third) = (Store::open(bob_at.backend()).await.unwrap(), Store::open(eve_at.backend()).await.unwrap());
//! # let lines = ada.sse("/lines").await;
//! # other.submit(Line("hi".into())).await.unwrap();
//! # third.close();
//! # lines.skip(1).await;
//! # });
//! ```
//!
//! [`Checker`] checks what a store promises over everything that stores took and readers received, whatever the faults;
//! [`Faults`] injects random ones.

mod random;
mod stream;
mod state;
mod link;
mod connection;
mod mistakes;
mod settlement;
mod reader;
mod writer;
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
