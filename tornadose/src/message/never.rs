//! A condition that never holds, for implementations that never apply.
//!
//! Rustc looks into the bounds of the implementation when a trait has only one that may apply, and reports those. A
//! second implementation keeps it from that, so that it reports the trait.

use std::marker::PhantomData;

use crate::message::Message;

/// No type implements it.
pub trait Unimplemented {
    /// Any message.
    type Message: Message;
}

/// Makes a type of this crate of any type, for which this crate can tell that [`Unimplemented`] is not implemented.
#[derive(Debug)]
pub struct Never<T>(PhantomData<T>);

impl<T> Never<T> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}
