//! The socket of a connection as its server sees it, which gives it to a stream.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::handler::connection::io::Socket;
use crate::handler::connection::socket_table::{SocketHandle, SocketKey, SocketTable};

/// The entry of one socket, removed when its server drops the connection.
pub(super) struct SocketEntry {
    pub(super) sockets: Arc<SocketTable>,
    pub(super) key: SocketKey,
    pub(super) handle: Arc<SocketHandle>,
}

impl SocketEntry {
    /// Marks the socket as blocked if a write or flush of it is pending.
    #[inline]
    fn record_blocked<T>(&self, written: Poll<T>) -> Poll<T> {
        if written.is_pending() {
            self.handle.mark_write_blocked();
        }
        written
    }
}

impl Drop for SocketEntry {
    fn drop(&mut self) {
        self.sockets.remove(self.key);
    }
}

/// The byte stream of a [`HandoverAcceptor`](crate::HandoverAcceptor)'s connection. Once a detached stream has taken its
/// socket, reads wait, and what the server writes, the end of the body, is dropped.
///
/// ```
/// use salvo::conn::Acceptor;
/// use salvo::conn::tcp::TcpAcceptor;
/// use tornadose::{HandoverAcceptor, HandoverIo};
///
/// /// Any acceptor becomes one of these byte streams.
/// fn check<A: Acceptor<Stream = HandoverIo>>() {}
/// check::<HandoverAcceptor<TcpAcceptor>>();
/// ```
pub struct HandoverIo {
    pub(super) socket: Option<Box<dyn Socket>>,
    pub(super) entry: SocketEntry,
}

impl fmt::Debug for HandoverIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandoverIo").field("has_socket", &self.socket.is_some()).finish_non_exhaustive()
    }
}

impl AsyncRead for HandoverIo {
    #[inline]
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Some(socket) => Pin::new(socket).poll_read(cx, buf),
            // The server would take an end of the stream for a client that has left, and drop the response.
            None => Poll::Pending,
        }
    }
}

impl AsyncWrite for HandoverIo {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Self { socket, entry } = &mut *self;
        match socket {
            Some(socket) => entry.record_blocked(Pin::new(socket).poll_write(cx, buf)),
            None => Poll::Ready(Ok(buf.len())),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { socket, entry } = &mut *self;
        match socket {
            Some(socket) => entry.record_blocked(Pin::new(socket).poll_write_vectored(cx, slices)),
            None => Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.as_ref().is_none_or(AsyncWrite::is_write_vectored)
    }

    /// Flushes the socket. A server flushes when it has written all that it had, so this is where the socket changes
    /// hands.
    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { socket, entry } = &mut *self;
        let Some(open) = socket else { return Poll::Ready(Ok(())) };
        ready!(entry.record_blocked(Pin::new(open).poll_flush(cx)))?;
        if entry.handle.is_requested() {
            entry.handle.give(socket);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Some(socket) => Pin::new(socket).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use salvo::conn::SocketAddr;
    use tokio::io::duplex;

    use super::*;
    use crate::handler::connection::attached::AttachedReason;
    use crate::handler::connection::socket_table::Address;

    #[test]
    fn a_client_that_takes_no_head_is_told_from_a_server_that_does_not_flush() {
        for (head, reason) in [(&b"0123"[..], AttachedReason::NotFlushed), (b"01234", AttachedReason::HeadNotTaken)] {
            let sockets = Arc::new(SocketTable::default());
            let address = Address::new(&SocketAddr::Unknown, &SocketAddr::Unknown);
            let (key, handle) = sockets.insert(address, salvo::conn::ConnCtrl::new());
            let (_client, socket) = duplex(4);
            let entry = SocketEntry { sockets, key, handle: Arc::clone(&handle) };
            let mut io = HandoverIo { socket: Some(Box::new(socket)), entry };
            let cx = &mut Context::from_waker(std::task::Waker::noop());
            assert!(handle.request(cx.waker()).is_none());
            let mut unwritten = head;
            while let Poll::Ready(written) = Pin::new(&mut io).poll_write(cx, unwritten) {
                unwritten = &unwritten[written.expect("the client is there")..];
                if unwritten.is_empty() {
                    break;
                }
            }
            assert_eq!(handle.withdraw().err(), Some(reason));
        }
    }
}
