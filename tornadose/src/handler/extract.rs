//! Reads a subscriber's fields off a request, and a WebSocket's texts off the wire.

use std::fmt::Display;

use salvo::http::StatusError;
use salvo::{Depot, Request};
use serde::de::DeserializeOwned;

use crate::subscriber::{Close, Refusal};

/// Stub.
pub fn param<T: DeserializeOwned>(_: &Request, _: &str) -> Result<T, StatusError> {
    Err(StatusError::bad_request())
}
/// Stub.
pub fn query<T: DeserializeOwned>(_: &Request, _: &str) -> Result<T, StatusError> {
    Err(StatusError::bad_request())
}
/// Stub.
pub fn header<T: DeserializeOwned>(_: &Request, _: &str) -> Result<T, StatusError> {
    Err(StatusError::bad_request())
}
/// Stub.
pub fn cookie<T: DeserializeOwned>(_: &Request, _: &str) -> Result<T, StatusError> {
    Err(StatusError::bad_request())
}
/// Stub.
pub fn depot<T: Clone + Send + Sync + 'static>(_: &Depot) -> Result<T, StatusError> {
    Err(StatusError::bad_request())
}
/// Stub.
pub fn depot_named<T: Clone + Send + Sync + 'static>(_: &Depot, _: &str) -> Result<T, StatusError> {
    Err(StatusError::bad_request())
}

/// The value in a text from the client.
///
/// # Errors
///
/// Says to the client what does not fit.
pub fn inbound<T: DeserializeOwned>(text: &str) -> Result<T, Refusal> {
    serde_json::from_str(text).map_err(|error| Refusal::Say(error.to_string()))
}

/// What a `receive` function may return.
#[diagnostic::on_unimplemented(
    message = "a `receive` function returns nothing or a `Result<(), E>` whose error can be displayed, not `{Self}`",
    label = "returns `{Self}`"
)]
pub trait Outcome {
    /// Whether the text was taken.
    ///
    /// # Errors
    ///
    /// Why it was not.
    fn outcome(self) -> Result<(), Refusal>;
}

impl Outcome for () {
    fn outcome(self) -> Result<(), Refusal> {
        Ok(())
    }
}

impl<T, E: Display> Outcome for Result<T, E> {
    fn outcome(self) -> Result<(), Refusal> {
        self.map(drop).map_err(|error| Refusal::Say(error.to_string()))
    }
}

impl<T> Outcome for Result<T, Close> {
    fn outcome(self) -> Result<(), Refusal> {
        self.map(drop).map_err(Refusal::Close)
    }
}
