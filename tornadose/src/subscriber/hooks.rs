//! The signatures of the hooks that `#[subscriber]` names. Expansions check a hook before they call it, so that rustc
//! reports a wrong one once, in the words of the traits here.
//!
//! Each trait has two implementations with different `How`. Of a trait with one, rustc reports why the function is not
//! the `Fn` of that implementation.

use crate::subscriber::StatusError;

/// The hook takes the subscriber by `&self`.
#[derive(Debug)]
pub enum ByRef {}

/// The hook takes the subscriber by `&mut self`.
#[derive(Debug)]
pub enum ByMut {}

/// An `authorize` hook of the subscriber `S`.
#[diagnostic::on_unimplemented(
    message = "`authorize` needs an `async fn(&self) -> Result<(), StatusError>`",
    label = "has another signature",
    note = "it may also take `&mut self`"
)]
pub trait AuthorizeHook<S, How>: Sized {
    /// The function itself. Of a wrong function it is unknown, so that rustc reports nothing about the call.
    type Checked;
    /// Returns the function.
    fn checked(self) -> Self::Checked;
}

#[diagnostic::do_not_recommend]
impl<S, F: AsyncFn(&S) -> Result<(), StatusError>> AuthorizeHook<S, ByRef> for F {
    type Checked = F;
    fn checked(self) -> F {
        self
    }
}

#[diagnostic::do_not_recommend]
impl<S, F: AsyncFn(&mut S) -> Result<(), StatusError>> AuthorizeHook<S, ByMut> for F {
    type Checked = F;
    fn checked(self) -> F {
        self
    }
}

/// A `filter` hook of the subscriber `S` for the message `M`.
#[diagnostic::on_unimplemented(message = "`filter` needs a `fn(&self, &{M}) -> bool`", label = "has another signature")]
pub trait FilterHook<S, M, How>: Sized {
    /// The function itself. Of a wrong function it is unknown, so that rustc reports nothing about the call.
    type Checked;
    /// Returns the function.
    fn checked(self) -> Self::Checked;
}

#[diagnostic::do_not_recommend]
impl<S, M, F: Fn(&S, &M) -> bool> FilterHook<S, M, ByRef> for F {
    type Checked = F;
    fn checked(self) -> F {
        self
    }
}

// No hook has this signature, because nothing has the type `ByMut`.
#[diagnostic::do_not_recommend]
impl<S, M, F: Fn(ByMut) -> bool> FilterHook<S, M, ByMut> for F {
    type Checked = F;
    fn checked(self) -> F {
        self
    }
}

/// A `receive` hook of the subscriber `S` for the message `M` of the store `Of`. It takes a `T`.
#[diagnostic::on_unimplemented(
    message = "`receive` needs an `async fn(&mut self, T, &Store<{M}>)`",
    label = "has another signature",
    note = "`T` implements `Deserialize`; the function may return a `Result<(), E>`"
)]
pub trait ReceiveHook<S, M, Of, T, How>: Sized {
    /// The function itself. Of a wrong function it is unknown, so that rustc reports nothing about the call.
    type Checked;
    /// Returns the function.
    fn checked(self) -> Self::Checked;
}

#[diagnostic::do_not_recommend]
impl<S, M, Of, T, R, F: AsyncFn(&S, T, &Of) -> R> ReceiveHook<S, M, Of, T, ByRef> for F {
    type Checked = F;
    fn checked(self) -> F {
        self
    }
}

#[diagnostic::do_not_recommend]
impl<S, M, Of, T, R, F: AsyncFn(&mut S, T, &Of) -> R> ReceiveHook<S, M, Of, T, ByMut> for F {
    type Checked = F;
    fn checked(self) -> F {
        self
    }
}
