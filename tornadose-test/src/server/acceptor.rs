//! Connections without a port: pipes handed from a dialer to Salvo's accept loop.

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

/// The acceptor behind a [`Harness`](crate::Harness): named here for the closures of
/// [`Harness::configured`](crate::Harness::configured) and [`Harness::with_server`](crate::Harness::with_server), never made
/// by hand.
pub struct InMemoryAcceptor {
    dialled: mpsc::UnboundedReceiver<(Held, SocketAddr)>,
    /// Taken from the queue and not yet handed on: `accept` may be dropped half-way.
    pending: Option<(Held, SocketAddr)>,
    holdings: Vec<Holding>,
}

pub(crate) struct Dialer {
    dialled: mpsc::UnboundedSender<(Held, SocketAddr)>,
}

/// The server's end of a connection, which shows for how long the server holds it.
pub struct Held {
    stream: DuplexStream,
    _held: Arc<()>,
}

pub(crate) fn in_memory() -> (Dialer, InMemoryAcceptor) {
    let (dial, dialled) = mpsc::unbounded_channel();
    let holding =
        Holding { local_addr: local().into(), http_versions: vec![Version::HTTP_11], http_scheme: Scheme::HTTP };
    (Dialer { dialled: dial }, InMemoryAcceptor { dialled, pending: None, holdings: vec![holding] })
}

impl Dialer {
    /// The client's end of a new connection, and what dies with the server's end; `None` when the server is gone.
    pub(crate) fn dial(&self, buffer_size: usize, port: u16) -> Option<(DuplexStream, Weak<()>)> {
        let (client, stream) = duplex(buffer_size);
        let held = Arc::new(());
        let watch = Arc::downgrade(&held);
        let dialled = (Held { stream, _held: held }, SocketAddr::from(([127, 0, 0, 1], port)));
        self.dialled.send(dialled).ok().map(|()| (client, watch))
    }
}

impl Acceptor for InMemoryAcceptor {
    type Coupler = TcpCoupler<Self::Stream>;
    type Stream = StraightStream<Held>;

    fn holdings(&self) -> &[Holding] {
        &self.holdings
    }

    async fn accept(&mut self, fuse: Option<ArcFusePolicy>) -> io::Result<Accepted<Self::Coupler, Self::Stream>> {
        loop {
            if self.pending.is_none() {
                self.pending = self.dialled.recv().await;
            }
            let Some((_, remote)) = &self.pending else {
                // Nobody can dial any more. An error here would make the server try again for ever.
                return pending().await;
            };
            let (remote_addr, local_addr) = ((*remote).into(), salvo::conn::SocketAddr::from(local()));
            let conn_ctrl = ConnCtrl::new();
            let (fuse_config, observer) = match &fuse {
                None => (None, None),
                Some(policy) => {
                    let info = FuseInfo {
                        trans_proto: TransProto::Tcp,
                        remote_addr: SocketAddr::clone(remote).into(),
                        local_addr: local().into(),
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
            let (stream, _) = self.pending.take().expect("it was there above, and nothing else takes it");
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

impl AsyncRead for Held {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Held {
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

fn local() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 80))
}
