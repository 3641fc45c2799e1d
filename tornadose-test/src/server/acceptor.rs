//! Connections without a port: pipes handed from a dialer to Salvo's accept loop.

use std::future::pending;
use std::io;
use std::net::SocketAddr;

use salvo::conn::tcp::TcpCoupler;
use salvo::conn::{Accepted, Acceptor, ConnCtrl, Holding, StraightStream};
use salvo::fuse::{ArcFusePolicy, FuseAction, FuseInfo, TransProto};
use salvo::http::Version;
use salvo::http::uri::Scheme;
use tokio::io::{DuplexStream, duplex};
use tokio::sync::mpsc;

/// The acceptor behind a [`Harness`](crate::Harness): named here for the closure of
/// [`Harness::configured`](crate::Harness::configured), never made by hand.
pub struct InMemory {
    dialled: mpsc::UnboundedReceiver<(DuplexStream, SocketAddr)>,
    /// Taken from the queue and not yet handed on: `accept` may be dropped half-way.
    pending: Option<(DuplexStream, SocketAddr)>,
    holdings: Vec<Holding>,
}

pub(crate) struct Dialer {
    dialled: mpsc::UnboundedSender<(DuplexStream, SocketAddr)>,
}

pub(crate) fn in_memory() -> (Dialer, InMemory) {
    let (dial, dialled) = mpsc::unbounded_channel();
    let holding =
        Holding { local_addr: local().into(), http_versions: vec![Version::HTTP_11], http_scheme: Scheme::HTTP };
    (Dialer { dialled: dial }, InMemory { dialled, pending: None, holdings: vec![holding] })
}

impl Dialer {
    /// The client's end of a new connection, `None` when the server is gone.
    pub(crate) fn dial(&self, pipe: usize, port: u16) -> Option<DuplexStream> {
        let (client, server) = duplex(pipe);
        self.dialled.send((server, SocketAddr::from(([127, 0, 0, 1], port)))).ok().map(|()| client)
    }
}

impl Acceptor for InMemory {
    type Coupler = TcpCoupler<Self::Stream>;
    type Stream = StraightStream<DuplexStream>;

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

fn local() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 80))
}
