//! The socket of a detached stream or a WebSocket: buffers for both directions, and since when each has made no
//! progress. The two directions do not wait for each other.

use std::io;
use std::mem::{MaybeUninit, offset_of};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::wire::ws::decoder::{Decoder, Inbound, Violation};

/// A byte stream in both directions.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<IO: AsyncRead + AsyncWrite + Send + Unpin> Socket for IO {}

/// Cap on unread input and on control bytes that wait for the socket. Above it the socket is not read: a client that
/// floods the server and reads nothing is not read either.
const MAX_BUFFERED: usize = 16 << 10;

/// A socket and its buffers.
///
/// The fields that each message touches are first, in one cache line.
#[repr(C)]
pub(crate) struct SocketIo<D> {
    socket: Box<dyn Socket>,
    pending_write: PendingWrite,
    /// Whether no input is unread and the last read was pending. The socket will wake its waker.
    read_parked: bool,
    /// Whether anything has happened that may change when something is due, since this was last taken.
    timers_dirty: bool,
    /// Whether the piece that is being written is control bytes.
    writes_control_bytes: bool,
    /// What the socket wakes. `None`: the task that polls it.
    socket_waker: Option<Waker>,
    /// Decodes the input; `()` for SSE, whose input is discarded.
    decoder: D,
    /// The piece that is being written.
    writing: Bytes,
    /// What is written besides messages: replies to the client, keep-alives, the last frame. It is written before the
    /// next messages.
    control_bytes: BytesMut,
    /// Input that is not decoded yet.
    read_buffer: Vec<u8>,
    /// When the client last sent a frame.
    pub(crate) last_received: Instant,
    /// Since when the socket has taken no bytes; `None` while it takes them.
    pub(crate) write_blocked_since: Option<Instant>,
}

/// What is to be written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PendingWrite {
    Nothing,
    /// Bytes that the socket has not taken, or has in its own buffer.
    Bytes,
    /// Those, and control bytes.
    ControlBytes,
}

/// The client has left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Disconnected;

impl<D> SocketIo<D> {
    /// Returns whether so much input is unread that the socket is not read. The silence of the client then means
    /// nothing, and its end is not seen.
    pub(crate) fn is_input_full(&self) -> bool {
        self.read_buffer.len() > MAX_BUFFERED
    }

    /// Returns the buffer for what is written besides messages: replies to the client, keep-alives, the last frame.
    pub(crate) fn control_bytes(&mut self) -> &mut BytesMut {
        self.pending_write = PendingWrite::ControlBytes;
        &mut self.control_bytes
    }

    /// Returns how many control bytes the socket has not taken.
    fn waiting_control_bytes(&self) -> usize {
        let being_written = if self.writes_control_bytes { self.writing.len() } else { 0 };
        self.control_bytes.len() + being_written
    }

    /// Lets the socket be read again, because it has woken its waker.
    pub(crate) fn allow_read(&mut self) {
        self.read_parked = false;
    }

    /// Takes whether anything has happened that may change when something is due: input arrived, a ping was written,
    /// writing was blocked or made progress again.
    #[inline]
    pub(crate) fn take_timers_dirty(&mut self) -> bool {
        std::mem::take(&mut self.timers_dirty)
    }

    /// Makes the task check its timers.
    pub(crate) fn mark_timers_dirty(&mut self) {
        self.timers_dirty = true;
    }

    fn mark_received(&mut self) {
        self.last_received = Instant::now();
        self.timers_dirty = true;
    }
}

impl<D> SocketIo<D> {
    /// The socket wakes `socket_waker`, whichever task polls it. When that was woken, call
    /// [`allow_read`](Self::allow_read). Polling the socket with another waker would wake the task without a read.
    pub(crate) fn new(socket: Box<dyn Socket>, decoder: D, socket_waker: Waker) -> Self {
        const { assert!(offset_of!(Self, decoder) <= 64) }
        Self {
            socket,
            pending_write: PendingWrite::Nothing,
            read_parked: false,
            timers_dirty: true,
            writes_control_bytes: false,
            socket_waker: Some(socket_waker),
            decoder,
            writing: Bytes::new(),
            control_bytes: BytesMut::new(),
            read_buffer: Vec::new(),
            last_received: Instant::now(),
            write_blocked_since: None,
        }
    }

    /// With input that was read before.
    pub(crate) fn with_read_buffer(self, read_buffer: Vec<u8>) -> Self {
        Self { read_buffer, ..self }
    }

    /// For a socket that was written to before, and may not be flushed.
    pub(crate) fn with_pending_flush(self) -> Self {
        Self { pending_write: PendingWrite::Bytes, ..self }
    }

    /// Makes the socket wake the task that polls it, from now on.
    pub(crate) fn use_task_waker(&mut self) {
        self.socket_waker = None;
        self.read_parked = false;
    }

    /// Writes these bytes. Allowed only when the socket has taken all earlier bytes. Ready when it has taken these
    /// too.
    pub(crate) fn poll_write(&mut self, bytes: Bytes, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        debug_assert!(self.pending_write == PendingWrite::Nothing, "bytes are written one piece at a time");
        self.poll_write_buffer(bytes, cx)
    }

