//! The two directions of a connection's socket, independent of each other: what is to be written, what has come, and since when
//! neither has moved. What it means is its task's affair.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::handler::connection::handover::Socket;
use crate::wire::ws::decoder::{Decoder, Inbound, Violation};

/// How much of what was read may wait, and how much of what is to be said of it: a client that floods us and reads nothing
/// is not read either.
const WAITING: usize = 16 << 10;

// What each message touches stands first, in few cache lines.
#[repr(C)]
pub(crate) struct Link<D> {
    io: Box<dyn Socket>,
    left: Left,
    /// Whether nothing is unread and the socket had nothing when it was last asked. It will call.
    rests: bool,
    /// Whether anything has happened, since this was last asked, by which something may be due at another time.
    stirred: bool,
    /// What the socket wakes; without, it wakes who asks it.
    caller: Option<Waker>,
    /// Reads what has come, where that says anything.
    decoder: D,
    /// Bytes that the socket has not taken, in one piece.
    writing: Bytes,
    /// Replies to the client, written before the next messages.
    replies: BytesMut,
    /// Bytes that came behind what was decoded.
    unread: Vec<u8>,
    /// When the client last sent a frame.
    pub(crate) heard: Instant,
    /// When the socket first refused what is now to be written.
    pub(crate) blocked: Option<Instant>,
}

/// What is left to write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    /// Bytes that the socket has not taken, or has in a buffer of its own.
    Bytes,
    /// Replies too.
    Replies,
}

/// Whether the client is still there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    Left,
}

impl<D> Link<D> {
    /// Whether so much is waiting that no more is read: the silence of the client is then ours, and its end is not seen.
    pub(crate) fn is_full(&self) -> bool {
        self.unread.len() > WAITING
    }

    /// Where replies to the client are put.
    pub(crate) fn replies(&mut self) -> &mut BytesMut {
        self.left = Left::Replies;
        &mut self.replies
    }

    /// Has the socket asked again, for it has called.
    pub(crate) fn asks_again(&mut self) {
        self.rests = false;
    }

    /// Whether anything has happened, since this was last asked, by which something may be due at another time: something has come, a
    /// ping was taken, writing was refused, or goes on.
    #[inline]
    pub(crate) fn has_stirred(&mut self) -> bool {
        std::mem::take(&mut self.stirred)
    }

    /// Has its clock look again what is due when.
    pub(crate) fn stirs(&mut self) {
        self.stirred = true;
    }

    fn hears(&mut self) {
        self.heard = Instant::now();
        self.stirred = true;
    }
}

impl<D> Link<D> {
    /// Whoever asks the socket, it wakes the `caller`. When that has been called, the link is told to [ask again](Self::asks_again).
    pub(crate) fn new(io: Box<dyn Socket>, decoder: D, caller: Waker) -> Self {
        Self {
            io,
            left: Left::Nothing,
            rests: false,
            stirred: true,
            caller: Some(caller),
            decoder,
            writing: Bytes::new(),
            replies: BytesMut::new(),
            unread: Vec::new(),
            heard: Instant::now(),
            blocked: None,
        }
    }

    /// This was read of the socket before.
    pub(crate) fn has_read(self, unread: Vec<u8>) -> Self {
        Self { unread, ..self }
    }

    /// The socket was written to before, and may hold that in a buffer of its own.
    pub(crate) fn was_written_to(self) -> Self {
        Self { left: Left::Bytes, ..self }
    }

    /// Has the socket wake whoever asks it, from now on.
    pub(crate) fn wakes_who_asks(&mut self) {
        self.caller = None;
        self.rests = false;
    }

    /// Gives the socket these bytes next; only when it has taken all that came before. Ready when it has taken them too.
    pub(crate) fn poll_write(&mut self, bytes: Bytes, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        debug_assert!(self.left == Left::Nothing, "bytes are written one piece at a time");
        self.poll_on(bytes, cx)
    }

