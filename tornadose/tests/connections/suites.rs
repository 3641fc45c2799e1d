//! Suites of connections. Each runs with attached streams (`tests/attached.rs`) and with detached streams (`tests/detached.rs`).

#[path = "../common/harness.rs"]
mod harness;
#[path = "../common/log.rs"]
mod log;
#[path = "../common/watched_room.rs"]
mod watched_room;

mod backend;
mod by_hand;
mod conformance;
#[cfg(feature = "metrics")]
mod counters;
mod ends;
mod fields;
mod fuzz;
mod hardening;
mod limits;
mod logs;
mod middleware;
mod options;
mod resume;
mod sse;
mod ws;
