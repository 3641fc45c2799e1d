//! tornadose-test

mod client;
mod harness;
mod outcome;
mod record;
mod runtime;
mod server;
mod transcript;

pub use client::Client;
pub use client::answer::Answer;
pub use client::builder::ClientBuilder;
pub use client::socket::Socket;
pub use harness::Harness;
pub use outcome::Outcome;
pub use record::line::Event;
pub use record::seat::Ending;
pub use runtime::{run, settle};
pub use server::ServerControl;
pub use server::acceptor::InMemory;
pub use tornadose_macros::test;
pub use transcript::Recording;

/// What the macros name; not for use by hand.
#[doc(hidden)]
pub mod __private {
    pub use insta;

    pub use crate::runtime::run_test;
    pub use crate::transcript::assert::Printed;
}
