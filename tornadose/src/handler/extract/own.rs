//! The fields of a subscriber whose values are the program's own, and no client's. Expansions name these traits, so that
//! rustc reports a type that does not fit once, in their words.

use salvo::http::StatusError;
use salvo::{Depot, Request};

use crate::handler::extract;
use crate::handler::tickets::Ticket;
use crate::message::Message;
use crate::message::never::{Never, Unimplemented};
use crate::store::Store;
use crate::subscriber::connection_id::ConnectionId;

/// The type of a `#[state]` field.
#[diagnostic::on_unimplemented(
    message = "a `#[state]` field begins with its default, and `{Self}` has none",
    label = "does not implement `Default`",
    note = "put `#[derive(Default)]` on `{Self}`, or make the field an `Option`"
)]
pub trait StateField: Sized {
    /// Returns the value at the opening.
    fn initial() -> Self;
}

#[diagnostic::do_not_recommend]
impl<T: Default> StateField for T {
    fn initial() -> Self {
        Self::default()
    }
}

/// The type of a `#[connection]` field.
#[diagnostic::on_unimplemented(
    message = "a `#[connection]` field is a `ConnectionId`, not a `{Self}`",
    label = "expected `tornadose::ConnectionId`"
)]
pub trait ConnectionField: Sized {
    /// Returns the id of a new connection.
    fn fresh() -> Self;
}

#[diagnostic::do_not_recommend]
impl ConnectionField for ConnectionId {
    fn fresh() -> Self {
        Self::fresh()
    }
}

#[diagnostic::do_not_recommend]
impl<T> ConnectionField for Never<T>
where
    Self: Unimplemented,
{
    fn fresh() -> Self {
        Self::new()
    }
}

/// The type of a `#[store_handle]` field of a subscriber to the messages `M`.
#[diagnostic::on_unimplemented(
    message = "a `#[store_handle]` field is the store that the handler serves, a `Store<{M}>`, not a `{Self}`",
    label = "expected `Store<{M}>`"
)]
pub trait StoreField<M>: Sized {
    /// Returns the store that the handler has put into the request.
    ///
    /// # Errors
    ///
    /// 500 when there is none: the request did not come from a `StreamHandler`.
    fn from_handler(request: &Request) -> Result<Self, StatusError>;
}

#[diagnostic::do_not_recommend]
impl<M: Message> StoreField<M> for Store<M> {
    fn from_handler(request: &Request) -> Result<Self, StatusError> {
        request.extensions().get().cloned().ok_or_else(|| {
            StatusError::internal_server_error().brief("a `#[store_handle]` is set by the subscriber's `StreamHandler`")
        })
    }
}

#[diagnostic::do_not_recommend]
impl<M, T> StoreField<M> for Never<T>
where
    Self: Unimplemented,
{
    fn from_handler(_: &Request) -> Result<Self, StatusError> {
        Ok(Self::new())
    }
}

/// The type of a `#[ticket]` field.
#[diagnostic::on_unimplemented(
    message = "a `#[ticket]` field is cloned out of the ticket, and `{Self}` cannot be cloned",
    label = "not `Clone`",
    note = "put `#[derive(Clone)]` on `{Self}`"
)]
pub trait TicketField: Sized {
    /// Returns the value of the ticket that the handler has verified.
    ///
    /// # Errors
    ///
    /// 500 when there is none of this type: the handler was not given tickets of it.
    fn from_ticket(request: &Request) -> Result<Self, StatusError>;
}

#[diagnostic::do_not_recommend]
impl<T: Clone + Send + Sync + 'static> TicketField for T {
    fn from_ticket(request: &Request) -> Result<Self, StatusError> {
        if let Some(Ticket(value)) = request.extensions().get::<Ticket<T>>() {
            return Ok(value.clone());
        }
        let type_name = std::any::type_name::<T>();
        tracing::warn!(target: "tornadose", type_name, "ticket value missing");
        let message = format!("the handler has no `.tickets(…)` of the type `{type_name}`");
        Err(StatusError::internal_server_error().brief(message))
    }
}

/// The type of a field of a value in the depot.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be cloned out of the depot",
    label = "not `Clone`",
    note = "put `#[derive(Clone)]` on `{Self}`, or keep the value in an `Arc`"
)]
pub trait DepotField: Sized {
    /// Clones the value.
    #[must_use]
    fn clone_out(&self) -> Self;
}

#[diagnostic::do_not_recommend]
impl<T: Clone> DepotField for T {
    fn clone_out(&self) -> Self {
        self.clone()
    }
}

/// The type of a field of a value in the depot, which is the type `T` of the subscriber's field.
#[diagnostic::on_unimplemented(
    message = "the value in the depot has a `{Self}` there, and this field is a `{T}`",
    label = "is a `{Self}`"
)]
pub trait SameType<T> {
    /// Returns the value.
    fn same(self) -> T;
}

#[diagnostic::do_not_recommend]
impl<T> SameType<T> for T {
    fn same(self) -> T {
        self
    }
}

#[diagnostic::do_not_recommend]
impl<T> SameType<T> for Never<T>
where
    Self: Unimplemented,
{
    fn same(self) -> T {
        unreachable!("no value has this type")
    }
}

/// See `extract::depot_ref`.
///
/// # Errors
///
/// Those of the function.
pub fn depot_value<T: Send + Sync + 'static>(depot: &Depot) -> Result<&T, StatusError> {
    extract::depot_ref(depot)
}
