//! Annotate plain types; get live event streams, over Server-Sent Events and WebSocket, on the Salvo web framework.
//!
//! [`#[store]`](macro@store) on the type of a message says what is kept of it; [`#[subscriber]`](macro@subscriber) on a plain
//! struct says what one connection is; the pair gives a Salvo handler, [`StreamHandler`].
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
//! A [`Store`] has one log, and one order, whatever a message's key or kind and whatever the transport. A `latest` message is
//! skipped when a newer one of its key and variant has come, which is delivered at its own place.
//!
//! # Resuming
//!
//! Every event carries an [`Id`]. A client that comes back with one, in `Last-Event-ID` or `?last_event_id=`, gets exactly what
//! came after it, or the event `tornadose:gap` (`{"reason":"trimmed"|"lagged"|"restarted"|"outage","missed":N|null}`) and then
//! what is kept: never silence, and never an error. An id-only frame moves a position without an event.
//!
//! # Lagging
//!
//! There is no queue per reader. One that is too slow for what the store keeps is told what it missed, and goes on.
//!
//! # Closing
//!
//! [`Store::close`] ends its connections, [`serve`] those that it carries; what does not end within 5 s is aborted.
//!
//! # Several processes
//!
//! A store in memory is its process's own. [`Store::open`] fills the log from a [`Backend`](backend::Backend) instead; with the feature `redis`,
//! `Store::redis` links it to a Redis Stream.
//!
//! # Observability
//!
//! The edges of a connection are `tracing` events with the target `tornadose`, never its deliveries, and never what a user wrote:
//! no key, no text, no close reason. Normal life is `DEBUG`; `ERROR` is a hook that panicked or an origin that is none.
//!
//! | event | fields |
//! |---|---|
//! | `connection opens` | `transport` (`sse`, `ws`), `number` (of its handler, from 1), `channel`, `keys` (how many; none for all) |
//! | `connection resumes` | `transport`, `number`, `known` (`known`, `trimmed`, `restarted`, `pending`): what became of its id |
//! | `connection has a gap` | `transport`, `number`, `reason`, `missed` |
//! | `connection closes` | `transport`, `number`, `why`, `code` (of a WebSocket), and its ledger |
//! | `connection is turned away` | `number`, `why` (`full`, `closed`, `stopping`) |
//! | `gap reported`, `subscription ended` | `channel`, and as above |
//! | `store closed` | `channel`, `readers` |
//! | `backend connected`, `backend disconnected` | `channel`, `reason` |
//! | `entry skipped` | `channel`, `entry`, `reason` |
//!
//! `why` is `left`, `silent`, `stalled`, `violation`, `refused`, `panicked`, `max_age`, `closed`, `stopping`, `disconnected`,
//! `lagged` or `aborted`. The ledger counts messages, and balances:
//! `owed = delivered + filtered + conflated + missed + unread`. *Owed* is what stood in the snapshot, or behind the id, and what was
//! submitted for its keys while it was open; *delivered* was handed to the socket; *filtered* the filter withheld; *conflated* is a
//! `latest` message that a newer one replaced, or [`Store::forget`] dropped, before it was read; *missed* a gap declared; *unread*
//! the rest at its end.
//!
//! With the feature `metrics` the same is counted through the facade [`metrics`](https://docs.rs/metrics), over all stores and readers of
//! the process:
//!
//! | metric | labels |
//! |---|---|
//! | `tornadose_connections_opened_total` | `transport` |
//! | `tornadose_connections_closed_total` | `transport`, `reason` |
//! | `tornadose_connections` (a gauge) | |
//! | `tornadose_submitted_total` | |
//! | `tornadose_delivered_total`, `tornadose_filtered_total` | |
//! | `tornadose_conflated_total` (added when a reader ends) | |
//! | `tornadose_missed_total`, `tornadose_gaps_total` | none, `reason` |
//! | `tornadose_resumes_total` | `outcome` (`pending` too, and then its outcome) |
//! | `tornadose_unreadable_total` (entries of a backend that are not messages) | `channel` |
//!
//! Install the recorder before connections open: a reader takes its counters for what it delivers when it opens, and adds to them
//! once per run of messages, when it comes for the next.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod sync;
mod metrics;
mod id;
mod event;
pub mod backend;
mod message;
mod store;
mod wire;
mod subscriber;
mod handler;
mod server;
mod script;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

pub use crate::event::Event;
pub use crate::event::error::EncodeError;
pub use crate::event::name::EventName;
pub use crate::handler::builder::StreamHandler;
pub use crate::id::{Id, IdError};
pub use crate::message::{Keys, Message, NoKey, Retention};
pub use crate::script::script;
pub use crate::server::bind::listen;
pub use crate::server::handover::{Handover, HandoverAcceptor, HandoverIo};
pub use crate::server::serve::{serve, serve_on, serve_with_shutdown};
pub use crate::store::Store;
pub use crate::store::builder::StoreBuilder;
pub use crate::store::error::SubmitError;
pub use crate::store::gap::GapReason;
pub use crate::store::log::ENTRY_OVERHEAD;
pub use crate::store::subscription::{Received, Subscription};
pub use crate::subscriber::close::{Close, CloseCode, CloseCodeError, ReceiveError};
pub use crate::subscriber::options::{Lag, Options, Origins, Transports};
pub use crate::subscriber::{KeyOf, Subscriber};
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
    pub use crate::store::builder::StoreBuilder;
    pub use crate::subscriber::Subscriber;
    pub use crate::subscriber::close::{Close, CloseCode};
    pub use tornadose_macros::{store, subscriber};
}
