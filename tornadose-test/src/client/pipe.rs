//! The client's end of a connection, with a valve: where a slow or a vanished client is made, and later faults.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

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
    state: State,
    waiting: Vec<Waker>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// The client reads no more, what it writes still goes out.
    Stalled,
    /// Nothing goes in or out.
    Vanished,
}

impl Pipe {
    pub(crate) fn new(stream: DuplexStream, valve: Valve) -> Self {
        Self { stream, valve }
    }
}

impl Valve {
    pub(crate) fn stall(&self) {
        self.set(State::Stalled);
    }

    pub(crate) fn resume(&self) {
        self.set(State::Open);
    }

    pub(crate) fn vanish(&self) {
        self.set(State::Vanished);
    }

    fn set(&self, state: State) {
        let mut flow = self.lock();
        flow.state = state;
        let waiting = std::mem::take(&mut flow.waiting);
        drop(flow);
        waiting.into_iter().for_each(Waker::wake);
    }

    fn poll_readable(&self, context: &Context<'_>) -> Poll<()> {
        self.poll(|state| state == State::Open, context)
    }

    fn poll_writable(&self, context: &Context<'_>) -> Poll<()> {
        self.poll(|state| state != State::Vanished, context)
    }

    fn poll(&self, lets_through: impl Fn(State) -> bool, context: &Context<'_>) -> Poll<()> {
        let mut flow = self.lock();
        if lets_through(flow.state) {
            return Poll::Ready(());
        }
        flow.waiting.push(context.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Flow> {
        self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for Pipe {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.valve.poll_readable(context));
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.valve.poll_writable(context));
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.valve.poll_writable(context));
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.valve.poll_writable(context));
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
