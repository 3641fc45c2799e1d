//! Stores over real Redis servers, which each test starts on a free port and in a folder of its own, and stops, pass or fail.
//!
//! They need `redis-server`, and are ignored without being asked for: `./test` runs them all.

#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "redis/server.rs"]
mod server;
#[path = "redis/proxy.rs"]
mod proxy;
#[path = "redis/common.rs"]
mod common;
#[path = "redis/page.rs"]
mod page;
#[path = "redis/streams.rs"]
mod streams;
#[path = "redis/epochs.rs"]
mod epochs;
#[path = "redis/foreign.rs"]
mod foreign;
#[path = "redis/outages.rs"]
mod outages;
#[path = "redis/pubsub.rs"]
mod pubsub;
#[path = "redis/processes.rs"]
mod processes;
#[cfg(feature = "redis-tls")]
#[path = "redis/tls.rs"]
mod tls;
