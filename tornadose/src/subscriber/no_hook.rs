//! The hooks `load`, `opened`, `closed` and `watch` of a subscriber that has none. Their futures have no size, by which the
//! handler tells them from a hook.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::subscriber::close::Close;

/// The future of no `load` hook.
pub(super) struct NoLoad<M, E>(PhantomData<fn() -> (M, E)>);

impl<M, E> NoLoad<M, E> {
    pub(super) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<M, E> Future for NoLoad<M, E> {
    type Output = Result<Vec<M>, E>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(Vec::new()))
    }
}

/// The future of no `opened` hook.
pub(super) struct NoOpened;

impl Future for NoOpened {
    type Output = Result<(), Close>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Close>> {
        Poll::Ready(Ok(()))
    }
}

/// The future of no `watch` hook.
pub(super) struct NoWatch;

impl Future for NoWatch {
    type Output = Result<(), String>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), String>> {
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
