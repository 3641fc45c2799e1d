//! Connections to a server that writes their streams itself, as Salvo's `Server` does, and to one whose streams are
//! detached: a client must not see a difference.

#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "connections/suites.rs"]
mod connections;
