//! The types of the fields of a subscriber, and what a `receive` hook takes and returns. Expansions name these traits, so
//! that rustc reports a type that does not fit once, in their words.

use std::fmt::Display;

use salvo::http::StatusError;
use salvo::{Depot, Request};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::handler::extract;
use crate::subscriber::close::{Close, ReceiveError};
use crate::subscriber::hooks::NoText;
use crate::subscriber::reply::Reply;

/// The type of a field that is read from the request. Every type that implements `Deserialize` is one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from a request: it does not implement `Deserialize`",
    label = "does not implement `Deserialize`",
    note = "put `#[derive(Deserialize)]` on your type, or read one that implements it and convert it in `authorize`"
)]
pub trait FromText: Sized {
    /// See `extract::param`.
    ///
    /// # Errors
    ///
    /// Those of the function.
    fn from_param(request: &Request, name: &str) -> Result<Self, StatusError>;
    /// See `extract::query`.
    ///
    /// # Errors
    ///
    /// Those of the function.
    fn from_query(request: &Request, name: &str) -> Result<Self, StatusError>;
    /// See `extract::split_query`.
    ///
    /// # Errors
    ///
    /// Those of the function.
    fn from_split_query(request: &Request, name: &str, separator: &str) -> Result<Self, StatusError>;
    /// See `extract::query_or_empty`.
    ///
    /// # Errors
    ///
    /// Those of the function.
    fn from_query_or_empty(request: &Request, name: &str) -> Result<Self, StatusError>;
    /// See `extract::split_query_or_empty`.
    ///
    /// # Errors
    ///
    /// Those of the function.
    fn from_split_query_or_empty(request: &Request, name: &str, separator: &str) -> Result<Self, StatusError>;
    /// See `extract::header`.
    ///
    /// # Errors
    ///
    /// Those of the function.
    fn from_header(request: &Request, name: &str) -> Result<Self, StatusError>;
    /// See `extract::cookie`.
    ///
    /// # Errors
    ///
    /// Those of the function.
    fn from_cookie(request: &Request, name: &str) -> Result<Self, StatusError>;
}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned> FromText for T {
    fn from_param(request: &Request, name: &str) -> Result<Self, StatusError> {
        extract::param(request, name)
    }
    fn from_query(request: &Request, name: &str) -> Result<Self, StatusError> {
        extract::query(request, name)
    }
    fn from_split_query(request: &Request, name: &str, separator: &str) -> Result<Self, StatusError> {
        extract::split_query(request, name, separator)
    }
    fn from_query_or_empty(request: &Request, name: &str) -> Result<Self, StatusError> {
        extract::query_or_empty(request, name)
    }
    fn from_split_query_or_empty(request: &Request, name: &str, separator: &str) -> Result<Self, StatusError> {
        extract::split_query_or_empty(request, name, separator)
    }
    fn from_header(request: &Request, name: &str) -> Result<Self, StatusError> {
        extract::header(request, name)
    }
    fn from_cookie(request: &Request, name: &str) -> Result<Self, StatusError> {
        extract::cookie(request, name)
    }
}

/// The type of a field that is cloned out of the depot.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be cloned out of the depot",
    label = "not `Clone + Send + Sync`",
    note = "put `#[derive(Clone)]` on `{Self}`, or keep the value in an `Arc`"
)]
pub trait FromDepot: Sized {
    /// See `extract::depot`.
    ///
    /// # Errors
    ///
    /// Those of the function.
    fn from_depot(depot: &Depot) -> Result<Self, StatusError>;
    /// See `extract::depot_named`.
    ///
    /// # Errors
    ///
    /// Those of the function.
    fn from_depot_named(depot: &Depot, name: &str) -> Result<Self, StatusError>;
}

#[diagnostic::do_not_recommend]
impl<T: Clone + Send + Sync + 'static> FromDepot for T {
    fn from_depot(depot: &Depot) -> Result<Self, StatusError> {
        extract::depot(depot)
    }
    fn from_depot_named(depot: &Depot, name: &str) -> Result<Self, StatusError> {
        extract::depot_named(depot, name)
    }
}

/// The type that a `receive` hook takes. Every type that implements `Deserialize` and borrows nothing is one.
#[diagnostic::on_unimplemented(
    message = "a `receive` hook cannot take a `{Self}`: it is not read from JSON",
    label = "takes a `{Self}`",
    note = "put `#[derive(Deserialize)]` on `{Self}`"
)]
pub trait FromJson<Text>: Sized {
    /// See `extract::parse_text`.
    ///
    /// # Errors
    ///
    /// Those of the function.
    fn from_json(text: Text) -> Result<Self, ReceiveError>;
}

#[diagnostic::do_not_recommend]
impl<T: for<'text> TakeAnOwnedType<'text>> FromJson<&str> for T {
    fn from_json(text: &str) -> Result<Self, ReceiveError> {
        T::from_text(text)
    }
}

