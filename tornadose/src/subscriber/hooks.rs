//! The signatures of the hooks that `#[subscriber]` names. Expansions check a hook before they call it, so that rustc
//! reports a wrong one once, in the words of the traits here.
//!
//! Each trait has two implementations with different `How`. Of a trait with one, rustc reports why the function is not
//! the `Fn` of that implementation.

use std::marker::PhantomData;

use crate::subscriber::StatusError;
use crate::subscriber::close::Close;

/// The hook takes the subscriber by `&self`.
#[derive(Debug)]
pub enum ByRef {}

/// The hook takes the subscriber by `&mut self`.
#[derive(Debug)]
pub enum ByMut {}

/// The hook takes the subscriber by value.
#[derive(Debug)]
pub enum ByValue {}

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
    note = "`T` implements `Deserialize`; the function may return a reply, or a `Result` of one"
)]
pub trait ReceiveHook<S, M, Of, T, How>: Sized {
    /// The function itself. Of a wrong function it is unknown, so that rustc reports nothing about the call.
    type Checked;
    /// The `T`. Of a wrong function it is unknown too.
    type Argument;
    /// Returns the function and its argument.
    fn checked(self) -> (Self::Checked, Self::Argument);
}

#[diagnostic::do_not_recommend]
impl<S, M, Of, T, R, F: AsyncFn(&S, T, &Of) -> R> ReceiveHook<S, M, Of, T, ByRef> for F {
    type Checked = F;
    type Argument = TextArgument<T>;
    fn checked(self) -> (F, TextArgument<T>) {
        (self, TextArgument::new())
    }
}

#[diagnostic::do_not_recommend]
impl<S, M, Of, T, R, F: AsyncFn(&mut S, T, &Of) -> R> ReceiveHook<S, M, Of, T, ByMut> for F {
    type Checked = F;
    type Argument = TextArgument<T>;
    fn checked(self) -> (F, TextArgument<T>) {
        (self, TextArgument::new())
    }
}

/// A `load` hook of the subscriber `S` for the message `M` of the store `Of`.
#[diagnostic::on_unimplemented(
    message = "`load` needs an `async fn(&self, &Store<{M}>) -> Result<Vec<{M}>, StatusError>`",
    label = "has another signature",
    note = "it may return any `IntoIterator` of messages instead of a `Vec`"
)]
pub trait LoadHook<S, M, Of, How>: Sized {
    /// The function itself. Of a wrong function it is unknown, so that rustc reports nothing about the call.
    type Checked;
    /// Returns the function.
    fn checked(self) -> Self::Checked;
}

#[diagnostic::do_not_recommend]
impl<S, M, Of, R, F: AsyncFn(&S, &Of) -> R> LoadHook<S, M, Of, ByRef> for F {
    type Checked = F;
    fn checked(self) -> F {
        self
    }
}

// No hook has this signature, because nothing has the type `ByMut`.
#[diagnostic::do_not_recommend]
impl<S, M, Of, F: AsyncFn(ByMut)> LoadHook<S, M, Of, ByMut> for F {
    type Checked = F;
    fn checked(self) -> F {
        self
    }
}

/// A `load` hook of the subscriber `S`, whose client can watch keys, for the message `M` of the store `Of`, whose key is
/// `K`.
#[diagnostic::on_unimplemented(
    message = "`load` beside `watch` needs an `async fn(&self, &[{K}], &Store<{M}>) -> Result<Vec<{M}>, StatusError>`",
    label = "has another signature",
    note = "it loads the keys that it is given; it may return any `IntoIterator` of messages instead of a `Vec`"
)]
pub trait LoadKeysHook<S, M, Of, K, How>: Sized {
    /// The function itself. Of a wrong function it is unknown, so that rustc reports nothing about the call.
    type Checked;
    /// Returns the function.
    fn checked(self) -> Self::Checked;
}

#[diagnostic::do_not_recommend]
impl<S, M, Of, K, R, F: AsyncFn(&S, &[K], &Of) -> R> LoadKeysHook<S, M, Of, K, ByRef> for F {
    type Checked = F;
    fn checked(self) -> F {
        self
    }
}

// No hook has this signature, because nothing has the type `ByMut`.
#[diagnostic::do_not_recommend]
impl<S, M, Of, K, F: AsyncFn(ByMut)> LoadKeysHook<S, M, Of, K, ByMut> for F {
    type Checked = F;
    fn checked(self) -> F {
        self
    }
}

/// The result of a `load` hook for the message `M`.
#[diagnostic::on_unimplemented(
    message = "a `load` hook cannot return `{Self}`",
    label = "returns `{Self}`",
    note = "return `Result<Vec<{M}>, StatusError>`, or any `IntoIterator` of `{M}` instead of the `Vec`"
)]
pub trait LoadResult<M> {
    /// Returns the messages.
    ///
    /// # Errors
    ///
    /// That of the hook.
    fn into_messages(self) -> Result<Vec<M>, StatusError>;
}

