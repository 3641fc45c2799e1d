//! Stores on real Redis servers. Each test starts a server on a free port and in a folder of its own, and stops it.
//!
//! The tests need `redis-server`, so they are ignored by default; `./test` runs them all.

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
#[path = "redis/journal.rs"]
mod journal;
#[path = "redis/streams.rs"]
mod streams;
#[path = "redis/epochs.rs"]
mod epochs;
#[path = "redis/rollbacks.rs"]
mod rollbacks;
#[path = "redis/foreign.rs"]
mod foreign;
#[path = "redis/outages.rs"]
mod outages;
#[path = "redis/slow_networks.rs"]
mod slow_networks;
#[path = "redis/history.rs"]
mod history;
#[path = "redis/refused_reads.rs"]
mod refused_reads;
#[path = "redis/refusals.rs"]
mod refusals;
#[path = "redis/passwords.rs"]
mod passwords;
#[path = "redis/ephemeral.rs"]
mod ephemeral;
#[path = "redis/ttl.rs"]
mod ttl;
#[path = "redis/latest_ttl.rs"]
mod latest_ttl;
#[path = "redis/slots.rs"]
mod slots;
#[path = "redis/versions.rs"]
mod versions;
#[path = "redis/load.rs"]
mod load;
#[path = "redis/snapshots.rs"]
mod snapshots;
#[path = "redis/snapshots_place.rs"]
mod snapshots_place;
#[path = "redis/snapshots_trimming.rs"]
mod snapshots_trimming;
#[path = "redis/snapshots_recovered.rs"]
mod snapshots_recovered;
#[path = "redis/finish.rs"]
mod finish;
#[path = "redis/watch.rs"]
mod watch;
#[path = "redis/undecoded.rs"]
mod undecoded;
#[path = "common/log.rs"]
mod log;
#[path = "redis/start_errors.rs"]
mod start_errors;
#[path = "redis/rights.rs"]
mod rights;
#[path = "redis/pubsub.rs"]
mod pubsub;
#[path = "redis/sentinels.rs"]
mod sentinels;
#[path = "redis/cluster.rs"]
mod cluster;
#[path = "redis/processes.rs"]
mod processes;
#[cfg(feature = "redis-tls")]
#[path = "redis/tls.rs"]
mod tls;
