//! Salvo's side of a harness: the servers that it runs, and its acceptor in Salvo's terms.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::LazyLock;

use salvo::conn::tcp::TcpCoupler;
use salvo::conn::{Accepted, Acceptor, ConnCtrl, Holding, StraightStream};
use salvo::fuse::{ArcFusePolicy, FuseAction, FuseInfo, TransProto};
use salvo::http::Version;
use salvo::http::uri::Scheme;
use salvo::{Server, Service};

use crate::server::acceptor::{InMemoryAcceptor, InMemoryStream};
use crate::server::running::{RunningServer, StopMode};

/// A server that a [`Harness`](crate::Harness) can run, see [`Harness::with_server`](crate::Harness::with_server).
/// Salvo's [`Server`] is one.
///
/// Implement it for a server with an accept loop of its own. Its responses must not carry a `date` header: the date
/// would be the wall clock's, and would differ in every run.
///
/// ```
/// use salvo::{Router, Server, Service};
/// use tornadose_test::{Harness, HarnessServer, InMemoryAcceptor, RunningServer};
///
/// /// A server with an accept loop of its own would be here.
/// struct Wrapped(Server<InMemoryAcceptor>);
///
/// impl HarnessServer for Wrapped {
///     fn spawn(self, service: Service) -> RunningServer {
///         self.0.spawn(service)
///     }
/// }
///
/// # tornadose_test::run(async {
/// let app = Harness::with_server(Router::new(), |acceptor| Wrapped(Server::new(acceptor)));
/// assert_eq!(app.get("/").await.status(), 404);
/// # });
/// ```
pub trait HarnessServer: Send + 'static {
    /// Starts to serve on a task of its own.
    fn spawn(self, service: Service) -> RunningServer;
}

impl<A: Acceptor + Send + 'static> HarnessServer for Server<A> {
    fn spawn(mut self, service: Service) -> RunningServer {
        // The date would be the wall clock's.
        self.http1_mut().auto_date_header(false);
        self.http2_mut().auto_date_header(false);
        let handle = self.handle();
        RunningServer::new(tokio::spawn(self.serve(service)), move |mode| match mode {
            StopMode::Graceful { limit } => handle.stop_graceful(limit),
            StopMode::Forceful => handle.stop_forceful(),
        })
    }
}

impl Acceptor for InMemoryAcceptor {
    type Coupler = TcpCoupler<Self::Stream>;
    type Stream = StraightStream<InMemoryStream>;

    fn holdings(&self) -> &[Holding] {
        static HOLDINGS: LazyLock<[Holding; 1]> = LazyLock::new(|| {
            let (local_addr, http_versions) = (listen_addr().into(), vec![Version::HTTP_11]);
            [Holding { local_addr, http_versions, http_scheme: Scheme::HTTP }]
        });
        &*HOLDINGS
    }

    async fn accept(&mut self, fuse: Option<ArcFusePolicy>) -> io::Result<Accepted<Self::Coupler, Self::Stream>> {
        loop {
            let Some(remote) = self.received().await else {
                // No client can connect any more. An error would make the server try again endlessly.
                return pending().await;
            };
            let (remote_addr, local_addr) = (remote.into(), salvo::conn::SocketAddr::from(listen_addr()));
            let conn_ctrl = ConnCtrl::new();
            let (fuse_config, observer) = match &fuse {
                None => (None, None),
                Some(policy) => {
                    let info = FuseInfo {
                        trans_proto: TransProto::Tcp,
                        remote_addr: remote.into(),
                        local_addr: listen_addr().into(),
                    };
                    match policy.decide(&info).await {
                        FuseAction::Accept(config) => (Some(config), policy.observe(&info, &conn_ctrl)),
                        FuseAction::Reject => {
                            drop(self.take());
                            continue;
                        }
                    }
                }
            };
            let stream = self.take().expect("it was received above, and nothing else takes it");
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

fn listen_addr() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 80))
}
