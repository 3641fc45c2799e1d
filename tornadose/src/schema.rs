//! Describes the streams of a program: an AsyncAPI document, TypeScript types for `live` of
//! [`tornadose.js`](crate::script), and with the feature `openapi` an OpenAPI document.
//!
//! The descriptions are made from the types themselves. A message says `schema` in its [`#[store]`](macro@crate::store) and
//! implements [`JsonSchema`], a subscriber says `schema` in its [`#[subscriber]`](macro@crate::subscriber). Types
//! that are written by hand implement [`MessageSchema`] and [`SubscriberSchema`].
//!
//! ```
//! use schemars::JsonSchema;
//! use tornadose::prelude::*;
//!
//! #[store(queue, schema)]
//! #[derive(Serialize, JsonSchema)]
//! #[serde(rename_all = "snake_case")]
//! enum RoomEvent {
//!     Said {
//!         #[key]
//!         room: String,
//!         text: String,
//!     },
//! }
//!
//! #[subscriber(sse, store = RoomEvent, authorize = public, schema)]
//! struct RoomFeed {
//!     #[key]
//!     room: String,
//! }
//!
//! let streams = tornadose::schema().route::<RoomFeed>("/rooms/{room}");
//! let types = streams.typescript().to_string();
//! assert!(types.contains("export interface RoomFeed extends Stream {"), "{types}");
//! assert!(streams.asyncapi().to_string().contains(r#""address": "/rooms/{room}""#));
//! ```
//!
//! # Committed files
//!
//! A program commits what it generates, so that a breaking change of a message is seen as a difference in a file. One test
//! keeps the file current, see [`GeneratedFile::assert_committed`]:
//!
//! ```no_run
//! # use tornadose::schema::Streams;
//! # fn streams() -> Streams { tornadose::schema() }
//! #[test]
//! fn the_types_of_the_page_are_current() {
//!     streams().typescript().assert_committed("web/tornadose.d.ts");
//! }
//! ```
//!
//! # Versions
//!
//! [`JsonSchema`], [`Schema`] and [`SchemaGenerator`] are those of schemars 1. A program adds `schemars = "1"` to its
//! dependencies to derive the trait.

pub(crate) mod generated_file;
pub(crate) mod parameter;
pub(crate) mod message;
pub(crate) mod subscriber;
pub(crate) mod fields;
pub(crate) mod events;
pub(crate) mod texts;
mod ids;
mod library_events;
mod definitions;
mod stream;
mod described;
mod typescript;
mod asyncapi;
#[cfg(feature = "openapi")]
mod openapi;
pub(crate) mod streams;

pub use schemars::{JsonSchema, Schema, SchemaGenerator};

pub use crate::schema::generated_file::GeneratedFile;
pub use crate::schema::message::{EventSchema, MessageSchema};
pub use crate::schema::parameter::Parameter;
pub use crate::schema::streams::Streams;
pub use crate::schema::subscriber::{SubscriberSchema, TextSchemas};
