//! The signature of the hook `watch` that `#[subscriber]` names, as [`hooks`](crate::subscriber::hooks) has those of the
//! others.

use std::fmt::Display;

use crate::subscriber::hooks::{ByMut, ByRef};

/// A `watch` hook of the subscriber `S` for the message `M` of the store `Of`, whose key is `K`.
#[diagnostic::on_unimplemented(
    message = "`watch` needs an `async fn(&mut self, &{K}, &Store<{M}>) -> Result<(), E>`",
    label = "has another signature",
    note = "it may also take `&self`; `E` implements `Display`, and is sent to the client"
)]
pub trait WatchHook<S, M, Of, K, How>: Sized {
    /// The function itself. Of a wrong function it is unknown, so that rustc reports nothing about the call.
    type Checked;
    /// Returns the function.
    fn checked(self) -> Self::Checked;
}

#[diagnostic::do_not_recommend]
impl<S, M, Of, K, R, F: AsyncFn(&S, &K, &Of) -> R> WatchHook<S, M, Of, K, ByRef> for F {
    type Checked = F;
    fn checked(self) -> F {
        self
    }
}

#[diagnostic::do_not_recommend]
impl<S, M, Of, K, R, F: AsyncFn(&mut S, &K, &Of) -> R> WatchHook<S, M, Of, K, ByMut> for F {
    type Checked = F;
    fn checked(self) -> F {
        self
    }
}

/// What a `watch` hook returns.
#[diagnostic::on_unimplemented(
    message = "a `watch` hook cannot return `{Self}`",
    label = "returns `{Self}`",
    note = "return `Result<(), E>`, whose error implements `Display` and refuses the key"
)]
pub trait WatchResult {
    /// Returns the result of the hook, with the reason of a refusal.
    ///
    /// # Errors
    ///
    /// That of the hook.
    fn into_result(self) -> Result<(), String>;
}

#[diagnostic::do_not_recommend]
impl<E: Display> WatchResult for Result<(), E> {
    fn into_result(self) -> Result<(), String> {
        self.map_err(|error| error.to_string())
    }
}

// No hook returns this. With a second implementation rustc does not report why the first one does not apply.
#[diagnostic::do_not_recommend]
impl WatchResult for ByMut {
    fn into_result(self) -> Result<(), String> {
        match self {}
    }
}
