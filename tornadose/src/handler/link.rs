//! The two directions of a WebSocket's socket, independent of each other: what is to be written, what has come, and since when
//! neither has moved. What it means is the session's affair.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::handler::bell::Bell;
use crate::wire::ws::decoder::{Decoder, Inbound, Violation};

/// How much of what was read may wait, and how much of what is to be said of it: a client that floods us and reads nothing
/// is not read either.
const WAITING: usize = 16 << 10;

pub(crate) struct Link<IO> {
    io: IO,
    /// What the socket wakes.
    bell: Bell,
    /// Whether the socket had nothing to read when it was last asked, and will ring.
    rests: bool,
    decoder: Decoder,
    /// Bytes that the socket has not taken, in one piece.
    writing: Bytes,
    /// Whether the socket has nothing of it in a buffer of its own.
    flushed: bool,
    /// Replies to the client, written before the next messages.
    pub(crate) replies: BytesMut,
    /// Bytes that came behind what was decoded.
    unread: Vec<u8>,
    /// When the client last sent a frame.
    pub(crate) heard: Instant,
    /// When the socket first refused what is now to be written.
    pub(crate) blocked: Option<Instant>,
}

/// Whether the client is still there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    Left,
}

impl<IO> Link<IO> {
    /// Whether so much is waiting that no more is read: the silence of the client is then ours, and its end is not seen.
    pub(crate) fn is_full(&self) -> bool {
        self.unread.len() > WAITING
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Link<IO> {
    pub(crate) fn new(io: IO, max_message: usize) -> Self {
        Self {
            io,
            bell: Bell::default(),
            rests: false,
            decoder: Decoder::new(max_message),
            writing: Bytes::new(),
            flushed: true,
            replies: BytesMut::new(),
            unread: Vec::new(),
            heard: Instant::now(),
            blocked: None,
        }
    }

    /// Gives the socket these bytes next. Only when it has taken all that came before.
    pub(crate) fn write(&mut self, bytes: Bytes) {
        debug_assert!(self.writing.is_empty(), "bytes are written one piece at a time");
        self.writing = bytes;
    }

    /// Has the socket wake this task, for what it was asked before too.
    fn wakes(&mut self, task: &Waker) {
        if self.bell.hangs_at(task) {
            self.rests = false;
        }
    }

    /// Writes what there is to write. Ready when all of it was taken.
    pub(crate) fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.flushed && self.replies.is_empty() && self.writing.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.wakes(cx.waker());
        let cx = &mut Context::from_waker(self.bell.waker());
        loop {
            if self.writing.is_empty() {
                if self.replies.is_empty() {
                    if self.flushed {
                        return Poll::Ready(Ok(()));
                    }
                    let flushed = Pin::new(&mut self.io).poll_flush(cx);
                    // A socket with a buffer of its own, as TLS has, refuses here.
                    if flushed.is_pending() {
                        self.blocked.get_or_insert_with(Instant::now);
                    } else {
                        self.blocked = None;
                        self.flushed = true;
                    }
                    return flushed;
                }
                self.writing = std::mem::take(&mut self.replies).freeze();
            }
            self.flushed = false;
            match Pin::new(&mut self.io).poll_write(cx, &self.writing) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(taken)) => {
                    self.writing.advance(taken);
                    if self.writing.is_empty() {
                        // An idle reader keeps nothing alive.
                        self.writing = Bytes::new();
                    }
                    self.blocked = None;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.blocked.get_or_insert_with(Instant::now);
                    return Poll::Pending;
                }
            }
        }
    }

    /// The next thing the client sent. Pending also while too much that it should read is waiting.
    pub(crate) fn poll_inbound(&mut self, cx: &mut Context<'_>) -> Poll<Result<Result<Inbound, Violation>, Gone>> {
        loop {
            if self.replies.len() > WAITING {
                return Poll::Pending;
            }
            if self.is_full() {
                // Its silence was ours until now.
                self.heard = Instant::now();
            }
            if self.unread.is_empty() {
                ready!(self.poll_fill(cx))?;
            }
            let mut input = self.unread.as_slice();
            let frames = self.decoder.frames;
            let decoded = self.decoder.next(&mut input);
            let rest = input.len();
            if rest == 0 {
                self.unread = Vec::new();
            } else {
                self.unread.drain(..self.unread.len() - rest);
            }
            if self.decoder.frames != frames {
                self.heard = Instant::now();
            }
            match decoded.transpose() {
                Some(inbound) => return Poll::Ready(Ok(inbound)),
                None => ready!(self.poll_fill(cx))?,
            }
        }
    }

    /// Reads more, to be decoded later. Pending while much is waiting already.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        if self.is_full() {
            return Poll::Pending;
        }
        self.wakes(cx.waker());
        // A task is woken for every message: the socket is asked only when it has rung.
        if self.rests && !self.bell.has_rung() {
            return Poll::Pending;
        }
        let cx = &mut Context::from_waker(self.bell.waker());
        let mut chunk = [const { MaybeUninit::uninit() }; 2048];
        let mut chunk = ReadBuf::uninit(&mut chunk);
        let read = Pin::new(&mut self.io).poll_read(cx, &mut chunk);
        self.rests = read.is_pending();
        match ready!(read) {
            Ok(()) if !chunk.filled().is_empty() => {
                self.unread.extend_from_slice(chunk.filled());
                Poll::Ready(Ok(()))
            }
            // An end or an error of the line: either way the client is gone.
            Ok(()) | Err(_) => Poll::Ready(Err(Gone::Left)),
        }
    }

    /// Reads ahead while nothing is decoded: whatever comes shows that the client is there. Ready only when it has left.
    pub(crate) fn poll_heard(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        loop {
            match ready!(self.poll_fill(cx)) {
                Ok(()) => self.heard = Instant::now(),
                Err(gone) => return Poll::Ready(gone),
            }
        }
    }

    /// Reads on until the client says goodbye, or leaves without.
    pub(crate) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match ready!(self.poll_inbound(cx)) {
                Ok(Ok(Inbound::Close(_)) | Err(_)) | Err(Gone::Left) => return Poll::Ready(()),
                Ok(Ok(_)) => {}
            }
        }
    }

    /// Reads and throws away, until the client leaves.
    pub(crate) fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.unread = Vec::new();
            if ready!(self.poll_fill(cx)).is_err() {
                return Poll::Ready(());
            }
        }
    }

    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wakes(cx.waker());
        Pin::new(&mut self.io).poll_shutdown(&mut Context::from_waker(self.bell.waker()))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn a_flood_while_a_hook_runs_is_read_ahead_only_so_far() {
        let (mut client, server) = duplex(1 << 20);
        client.write_all(&vec![0; 1 << 20]).await.expect("the pipe takes it");
        let mut link = Link::new(server, 1 << 16);
        let heard = tokio::task::unconstrained(poll_fn(|cx| Poll::Ready(link.poll_heard(cx)))).await;
        assert_eq!(heard, Poll::Pending);
        assert!(link.unread.len() <= WAITING + 2048, "{} bytes wait", link.unread.len());
        assert!(link.is_full());
    }
}
