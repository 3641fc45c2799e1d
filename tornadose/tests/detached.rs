//! The suites of `attached.rs` with streams that are detached by a `tornadose::Handover`, as under
//! `tornadose::serve`.

#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "connections/suites.rs"]
mod connections;
