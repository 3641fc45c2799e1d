//! The descriptions of streams: documents and types of the programs in `schema/programs.rs`, which are committed, and the
//! shapes of messages that serde allows. `clients/types.mjs` gives the files to the validators of their standards.

#![cfg(feature = "openapi")]
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "schema/by_hand.rs"]
mod by_hand;
#[path = "schema/events.rs"]
mod events;
#[path = "schema/programs.rs"]
mod programs;
#[path = "schema/shapes.rs"]
mod shapes;
