//! A subscriber in our care: whatever ends it, its `Drop`, the disconnect hook, may panic. That is logged, and the goodbye is still
//! said.

use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};

pub(crate) struct Guest<S>(Option<S>);

const UNTIL_DROPPED: &str = "a subscriber is there until its guest is dropped";

impl<S> Guest<S> {
    pub(crate) fn new(subscriber: S) -> Self {
        Self(Some(subscriber))
    }
}

impl<S> Deref for Guest<S> {
    type Target = S;

    #[inline]
    fn deref(&self) -> &S {
        self.0.as_ref().expect(UNTIL_DROPPED)
    }
}

impl<S> DerefMut for Guest<S> {
    #[inline]
    fn deref_mut(&mut self) -> &mut S {
        self.0.as_mut().expect(UNTIL_DROPPED)
    }
}

impl<S> Drop for Guest<S> {
    fn drop(&mut self) {
        let subscriber = self.0.take();
        if catch_unwind(AssertUnwindSafe(|| drop(subscriber))).is_err() {
            tracing::error!(target: "tornadose", "a disconnect hook panicked");
        }
    }
}
