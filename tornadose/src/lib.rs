//! Annotate plain types; get live event streams, over Server-Sent Events and WebSocket, on the Salvo web framework.
//!
//! [`#[store]`](macro@store) on the type of a message says what is kept of it. [`#[subscriber]`](macro@subscriber) on
//! a plain struct says what one connection is. Together they give a Salvo handler, [`StreamHandler`].
//!
//! ```no_run
//! use tornadose::prelude::*;
//!
//! #[store(latest)]
//! #[derive(Serialize)]
//! struct Tick(f64);
//!
//! #[subscriber(sse, ws, store = Tick)]
//! struct Ticks;
//!
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let store = Store::new();
//!     let ticks = store.clone();
//!     tokio::spawn(async move {
//!         let mut number = 0.0;
//!         while ticks.submit(Tick(number)).await.is_ok() {
//!             number += 1.0;
//!             tokio::time::sleep(std::time::Duration::from_secs(1)).await;
//!         }
//!     });
//!     tornadose::serve("127.0.0.1:9000", Router::new().get(Ticks::handler(&store))).await
//! }
//! ```
//!
//! # Ordering
//!
//! A [`Store`] has one log and one order, whatever a message's key, its retention or the transport. A `latest` message
//! is skipped when there is a newer one of its key and variant. That one is delivered at its own place.
//!
//! # Resuming
//!
//! An event carries an [`Id`] as soon as a resume from it is exact. A client returns with one in `Last-Event-ID` or `?last_event_id=`. It gets exactly the
//! events after it. If some of them are gone, it first gets the event `tornadose:gap`
//! (`{"reason":"trimmed"|"lagged"|"restarted"|"removed"|"outage"|"unreadable","missed":N|null}`), and then what is kept. It
//! never gets an error.
//! A frame with an id alone moves the client's position without an event.
//!
//! # Lagging
//!
//! There is no queue per reader. A reader that is too slow for what the store keeps gets a gap with the number of
//! messages that it missed, and goes on; with `lag = close` its connection ends, and the client resumes.
//!
//! # Closing
//!
//! [`Store::close`] ends the store's connections, and [`serve`] those of its server when it stops. A connection that
//! does not end within 5 s is aborted.
//!
//! # Finishing
//!
//! A key may have a last word, after which its connections end and no client returns: `#[finish]` of
//! [`#[store]`](macro@store), and [`Store::finish`].
//!
//! # Several processes
//!
//! A store in memory belongs to its process. [`Store::open`] fills the log from a [`Backend`](backend::Backend) instead.
//! With the feature `redis`, `Store::redis` fills it from a Redis Stream.
//!
//! # Features
//!
//! None is on by default.
//!
//! - `metrics`: counts through the facade [`metrics`](https://docs.rs/metrics), see below.
//! - `schema`: documents and types that describe streams, see [`schema`](mod@schema).
//! - `openapi`: the same as OpenAPI, for programs that use `salvo-oapi`.
//! - `redis`: `Store::redis`, and `Redis` in [`backend`].
//! - `redis-tls`: `rediss://` URLs, by rustls on ring, which needs a C compiler to build.
//! - `simulation`: for tests, an engine in memory with faults, see [`simulation`].
//!
#![doc = include_str!("docs/observability.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod sync;
mod task;
mod metrics;
mod id;
mod event;
pub mod backend;
mod message;
mod store;
mod wire;
pub mod subscriber;
mod handler;
mod server;
mod script;
mod inspector;
#[cfg(feature = "schema")]
pub mod schema;
#[cfg(feature = "simulation")]
pub mod simulation;

#[doc(hidden)]
pub mod __private;

pub use crate::event::Event;
pub use crate::event::error::{EncodeError, EventNameError};
pub use crate::event::name::EventName;
pub use crate::handler::builder::StreamHandler;
pub use crate::handler::tickets::{SecretError, SignError, Ticket, TicketError, Tickets};
pub use crate::id::{Id, IdError};
pub use crate::inspector::{Inspector, inspector};
pub use crate::message::slot::Slotted;
pub use crate::message::snapshot::{SnapshotRole, SnapshotRules};
pub use crate::message::tombstone::Tombstone;
pub use crate::message::{Finish, Keys, Message, NoKey, Retention};
#[cfg(feature = "schema")]
pub use crate::schema::streams::schema;
pub use crate::script::{module, script};
pub use crate::server::bind::listen;
pub use crate::server::handover::socket::HandoverIo;
pub use crate::server::handover::{Handover, HandoverAcceptor};
pub use crate::server::serve::{serve, serve_on, serve_with_shutdown};
pub use crate::store::Store;
pub use crate::store::builder::StoreBuilder;
pub use crate::store::error::SubmitError;
pub use crate::store::finish::KeyState;
pub use crate::store::gap::GapReason;
pub use crate::store::limits::ENTRY_OVERHEAD;
pub use crate::store::subscription::{Received, Subscription};
pub use crate::subscriber::Subscriber;
pub use crate::subscriber::close::{Close, CloseCode};
pub use crate::subscriber::connection_id::ConnectionId;
#[doc = include_str!("docs/store.md")]
pub use tornadose_macros::store;
#[doc = include_str!("docs/subscriber.md")]
pub use tornadose_macros::subscriber;

/// What most programs import.
pub mod prelude {
    pub use salvo::http::StatusError;
    pub use salvo::{Depot, FlowCtrl, Request, Response, Router, Server, handler};
    pub use serde::{Deserialize, Serialize};

    pub use crate::handler::builder::StreamHandler;
    pub use crate::message::{Keys, Message};
    pub use crate::store::Store;
    pub use crate::subscriber::Subscriber;
    pub use crate::subscriber::close::{Close, CloseCode};
    pub use crate::subscriber::connection_id::ConnectionId;
    pub use tornadose_macros::{store, subscriber};
}
