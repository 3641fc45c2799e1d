//! Connections without a port: in-memory pipes that a dialer passes to Salvo's accept loop.

use std::fmt;
use std::future::pending;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use salvo::conn::tcp::TcpCoupler;
use salvo::conn::{Accepted, Acceptor, ConnCtrl, Holding, StraightStream};
use salvo::fuse::{ArcFusePolicy, FuseAction, FuseInfo, TransProto};
use salvo::http::Version;
use salvo::http::uri::Scheme;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::sync::mpsc;

/// The acceptor of a [`Harness`](crate::Harness), which receives the connections of its clients.
///
/// The harness makes it and passes it to the closure of [`Harness::with_server`](crate::Harness::with_server).
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
    /// A connection that was taken from the queue and is not returned yet: `accept` may be dropped while it waits.
    pending: Option<(InMemoryStream, SocketAddr)>,
    holdings: Vec<Holding>,
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
    let holding =
        Holding { local_addr: listen_addr().into(), http_versions: vec![Version::HTTP_11], http_scheme: Scheme::HTTP };
    (Dialer { connections }, InMemoryAcceptor { incoming, pending: None, holdings: vec![holding] })
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

impl Acceptor for InMemoryAcceptor {
    type Coupler = TcpCoupler<Self::Stream>;
    type Stream = StraightStream<InMemoryStream>;

    fn holdings(&self) -> &[Holding] {
        &self.holdings
    }

    async fn accept(&mut self, fuse: Option<ArcFusePolicy>) -> io::Result<Accepted<Self::Coupler, Self::Stream>> {
        loop {
            if self.pending.is_none() {
                self.pending = self.incoming.recv().await;
            }
            let Some((_, remote)) = &self.pending else {
                // No client can connect any more. An error would make the server try again endlessly.
                return pending().await;
            };
            let (remote_addr, local_addr) = ((*remote).into(), salvo::conn::SocketAddr::from(listen_addr()));
            let conn_ctrl = ConnCtrl::new();
            let (fuse_config, observer) = match &fuse {
                None => (None, None),
                Some(policy) => {
                    let info = FuseInfo {
                        trans_proto: TransProto::Tcp,
                        remote_addr: SocketAddr::clone(remote).into(),
                        local_addr: listen_addr().into(),
                    };
                    match policy.decide(&info).await {
                        FuseAction::Accept(config) => (Some(config), policy.observe(&info, &conn_ctrl)),
                        FuseAction::Reject => {
                            self.pending = None;
                            continue;
                        }
                    }
                }
            };
            let (stream, _) = self.pending.take().expect("it was present above, and nothing else takes it");
            return Ok(Accepted {
                coupler: TcpCoupler::new(),
                stream: StraightStream::new(stream, fuse_config, conn_ctrl.clone(), observer),
                fuse_config,
                conn_ctrl,
                remote_addr,
                local_addr,
                http_scheme: Scheme::HTTP,
            });
        }
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

fn listen_addr() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 80))
}
