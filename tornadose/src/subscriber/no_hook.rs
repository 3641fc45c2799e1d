//! The hooks `opened` and `closed` of a subscriber that has none. Their futures have no size, by which the handler tells
//! them from a hook.

use std::pin::Pin;
use std::task::{Context, Poll};

use crate::subscriber::close::Close;

/// The future of no `opened` hook.
pub(super) struct NoOpened;

impl Future for NoOpened {
    type Output = Result<(), Close>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Close>> {
        Poll::Ready(Ok(()))
    }
}

/// The future of no `closed` hook.
pub(super) struct NoClosed;

impl Future for NoClosed {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}
