//! A subscriber whose `Drop` may panic. The connection still closes in order after it.

use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Owns a subscriber, and catches and logs a panic of its `Drop`.
pub(crate) struct CatchDrop<S: ?Sized>(Option<Box<S>>);

const UNTIL_DROPPED: &str = "the subscriber is there until this is dropped";

impl<S: ?Sized> CatchDrop<S> {
    pub(crate) fn new(subscriber: Box<S>) -> Self {
        Self(Some(subscriber))
    }

    /// Returns the subscriber, whose `Drop` is not caught any more.
    pub(crate) fn into_inner(mut self) -> Box<S> {
        self.0.take().expect(UNTIL_DROPPED)
    }
}

impl<S: ?Sized> Deref for CatchDrop<S> {
    type Target = S;

    #[inline]
    fn deref(&self) -> &S {
        self.0.as_deref().expect(UNTIL_DROPPED)
    }
}

impl<S: ?Sized> DerefMut for CatchDrop<S> {
    #[inline]
    fn deref_mut(&mut self) -> &mut S {
        self.0.as_deref_mut().expect(UNTIL_DROPPED)
    }
}

impl<S: ?Sized> Drop for CatchDrop<S> {
    fn drop(&mut self) {
        let subscriber = self.0.take();
        if catch_unwind(AssertUnwindSafe(|| drop(subscriber))).is_err() {
            tracing::error!(target: "tornadose", "drop panicked");
        }
    }
}
