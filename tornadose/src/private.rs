//! What expansions may name. No logic lives here, and no user writes any of it.

pub use tornadose_macros::{__Store, __Subscriber};

pub use salvo::http::StatusError;
pub use salvo::{Depot, Request};

pub use crate::event::Event;
pub use crate::event::error::EncodeError;
pub use crate::handler::builder::Live;
pub use crate::handler::extract::{Outcome, cookie, depot, depot_named, header, inbound, param, query};
pub use crate::message::{Keys, Message, NoKey, Retention};
pub use crate::store::Store;
pub use crate::subscriber::{KeyOf, Lag, Options, Origins, Refusal, Subscriber, Transports};
