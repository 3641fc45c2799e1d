//! The types of the fields of a subscriber, and what a `receive` hook takes and returns. Expansions name these traits, so
//! that rustc reports a type that does not fit once, in their words.

use std::fmt::Display;

use salvo::http::StatusError;
use salvo::{Depot, Request};
use serde::de::DeserializeOwned;

use crate::handler::extract;
use crate::subscriber::close::{Close, ReceiveError};
use crate::subscriber::hooks::NoText;

/// The type of a field that is read from the request. Every type that implements `Deserialize` is one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from a request: it does not implement `Deserialize`",
    label = "does not implement `Deserialize`",
    note = "put `#[derive(Deserialize)]` on your type, or read one that implements it and convert it in `authorize`"
)]
pub trait FromText: Sized {
    /// See [`extract::param`].
    ///
    /// # Errors
    ///
    /// Those of the function.
    fn from_param(request: &Request, name: &str) -> Result<Self, StatusError>;
    /// See [`extract::query`].
    ///
    /// # Errors
    ///
    /// Those of the function.
    fn from_query(request: &Request, name: &str) -> Result<Self, StatusError>;
    /// See [`extract::split_query`].
    ///
    /// # Errors
    ///
    /// Those of the function.
    fn from_split_query(request: &Request, name: &str, separator: &str) -> Result<Self, StatusError>;
    /// See [`extract::header`].
    ///
    /// # Errors
    ///
    /// Those of the function.
    fn from_header(request: &Request, name: &str) -> Result<Self, StatusError>;
    /// See [`extract::cookie`].
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
    /// See [`extract::depot`].
    ///
    /// # Errors
    ///
    /// Those of the function.
    fn from_depot(depot: &Depot) -> Result<Self, StatusError>;
    /// See [`extract::depot_named`].
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
    /// See [`extract::parse_text`].
    ///
    /// # Errors
    ///
    /// Those of the function.
    fn from_json(text: Text) -> Result<Self, ReceiveError>;
}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned> FromJson<&str> for T {
    fn from_json(text: &str) -> Result<Self, ReceiveError> {
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

/// A return type of a `receive` hook.
///
/// A `Result` with a value is not one: nothing would send the value.
#[diagnostic::on_unimplemented(
    message = "a `receive` hook cannot return `{Self}`",
    label = "returns `{Self}`",
    note = "return `()` or `Result<(), E>`, where `E` is `Close` or implements `Display`",
    note = "a value is not sent to the client: submit it to the store"
)]
pub trait IntoReceiveResult {
    /// Converts the returned value.
    ///
    /// # Errors
    ///
    /// An error of the hook: a [`Close`] ends the connection, any other is reported to the client.
    fn into_receive_result(self) -> Result<(), ReceiveError>;
}

#[diagnostic::do_not_recommend]
impl IntoReceiveResult for () {
    fn into_receive_result(self) -> Result<(), ReceiveError> {
        Ok(())
    }
}

#[diagnostic::do_not_recommend]
impl<E: Display> IntoReceiveResult for Result<(), E> {
    fn into_receive_result(self) -> Result<(), ReceiveError> {
        self.map_err(|error| ReceiveError::Report(error.to_string()))
    }
}

#[diagnostic::do_not_recommend]
impl IntoReceiveResult for Result<(), Close> {
    fn into_receive_result(self) -> Result<(), ReceiveError> {
        self.map_err(ReceiveError::Close)
    }
}

#[cfg(test)]
mod tests {
    use super::IntoReceiveResult;
    use crate::subscriber::close::{Close, CloseCode, ReceiveError};

    #[test]
    fn an_error_that_is_a_close_ends_the_connection() {
        let close = Close::new(CloseCode::literal::<4003>(), "muted");
        assert_eq!(().into_receive_result(), Ok(()));
        assert_eq!(Ok::<(), String>(()).into_receive_result(), Ok(()));
        assert_eq!(Err::<(), _>("not now").into_receive_result(), Err(ReceiveError::Report("not now".into())));
        assert_eq!(Err::<(), _>(close.clone()).into_receive_result(), Err(ReceiveError::Close(close)));
    }
}
