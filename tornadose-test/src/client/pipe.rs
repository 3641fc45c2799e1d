//! The client's end of a connection, with a valve: where a slow or a vanished client is made, and later faults.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

pub(crate) struct Pipe {
    stream: DuplexStream,
    valve: Valve,
}

/// Stops and lets go what flows through a [`Pipe`].
#[derive(Clone, Default)]
pub(crate) struct Valve {
    flow: Arc<Mutex<Flow>>,
}

#[derive(Default)]
struct Flow {
    unread: bool,
    unwritten: bool,
    waiting: Vec<Waker>,
}

impl Pipe {
    pub(crate) fn new(stream: DuplexStream, valve: Valve) -> Self {
        Self { stream, valve }
    }
}

impl Valve {
    /// The client reads no more, what it writes still goes out.
    pub(crate) fn stall(&self) {
        self.set(true, false);
    }

    pub(crate) fn resume(&self) {
        self.set(false, false);
    }

    /// Nothing goes in or out, and nobody is told.
    pub(crate) fn vanish(&self) {
        self.set(true, true);
    }

    fn set(&self, unread: bool, unwritten: bool) {
        let mut flow = self.flow.lock().unwrap_or_else(PoisonError::into_inner);
        flow.unread = unread;
        flow.unwritten = unwritten;
        let waiting = std::mem::take(&mut flow.waiting);
        drop(flow);
        waiting.into_iter().for_each(Waker::wake);
    }

    fn wait(&self, shut: impl Fn(&Flow) -> bool, context: &Context<'_>) -> Poll<()> {
        let mut flow = self.flow.lock().unwrap_or_else(PoisonError::into_inner);
        if !shut(&flow) {
            return Poll::Ready(());
        }
        flow.waiting.push(context.waker().clone());
        Poll::Pending
    }
}

impl AsyncRead for Pipe {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.valve.wait(|flow| flow.unread, context));
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        std::task::ready!(self.valve.wait(|flow| flow.unwritten, context));
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.valve.wait(|flow| flow.unwritten, context));
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.valve.wait(|flow| flow.unwritten, context));
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
