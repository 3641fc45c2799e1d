//! The client's end of a connection, behind its valve: what the valve says happens to the bytes happens here.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::client::connection::pipe_control::{Direction, Valve};

pub(crate) struct Pipe {
    stream: DuplexStream,
    valve: Valve,
    /// A slow reader's pause, before it reads on.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Pipe {
    pub(crate) fn new(stream: DuplexStream, valve: Valve) -> Self {
        valve.connected();
        Self { stream, valve, pause: None }
    }

    fn poll_pause(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        Poll::Ready(())
    }

    /// How much of what is to be written may go now; the error of a connection that is cut.
    fn poll_room(&mut self, context: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        ready!(self.valve.poll_writable(context));
        if self.valve.is_cut() {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        self.valve.poll_piece(Direction::Out, context, wanted).map(Ok)
    }
}

impl AsyncRead for Pipe {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.valve.poll_readable(context));
        if self.valve.is_cut() {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        if self.valve.wants_half_close() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            self.valve.half_closed();
        }
        ready!(self.poll_pause(context));
        let wanted = into.remaining().min(self.valve.at_once());
        let wanted = ready!(self.valve.poll_piece(Direction::In, context, wanted));
        let mut piece = vec![0; wanted];
        let mut piece = ReadBuf::new(&mut piece);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut piece))?;
        let read = piece.filled();
        into.put_slice(read);
        self.valve.passed(Direction::In, read.len());
        self.pause = self.valve.pause_after(read.len()).map(|pause| Box::pin(sleep(pause)));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let room = ready!(self.poll_room(context, bytes.len()))?;
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, &bytes[..room]))?;
        self.valve.passed(Direction::Out, written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wanted = bytes.iter().map(|slice| slice.len()).sum();
        let room = ready!(self.poll_room(context, wanted))?;
        let written = if room == wanted {
            ready!(Pin::new(&mut self.stream).poll_write_vectored(context, bytes))?
        } else {
            let first = bytes.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
            ready!(Pin::new(&mut self.stream).poll_write(context, &first[..room.min(first.len())]))?
        };
        self.valve.passed(Direction::Out, written);
        Poll::Ready(Ok(written))
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