    /// Writes what is to be written. Ready when the socket has taken all of it.
    #[inline]
    pub(crate) fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.pending_write == PendingWrite::Nothing {
            return Poll::Ready(Ok(()));
        }
        let writing = std::mem::take(&mut self.writing);
        self.poll_write_buffer(writing, cx)
    }

    /// Writes these bytes, then the control bytes.
    fn poll_write_buffer(&mut self, mut writing: Bytes, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let socket_cx = &mut Context::from_waker(self.socket_waker.as_ref().unwrap_or(cx.waker()));
            if writing.is_empty() {
                self.writes_control_bytes = false;
                if self.pending_write == PendingWrite::ControlBytes {
                    self.pending_write = PendingWrite::Bytes;
                    self.writes_control_bytes = true;
                    writing = std::mem::take(&mut self.control_bytes).freeze();
                    continue;
                }
                // A socket with its own buffer, such as one with TLS, blocks here.
                let flushed = Pin::new(&mut self.socket).poll_flush(socket_cx);
                if flushed.is_pending() {
                    self.mark_write_blocked();
                } else {
                    self.mark_write_progress();
                    self.pending_write = PendingWrite::Nothing;
                }
                return flushed;
            }
            match Pin::new(&mut self.socket).poll_write(socket_cx, &writing) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(taken)) => {
                    writing.advance(taken);
                    self.mark_write_progress();
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.writing = writing;
                    self.mark_write_blocked();
                    return Poll::Pending;
                }
            }
        }
    }

    fn mark_write_blocked(&mut self) {
        if self.pending_write == PendingWrite::Nothing {
            self.pending_write = PendingWrite::Bytes;
        }
        if self.write_blocked_since.is_none() {
            self.write_blocked_since = Some(Instant::now());
            self.timers_dirty = true;
        }
    }

    fn mark_write_progress(&mut self) {
        // Nothing can have blocked when nothing is pending.
        if self.pending_write != PendingWrite::Nothing && self.write_blocked_since.take().is_some() {
            self.timers_dirty = true;
        }
    }

    /// Reads more input, to be decoded later. Pending while the socket [is full](Self::is_full).
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Disconnected>> {
        if self.is_input_full() {
            return Poll::Pending;
        }
        let socket_cx = &mut Context::from_waker(self.socket_waker.as_ref().unwrap_or(cx.waker()));
        let mut chunk = [const { MaybeUninit::uninit() }; 2048];
        let mut chunk = ReadBuf::uninit(&mut chunk);
        let read = Pin::new(&mut self.socket).poll_read(socket_cx, &mut chunk);
        self.read_parked = read.is_pending() && self.read_buffer.is_empty() && self.socket_waker.is_some();
        match ready!(read) {
            Ok(()) if !chunk.filled().is_empty() => {
                self.read_buffer.extend_from_slice(chunk.filled());
                self.timers_dirty = true;
                Poll::Ready(Ok(()))
            }
            // After the end of the input, or an error, the client has left.
            Ok(()) | Err(_) => Poll::Ready(Err(Disconnected)),
        }
    }

    /// Reads ahead while nothing is decoded, because any input shows that the client is there. Ready only when it has
    /// left.
    pub(crate) fn poll_read_ahead(&mut self, cx: &mut Context<'_>) -> Poll<Disconnected> {
        loop {
            match ready!(self.poll_fill(cx)) {
                Ok(()) => self.mark_received(),
                Err(disconnected) => return Poll::Ready(disconnected),
            }
        }
    }

    /// Reads and discards at most `limit` bytes, and lowers it. Ready only when the client has left. After that many
    /// bytes the socket is not read any more, and only a write shows that the client has left.
    pub(crate) fn poll_drain(&mut self, limit: &mut usize, cx: &mut Context<'_>) -> Poll<()> {
        while !self.read_parked && *limit > 0 {
            self.read_buffer = Vec::new();
            if ready!(self.poll_fill(cx)).is_err() {
                return Poll::Ready(());
            }
            *limit = limit.saturating_sub(self.read_buffer.len());
        }
        Poll::Pending
    }

    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

impl SocketIo<Decoder> {
    /// Returns the next message or control frame of the client. Pending also while too many control bytes are queued.
    pub(crate) fn poll_inbound(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Result<Inbound, Violation>, Disconnected>> {
        // The task is woken for every message, so the socket is read only when it has woken its waker.
        if self.read_parked {
            return Poll::Pending;
        }
        loop {
            if self.waiting_control_bytes() > MAX_BUFFERED {
                return Poll::Pending;
            }
            if self.is_input_full() {
                // The socket was not read until now, so the client was not silent.
                self.mark_received();
            }
            if self.read_buffer.is_empty() {
                ready!(self.poll_fill(cx))?;
            }
            let mut input = self.read_buffer.as_slice();
            let frames = self.decoder.frames;
            let decoded = self.decoder.next(&mut input);
            let undecoded = input.len();
            if undecoded == 0 {
                self.read_buffer = Vec::new();
            } else {
                self.read_buffer.drain(..self.read_buffer.len() - undecoded);
            }
            if self.decoder.frames != frames {
                self.mark_received();
            }
            match decoded.transpose() {
                Some(inbound) => return Poll::Ready(Ok(inbound)),
                None => ready!(self.poll_fill(cx))?,
            }
        }
    }

    /// Reads until the client sends a close frame, breaks the protocol or leaves.
    pub(crate) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match ready!(self.poll_inbound(cx)) {
                Ok(Ok(Inbound::Close(_)) | Err(_)) | Err(Disconnected) => return Poll::Ready(()),
                Ok(Ok(_)) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
