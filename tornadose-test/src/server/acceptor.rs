//! Connections without a port: in-memory pipes that a dialer passes to a server's accept loop.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::sync::mpsc;

/// The acceptor of a [`Harness`](crate::Harness), which receives the connections of its clients.
///
/// With the feature `salvo` it is an `Acceptor` of Salvo. The harness makes it and passes it to the closure of
/// [`Harness::with_server`](crate::Harness::with_server).
///
/// ```
/// use salvo::{Router, Server};
/// use tornadose_test::{Harness, InMemoryAcceptor};
///
/// fn one_connection_at_a_time(acceptor: InMemoryAcceptor) -> Server<InMemoryAcceptor> {
///     Server::new(acceptor).max_connections(1)
/// }
/// # tornadose_test::run(async {
/// let app = Harness::with_server(Router::new(), one_connection_at_a_time);
/// assert_eq!(app.get("/").await.status(), 404);
/// # });
/// ```
pub struct InMemoryAcceptor {
    incoming: mpsc::UnboundedReceiver<(InMemoryStream, SocketAddr)>,
    /// A connection that was received and is not taken yet.
    received: Option<(InMemoryStream, SocketAddr)>,
}

pub(crate) struct Dialer {
    connections: mpsc::UnboundedSender<(InMemoryStream, SocketAddr)>,
}

/// The server's end of an in-memory connection, under an [`InMemoryAcceptor`].
///
/// ```
/// use salvo::conn::{Acceptor, StraightStream};
/// use tornadose_test::{InMemoryAcceptor, InMemoryStream};
///
/// fn check<A: Acceptor<Stream = StraightStream<InMemoryStream>>>() {}
/// check::<InMemoryAcceptor>();
/// ```
#[derive(Debug)]
pub struct InMemoryStream {
    stream: DuplexStream,
    /// Dropped with the stream, which shows how long the server holds the connection.
    _marker: Arc<()>,
}

/// Makes an acceptor and the dialer that connects to it.
pub(crate) fn in_memory() -> (Dialer, InMemoryAcceptor) {
    let (connections, incoming) = mpsc::unbounded_channel();
    (Dialer { connections }, InMemoryAcceptor { incoming, received: None })
}

impl Dialer {
    /// Returns the client's end of a new connection, and the marker of the server's end; `None` when the server is
    /// gone.
    pub(crate) fn dial(&self, buffer_size: usize, port: u16) -> Option<(DuplexStream, Weak<()>)> {
        let (client, stream) = duplex(buffer_size);
        let marker = Arc::new(());
        let weak = Arc::downgrade(&marker);
        let connection = (InMemoryStream { stream, _marker: marker }, SocketAddr::from(([127, 0, 0, 1], port)));
        self.connections.send(connection).ok().map(|()| (client, weak))
    }
}

impl fmt::Debug for InMemoryAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InMemoryAcceptor").finish_non_exhaustive()
    }
}

impl InMemoryAcceptor {
    /// Waits for a connection, and returns the address of its client; `None` when no client can connect any more. The
    /// connection is kept until it is [taken](Self::take), also when this future is dropped.
    pub(crate) async fn received(&mut self) -> Option<SocketAddr> {
        if self.received.is_none() {
            self.received = self.incoming.recv().await;
        }
        self.received.as_ref().map(|(_, remote)| *remote)
    }

    /// Takes the connection that was received.
    pub(crate) fn take(&mut self) -> Option<InMemoryStream> {
        self.received.take().map(|(stream, _)| stream)
    }
}

impl AsyncRead for InMemoryStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for InMemoryStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
