//! The inspector, with attached streams, and once more with detached streams in a process of its own.

#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "connections/detached.rs"]
mod detached;
#[allow(dead_code, reason = "others use the rest")]
#[path = "common/harness.rs"]
mod harness;
#[path = "common/log.rs"]
mod log;
#[path = "inspector/samples.rs"]
mod samples;

#[path = "inspector/access.rs"]
mod access;
#[path = "inspector/costs.rs"]
mod costs;
#[path = "inspector/keys.rs"]
mod keys;
#[path = "inspector/page.rs"]
mod page;
#[path = "inspector/truth.rs"]
mod truth;