/// A type that is read from any text and borrows nothing of it.
///
/// Of a type with a lifetime, like `Say<'_>`, rustc reports that the implementation of this trait "is not general
/// enough". It has no words of ours for that but the name of the trait.
pub trait TakeAnOwnedType<'text>: Sized {
    /// See `extract::parse_text`.
    ///
    /// # Errors
    ///
    /// Those of the function.
    fn from_text(text: &'text str) -> Result<Self, ReceiveError>;
}

#[diagnostic::do_not_recommend]
impl<'text, T: Deserialize<'text>> TakeAnOwnedType<'text> for T {
    fn from_text(text: &'text str) -> Result<Self, ReceiveError> {
        extract::parse_text(text)
    }
}

/// Keeps rustc from reporting a reference again.
#[diagnostic::do_not_recommend]
impl<T: ?Sized> FromJson<NoText> for &T {
    fn from_json(_: NoText) -> Result<Self, ReceiveError> {
        Err(ReceiveError::Report(String::new()))
    }
}

/// The result of a `receive` hook. An expansion calls `into_received` on it: of a `Result` that is the method here,
/// of any other value the method of [`ReturnedValue`], because rustc prefers inherent methods. The bounds are on the
/// methods, so that a type that does not meet them is reported, and not treated as the other kind.
#[derive(Debug)]
pub struct Returned<R>(pub R);

impl<T, E> Returned<Result<T, E>> {
    /// Returns the reply, or the error.
    ///
    /// # Errors
    ///
    /// That of the hook: a [`Close`] ends the connection, any other is reported to the client.
    pub fn into_received(self) -> Result<Option<Reply>, ReceiveError>
    where
        T: IntoReply,
        E: IntoReceiveError,
    {
        self.0.map(|value| Some(value.into_reply())).map_err(E::into_receive_error)
    }
}

/// See [`Returned`].
pub trait ReturnedValue<T>: Sized {
    /// Returns the reply.
    ///
    /// # Errors
    ///
    /// None. The type is that of a hook that returns a `Result`.
    fn into_received(self) -> Result<Option<Reply>, ReceiveError>
    where
        T: IntoReply;
}

impl<T> ReturnedValue<T> for Returned<T> {
    fn into_received(self) -> Result<Option<Reply>, ReceiveError>
    where
        T: IntoReply,
    {
        Ok(Some(self.0.into_reply()))
    }
}

/// A value that a `receive` hook returns. Every type that implements `Serialize` is one.
#[diagnostic::on_unimplemented(
    message = "a `receive` hook cannot return a `{Self}`: it does not implement `Serialize`",
    label = "returns a `{Self}`",
    note = "put `#[derive(Serialize)]` on `{Self}`: it is the reply to a client that asked"
)]
pub trait IntoReply {
    /// Encodes the value.
    fn into_reply(self) -> Reply;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize> IntoReply for T {
    fn into_reply(self) -> Reply {
        Reply::new(&self)
    }
}

/// An error of a `receive` hook: a [`Close`], or a type that implements `Display`.
#[diagnostic::on_unimplemented(
    message = "a `receive` hook cannot return the error `{Self}`",
    label = "returns the error `{Self}`",
    note = "return a `Close`, which ends the connection, or an error that implements `Display`, which the client receives"
)]
pub trait IntoReceiveError {
    /// Converts the error.
    fn into_receive_error(self) -> ReceiveError;
}

#[diagnostic::do_not_recommend]
impl<E: Display> IntoReceiveError for E {
    fn into_receive_error(self) -> ReceiveError {
        ReceiveError::Report(self.to_string())
    }
}

#[diagnostic::do_not_recommend]
impl IntoReceiveError for Close {
    fn into_receive_error(self) -> ReceiveError {
        ReceiveError::Close(self)
    }
}

#[cfg(test)]
mod tests {
    use super::{Returned, ReturnedValue};
    use crate::subscriber::close::{Close, CloseCode, ReceiveError};
    use crate::subscriber::reply::Reply;

    #[test]
    fn a_value_is_the_reply() {
        assert_eq!(Returned(()).into_received(), Ok(Some(Reply::new(&()))));
        assert_eq!(Returned(Some(7)).into_received(), Ok(Some(Reply::new(&7))));
    }

    #[test]
    fn the_value_of_a_result_is_the_reply() {
        assert_eq!(Returned(Ok::<_, String>(())).into_received(), Ok(Some(Reply::new(&()))));
        assert_eq!(Returned(Ok::<_, String>(7)).into_received(), Ok(Some(Reply::new(&7))));
    }

    #[test]
    fn an_error_that_is_a_close_ends_the_connection() {
        let close = Close::new(CloseCode::literal::<4003>(), "muted");
        assert_eq!(Returned(Err::<(), _>("not now")).into_received(), Err(ReceiveError::Report("not now".into())));
        assert_eq!(Returned(Err::<(), _>(close.clone())).into_received(), Err(ReceiveError::Close(close)));
    }
}