    /// Writes what there is to write. Ready when all of it was taken.
    #[inline]
    pub(crate) fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.left == Left::Nothing {
            return Poll::Ready(Ok(()));
        }
        let writing = std::mem::take(&mut self.writing);
        self.poll_on(writing, cx)
    }

    /// Writes these bytes, then the replies.
    fn poll_on(&mut self, mut writing: Bytes, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let caller = &mut Context::from_waker(self.caller.as_ref().unwrap_or(cx.waker()));
            if writing.is_empty() {
                if self.left == Left::Replies {
                    self.left = Left::Bytes;
                    writing = std::mem::take(&mut self.replies).freeze();
                    continue;
                }
                // A socket with a buffer of its own, as TLS has, refuses here.
                let flushed = Pin::new(&mut self.io).poll_flush(caller);
                if flushed.is_pending() {
                    self.is_refused();
                } else {
                    self.is_taken();
                    self.left = Left::Nothing;
                }
                return flushed;
            }
            match Pin::new(&mut self.io).poll_write(caller, &writing) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(taken)) => {
                    writing.advance(taken);
                    self.is_taken();
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.writing = writing;
                    self.is_refused();
                    return Poll::Pending;
                }
            }
        }
    }

    fn is_refused(&mut self) {
        if self.left == Left::Nothing {
            self.left = Left::Bytes;
        }
        if self.blocked.is_none() {
            self.blocked = Some(Instant::now());
            self.stirred = true;
        }
    }

    fn is_taken(&mut self) {
        // Where nothing was left, nothing was refused.
        if self.left != Left::Nothing && self.blocked.take().is_some() {
            self.stirred = true;
        }
    }

    /// Reads more, to be decoded later. Pending while much is waiting already.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        if self.is_full() {
            return Poll::Pending;
        }
        let caller = &mut Context::from_waker(self.caller.as_ref().unwrap_or(cx.waker()));
        let mut chunk = [const { MaybeUninit::uninit() }; 2048];
        let mut chunk = ReadBuf::uninit(&mut chunk);
        let read = Pin::new(&mut self.io).poll_read(caller, &mut chunk);
        self.rests = read.is_pending() && self.unread.is_empty() && self.caller.is_some();
        match ready!(read) {
            Ok(()) if !chunk.filled().is_empty() => {
                self.unread.extend_from_slice(chunk.filled());
                self.stirred = true;
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
                Ok(()) => self.hears(),
                Err(gone) => return Poll::Ready(gone),
            }
        }
    }

    /// Reads and throws away so many bytes at most, until the client leaves. One that has sent more is not read any further: that it
    /// has left shows in the writing.
    pub(crate) fn poll_left(&mut self, most: &mut usize, cx: &mut Context<'_>) -> Poll<()> {
        while !self.rests && *most > 0 {
            self.unread = Vec::new();
            if ready!(self.poll_fill(cx)).is_err() {
                return Poll::Ready(());
            }
            *most = most.saturating_sub(self.unread.len());
        }
        Poll::Pending
    }

    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl Link<Decoder> {
    /// The next thing the client sent. Pending also while too much that it should read is waiting.
    pub(crate) fn poll_inbound(&mut self, cx: &mut Context<'_>) -> Poll<Result<Result<Inbound, Violation>, Gone>> {
        // A task is woken for every message: the socket is asked only when it has called.
        if self.rests {
            return Poll::Pending;
        }
        loop {
            if self.replies.len() > WAITING {
                return Poll::Pending;
            }
            if self.is_full() {
                // Its silence was ours until now.
                self.hears();
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
                self.hears();
            }
            match decoded.transpose() {
                Some(inbound) => return Poll::Ready(Ok(inbound)),
                None => ready!(self.poll_fill(cx))?,
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
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::Relaxed;
    use std::time::Duration;

    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::timeout;

    use super::*;
    use crate::store::reader::mailbox::NOOP_WAKER;

    /// A socket that counts how often it is read.
    struct Counted {
        io: DuplexStream,
        reads: Arc<AtomicUsize>,
    }

    impl AsyncRead for Counted {
        fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            let counted = self.get_mut();
            counted.reads.fetch_add(1, Relaxed);
            Pin::new(&mut counted.io).poll_read(cx, buf)
        }
    }

    impl AsyncWrite for Counted {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
        }
        fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.get_mut().io).poll_flush(cx)
        }
        fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
        }
    }

    #[tokio::test]
    async fn a_socket_that_had_nothing_is_read_again_only_when_it_has_called() {
        const PONG: [u8; 6] = [0x8A, 0x80, 0, 0, 0, 0];
        let (mut client, io) = duplex(1 << 10);
        let reads = Arc::new(AtomicUsize::new(0));
        let mut link =
            Link::new(Box::new(Counted { io, reads: Arc::clone(&reads) }), Decoder::new(1 << 16), NOOP_WAKER.clone());
        for _ in 0..3 {
            assert!(poll_fn(|cx| Poll::Ready(link.poll_inbound(cx))).await.is_pending());
            assert_eq!(reads.load(Relaxed), 1);
        }
        for expected in [3, 5] {
            client.write_all(&PONG).await.expect("the pipe takes it");
            link.asks_again();
            let pong = poll_fn(|cx| link.poll_inbound(cx)).await;
            assert_eq!(pong, Ok(Ok(Inbound::Pong)));
            assert!(poll_fn(|cx| Poll::Ready(link.poll_inbound(cx))).await.is_pending());
            assert_eq!(reads.load(Relaxed), expected);
        }
        // It wakes who asks it: it need not be called.
        link.wakes_who_asks();
        assert!(poll_fn(|cx| Poll::Ready(link.poll_inbound(cx))).await.is_pending());
        assert_eq!(reads.load(Relaxed), 6);
        let left = tokio::spawn(async move { poll_fn(|cx| link.poll_inbound(cx)).await });
        tokio::task::yield_now().await;
        drop(client);
        let left = timeout(Duration::from_secs(20), left).await.expect("the socket wakes who asks it");
        assert_eq!(left.expect("it does not panic"), Err(Gone::Left));
    }

    #[tokio::test]
    async fn a_flood_while_a_hook_runs_is_read_ahead_only_so_far() {
        let (mut client, server) = duplex(1 << 20);
        client.write_all(&vec![0; 1 << 20]).await.expect("the pipe takes it");
        let mut link = Link::new(Box::new(server), Decoder::new(1 << 16), NOOP_WAKER.clone());
        let heard = tokio::task::unconstrained(poll_fn(|cx| Poll::Ready(link.poll_heard(cx)))).await;
        assert_eq!(heard, Poll::Pending);
        assert!(link.unread.len() <= WAITING + 2048, "{} bytes wait", link.unread.len());
        assert!(link.is_full());
    }
}
