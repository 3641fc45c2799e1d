//! The items that expansions name. Users do not write them.

pub use tornadose_macros::{__Store, __Subscriber};

pub use salvo::http::StatusError;
pub use salvo::{Depot, Request};
pub use serde::ser::SerializeStruct;
pub use serde::{Serialize, Serializer};

pub use std::string::String;
pub use std::vec::Vec;

pub use crate::event::Event;
pub use crate::event::encode::EncodeMessage;
pub use crate::event::error::EncodeError;
pub use crate::handler::builder::StreamHandler;
pub use crate::handler::extract::own::{
    ConnectionField, DepotField, SameType, StateField, StoreField, TicketField, depot_value,
};
pub use crate::handler::extract::value::{FromDepot, FromJson, FromText, Returned, ReturnedValue, TakeAnOwnedType};
pub use crate::message::checked::AfterCheck;
pub use crate::message::key_field::{KeyField, KeyPart, NotSerialized, TombstoneSlot, VariantKey};
pub use crate::message::key_names::{KeyNames, NamedKey, NamesOf, UnknownNames};
pub use crate::message::key_values::{KeyValue, UnreadableValue};
pub use crate::message::slot::{Slotted, slot_json};
pub use crate::message::snapshot::{SnapshotRole, SnapshotRules};
pub use crate::message::snapshot_hooks::{ApplyHook, DefaultState, InitHook};
pub use crate::message::threads::ThreadSafe;
pub use crate::message::tombstone::Tombstone;
pub use crate::message::{Finish, Keys, Message, NoKey, Retention};
pub use crate::store::Store;
pub use crate::subscriber::checks::{
    KeyList, ListedKey, MatchingKey, MatchingListKey, MessageKey, MessageOf, NoKeyNeeded, StoreOf, StoredMessage,
};
pub use crate::subscriber::close::{Close, ReceiveError};
pub use crate::subscriber::hooks::{
    AuthorizeHook, ClosedHook, FilterHook, LoadHook, LoadKeysHook, LoadResult, OpenedHook, OpenedResult, OwnedValue,
    ReceiveHook, TextOf,
};
pub use crate::subscriber::options::{Lag, Options, Origins, Snapshots, Transports};
pub use crate::subscriber::parse_key::{OtherParser, ParseKey, ParserOf};
pub use crate::subscriber::reply::Reply;
pub use crate::subscriber::watch::{WatchHook, WatchResult};
pub use crate::subscriber::{KeyOf, Subscriber};

#[cfg(feature = "schema")]
pub use crate::schema::events::{DescribeEvents, EventNames};
#[cfg(feature = "schema")]
pub use crate::schema::fields::{FieldSchema, UnknownField, any_of, any_schema, fields_schema};
#[cfg(feature = "schema")]
pub use crate::schema::message::{EventSchema, MessageSchema};
#[cfg(feature = "schema")]
pub use crate::schema::parameter::Parameter;
#[cfg(feature = "schema")]
pub use crate::schema::subscriber::{SubscriberSchema, TextSchemas, expect_described};
#[cfg(feature = "schema")]
pub use crate::schema::texts::{ReceiveTypes, ReturnedText, ReturnedType, TakenType};
#[cfg(feature = "schema")]
pub use schemars::{Schema, SchemaGenerator};

/// Makes `Self::filter` ambiguous for a struct without such a function, so that it is not the method of
/// [`Subscriber`] that the expansion is implementing. A function of the struct takes precedence.
pub trait TheStructHasNoSuchFunction {
    /// Never called.
    fn authorize(&self) {}
    /// Never called.
    fn filter(&self) {}
    /// Never called.
    fn receive(&self) {}
    /// Never called.
    fn load(&self) {}
    /// Never called.
    fn load_keys(&self) {}
    /// Never called.
    fn opened(&self) {}
    /// Never called.
    fn closed(&self) {}
    /// Never called.
    fn watch(&self) {}
}

impl<T: Subscriber> TheStructHasNoSuchFunction for T {}
