//! The client's end of a connection. Its [`PipeControl`] decides when bytes pass, and how many.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::client::connection::pipe_control::{Direction, PipeControl};

pub(crate) struct Pipe {
    stream: DuplexStream,
    control: PipeControl,
    /// The pause of a slow reader, before its next read.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Pipe {
    pub(crate) fn new(stream: DuplexStream, control: PipeControl) -> Self {
        control.start_connection();
        Self { stream, control, pause: None }
    }

    fn poll_pause(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        Poll::Ready(())
    }

    /// Returns the number of bytes that may be written now, or the error of a connection that is cut.
    fn poll_write_len(&mut self, context: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        ready!(self.control.poll_writable(context));
        if self.control.is_cut() {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        self.control.poll_chunk_len(Direction::Out, context, wanted).map(Ok)
    }
}

impl AsyncRead for Pipe {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.control.poll_readable(context));
        if self.control.is_cut() {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        if self.control.wants_half_close() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            self.control.mark_half_closed();
        }
        ready!(self.poll_pause(context));
        let wanted = into.remaining().min(self.control.read_limit());
        let wanted = ready!(self.control.poll_chunk_len(Direction::In, context, wanted));
        let mut chunk = vec![0; wanted];
        let mut chunk = ReadBuf::new(&mut chunk);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut chunk))?;
        let read = chunk.filled();
        into.put_slice(read);
        self.control.record_passed(Direction::In, read.len());
        self.pause = self.control.pause_after(read.len()).map(|pause| Box::pin(sleep(pause)));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let length = ready!(self.poll_write_len(context, bytes.len()))?;
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, &bytes[..length]))?;
        self.control.record_passed(Direction::Out, written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wanted = bytes.iter().map(|slice| slice.len()).sum();
        let length = ready!(self.poll_write_len(context, wanted))?;
        let written = if length == wanted {
            ready!(Pin::new(&mut self.stream).poll_write_vectored(context, bytes))?
        } else {
            let first = bytes.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
            ready!(Pin::new(&mut self.stream).poll_write(context, &first[..length.min(first.len())]))?
        };
        self.control.record_passed(Direction::Out, written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.control.poll_writable(context));
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
