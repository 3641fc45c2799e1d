//! The signatures of the functions that `#[snapshot]` names. Expansions check a function before they call it, so that
//! rustc reports a wrong one once, in the words of the traits here.
//!
//! Each trait has two implementations with different `How`. Of a trait with one, rustc reports why the function is not
//! the `Fn` of that implementation.

/// The function has the signature.
#[derive(Debug)]
pub enum AsExpected {}

/// Nothing has this type.
#[derive(Debug)]
pub enum Never {}

/// The `apply` of a snapshot with the state `S`, of the message `M`.
#[diagnostic::on_unimplemented(
    message = "`apply` needs a `fn(&mut {S}, &{M})`",
    label = "has another signature",
    note = "it changes the state of the snapshot by one message, and returns nothing"
)]
pub trait ApplyHook<S, M, How>: Sized {
    /// The function itself. Of a wrong function it is unknown, so that rustc reports nothing about the call.
    type Checked;
    /// Returns the function.
    fn checked(self) -> Self::Checked;
}

#[diagnostic::do_not_recommend]
impl<S, M, F: Fn(&mut S, &M)> ApplyHook<S, M, AsExpected> for F {
    type Checked = F;
    fn checked(self) -> F {
        self
    }
}

// No function has this signature, because nothing has the type.
#[diagnostic::do_not_recommend]
impl<S, M, F: Fn(Never)> ApplyHook<S, M, Never> for F {
    type Checked = F;
    fn checked(self) -> F {
        self
    }
}

/// The `init` of a snapshot with the state `S`, of messages with the key `K`.
#[diagnostic::on_unimplemented(message = "`init` needs a `fn(&{K}) -> {S}`", label = "has another signature")]
pub trait InitHook<K, S, How>: Sized {
    /// The function itself. Of a wrong function it is unknown, so that rustc reports nothing about the call.
    type Checked;
    /// Returns the function.
    fn checked(self) -> Self::Checked;
}

#[diagnostic::do_not_recommend]
impl<K, S, F: Fn(&K) -> S> InitHook<K, S, AsExpected> for F {
    type Checked = F;
    fn checked(self) -> F {
        self
    }
}

// No function has this signature, because nothing has the type.
#[diagnostic::do_not_recommend]
impl<K, S, F: Fn(Never) -> S> InitHook<K, S, Never> for F {
    type Checked = F;
    fn checked(self) -> F {
        self
    }
}

/// The type of the state of a snapshot without `init`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no default to begin with",
    label = "does not implement `Default`",
    note = "derive `Default`, or name a function in `#[snapshot(init = ..., apply = ...)]`"
)]
pub trait DefaultState {
    /// Returns the default.
    fn default_state() -> Self;
}

#[diagnostic::do_not_recommend]
impl<T: Default> DefaultState for T {
    fn default_state() -> Self {
        Self::default()
    }
}
