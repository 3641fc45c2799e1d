//! Annotate plain types; get live event streams.

mod event;
mod message;
mod store;
mod wire;
mod subscriber;
mod handler;
mod listen;
mod script;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

pub use crate::event::{EncodeError, Event, EventName};
pub use crate::handler::live::Live;
pub use crate::listen::{listen, serve};
pub use crate::message::{Keys, Message, NoKey, Retention};
pub use crate::script::script;
pub use crate::store::Store;
pub use crate::store::error::SubmitError;
pub use crate::store::id::{Id, IdError};
pub use crate::store::log::OVERHEAD;
pub use crate::store::subscription::{GapReason, Received, Subscription};
pub use crate::subscriber::{Close, KeyOf, Lag, Options, Origins, Refusal, Subscriber, Transports};
#[doc = include_str!("docs/store.md")]
pub use tornadose_macros::store;
#[doc = include_str!("docs/subscriber.md")]
pub use tornadose_macros::subscriber;

/// What most programs import.
pub mod prelude {
    pub use salvo::http::StatusError;
    pub use salvo::{Depot, FlowCtrl, Request, Response, Router, Server, handler};
    pub use serde::{Deserialize, Serialize};

    pub use crate::handler::live::Live;
    pub use crate::message::{Keys, Message};
    pub use crate::store::Store;
    pub use crate::subscriber::{Close, Subscriber};
    pub use tornadose_macros::{store, subscriber};
}
