//! The parts of `tornadose` that several threads use without a common lock, under [loom]: it runs a model again and
//! again, and tries every order in which the steps of its threads can happen, within a bound on preemptions.
//!
//! The files are the library's own, included by path. Here `crate::sync` is loom's, so the code is compiled against
//! it without flags for the whole build; what the files need besides is a stub. A model that waits for a wake that
//! never comes is a deadlock, which loom reports with the order of steps that led to it.
//!
//! Three preemptions are tried, which finds nearly every fault; `LOOM_MAX_PREEMPTIONS` sets another bound, as `./test
//! --long` does.
//!
//! [loom]: https://docs.rs/loom

#![allow(dead_code, unreachable_pub, reason = "the models use a part of the files that they include")]

pub mod mailbox;
pub mod registry;

#[path = "../../tornadose/src/store/reader/mailbox.rs"]
mod mailbox_source;

#[path = "../../tornadose/src/handler/connection/registry.rs"]
mod registry_source;

mod block_on;
mod handler;
mod store;
mod sync;

/// Runs a model in every order of its threads' steps, within the bound on preemptions.
fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.check(model);
}