#[diagnostic::do_not_recommend]
impl<M, I: IntoIterator<Item = M>> LoadResult<M> for Result<I, StatusError> {
    fn into_messages(self) -> Result<Vec<M>, StatusError> {
        self.map(|messages| messages.into_iter().collect())
    }
}

// No hook returns this. With a second implementation rustc does not report why the first one does not apply.
#[diagnostic::do_not_recommend]
impl<M> LoadResult<M> for ByMut {
    fn into_messages(self) -> Result<Vec<M>, StatusError> {
        match self {}
    }
}

/// An `opened` hook of the subscriber `S` for the message `M` of the store `Of`.
#[diagnostic::on_unimplemented(
    message = "`opened` needs an `async fn(&mut self, &Store<{M}>) -> Result<(), Close>`",
    label = "has another signature",
    note = "it may also take `&self`, and return nothing"
)]
pub trait OpenedHook<S, M, Of, How>: Sized {
    /// The function itself. Of a wrong function it is unknown, so that rustc reports nothing about the call.
    type Checked;
    /// Returns the function.
    fn checked(self) -> Self::Checked;
}

#[diagnostic::do_not_recommend]
impl<S, M, Of, R, F: AsyncFn(&S, &Of) -> R> OpenedHook<S, M, Of, ByRef> for F {
    type Checked = F;
    fn checked(self) -> F {
        self
    }
}

#[diagnostic::do_not_recommend]
impl<S, M, Of, R, F: AsyncFn(&mut S, &Of) -> R> OpenedHook<S, M, Of, ByMut> for F {
    type Checked = F;
    fn checked(self) -> F {
        self
    }
}

/// What an `opened` hook returns.
#[diagnostic::on_unimplemented(
    message = "an `opened` hook cannot return `{Self}`",
    label = "returns `{Self}`",
    note = "return `Result<(), Close>`, whose error refuses the connection, or nothing"
)]
pub trait OpenedResult {
    /// Returns the result of the hook.
    ///
    /// # Errors
    ///
    /// That of the hook.
    fn into_result(self) -> Result<(), Close>;
}

#[diagnostic::do_not_recommend]
impl OpenedResult for () {
    fn into_result(self) -> Result<(), Close> {
        Ok(())
    }
}

#[diagnostic::do_not_recommend]
impl OpenedResult for Result<(), Close> {
    fn into_result(self) -> Self {
        self
    }
}

/// A `closed` hook of the subscriber `S` for the message `M` of the store `Of`.
#[diagnostic::on_unimplemented(
    message = "`closed` needs an `async fn(self, &Store<{M}>)`",
    label = "has another signature",
    note = "it takes the subscriber by value, which ends with it, and returns nothing"
)]
pub trait ClosedHook<S, M, Of, How>: Sized {
    /// The function itself. Of a wrong function it is unknown, so that rustc reports nothing about the call.
    type Checked;
    /// Returns the function.
    fn checked(self) -> Self::Checked;
}

#[diagnostic::do_not_recommend]
impl<S, M, Of, F: AsyncFn(S, &Of)> ClosedHook<S, M, Of, ByValue> for F {
    type Checked = F;
    fn checked(self) -> F {
        self
    }
}

// No hook has this signature, because nothing has the type `ByMut`.
#[diagnostic::do_not_recommend]
impl<S, M, Of, F: AsyncFn(ByMut)> ClosedHook<S, M, Of, ByMut> for F {
    type Checked = F;
    fn checked(self) -> F {
        self
    }
}

/// The `T` that a `receive` hook takes. The trait [`TextOf`] gives it the text to read.
#[derive(Debug)]
pub struct TextArgument<T>(PhantomData<fn() -> T>);

impl<T> TextArgument<T> {
    fn new() -> Self {
        Self(PhantomData)
    }
}

impl<'a, T: ?Sized> TextArgument<&'a T> {
    /// Takes the place of [`TextOf::of`] where the hook takes a reference, to report it.
    #[must_use]
    #[expect(clippy::unused_self, reason = "it is called as the trait's method")]
    pub fn of(self, _: &str) -> NoText
    where
        &'a T: OwnedValue,
    {
        NoText
    }
}

/// The text that a `receive` hook's argument is read from.
pub trait TextOf {
    /// Returns the text.
    fn of(self, text: &str) -> &str;
}

impl<T> TextOf for TextArgument<T> {
    fn of(self, text: &str) -> &str {
        text
    }
}

/// Takes the place of the text for a hook that takes a reference, which has been reported.
#[derive(Debug)]
pub struct NoText;

/// A type that is not a reference. No type implements it, because only references are checked. The type of a generic
/// hook is not known, and may be one: rustc shows it as `&_`.
#[diagnostic::on_unimplemented(
    message = "a `receive` hook takes an owned type, neither a reference nor a generic one",
    label = "takes a reference or a generic type",
    note = "write the type itself: `String` instead of `&str` or `impl Into<String>`"
)]
pub trait OwnedValue {}
