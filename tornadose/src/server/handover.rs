//! The server's side of a handover: the acceptor that wraps sockets, so that they can be given to streams, and the
//! middleware that lets a stream detach. The other sides are the [table of
//! sockets](crate::handler::connection::socket_table) and the [stream's](crate::handler::sse::detach).

pub(crate) mod socket;

use std::fmt;
use std::io;
use std::sync::Arc;

use salvo::conn::tcp::TcpCoupler;
use salvo::conn::{Accepted, Acceptor, Holding};
use salvo::fuse::ArcFusePolicy;
use salvo::http::Version;
use salvo::http::header::{CONNECTION, HeaderValue};
use salvo::{Depot, FlowCtrl, Handler, Request, Response, Service, async_trait};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::handler::connection::attached::AttachedReason;
use crate::handler::connection::socket_table::{Address, SocketLookup, SocketTable};
use crate::handler::sse::detach::Proposal;
use crate::server::handover::socket::{HandoverIo, SocketEntry};
use crate::server::methods::add_methods;

/// Lets the streams of a Salvo [`Server`](salvo::Server) of your own detach, as those of [`serve`](crate::serve) do:
/// once its response head is written, a stream owns its socket and is written by a task of its own, and what had
/// served the request is dropped. That takes a tenth of the memory, and a delivery less than a third of the
/// instructions.
///
/// One `Handover` links an acceptor with the service that is served on it: wrap both.
///
/// A stream detaches over HTTP/1.1, with TLS or without, when its request has no body and no middleware has replaced
/// its response body (compression does) or set its length. Its response says `connection: close`. Every other stream
/// stays with its server, which the label `detached` of the metrics shows and a log event reports once for each
/// cause.
///
/// The server no longer counts a detached stream, as it does not count a WebSocket: the server's `max_connections`,
/// its `FuseConfig`, hyper's `half_close` and a `ConnCtrl` do not reach it; `stop_graceful` does not wait for it;
/// `stop_forceful`, or dropping the server's future, does not end it. The handler's own `max_connections` still
/// counts it. [`Store::close`](crate::Store::close) ends it, and
/// [`Store::closed`](crate::Store::closed) waits for it.
///
/// ```no_run
/// use tornadose::prelude::*;
///
/// #[store(latest)]
/// #[derive(Serialize)]
/// struct Tick(f64);
///
/// #[subscriber(sse, store = Tick)]
/// struct Ticks;
///
/// # #[tokio::main]
/// # async fn main() -> std::io::Result<()> {
/// let store = Store::new();
/// let router = Router::new().get(Ticks::handler(&store));
/// let handover = tornadose::Handover::new();
/// let server = Server::new(handover.wrap_acceptor(tornadose::listen("127.0.0.1:9000").await?));
/// server.max_connections(10_000).serve(handover.wrap_service(router)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Handover {
    sockets: Arc<SocketTable>,
}

impl Handover {
    /// Returns a handover for one server.
    ///
    /// ```
    /// let handover = tornadose::Handover::new();
    /// # drop(handover);
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Wraps an acceptor, so that its connections can give their sockets away. They are served by Salvo's coupler for
    /// TCP, which every acceptor of Salvo uses whose streams are bytes.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let handover = tornadose::Handover::new();
    /// let acceptor = handover.wrap_acceptor(tornadose::listen("127.0.0.1:0").await?);
    /// assert_ne!(acceptor.inner().local_addr()?.port(), 0);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn wrap_acceptor<A>(&self, inner: A) -> HandoverAcceptor<A>
    where
        A: Acceptor,
        A::Stream: AsyncRead + AsyncWrite,
    {
        HandoverAcceptor { inner, sockets: Arc::clone(&self.sockets) }
    }

    /// Wraps a service, whose streams then detach when they are served on an [acceptor](Self::wrap_acceptor) of this
    /// handover.
    ///
    /// The routes of GET that lead to a handler of this library also get HEAD and OPTIONS, for probes and for the
    /// preflight requests of browsers. Without a `Handover`, add such a route by `Router::goal`.
    ///
    /// ```
    /// use tornadose::prelude::*;
    ///
    /// let service = tornadose::Handover::new().wrap_service(Router::new());
    /// # drop(service);
    /// ```
    #[must_use]
    pub fn wrap_service(&self, service: impl Into<Service>) -> Service {
        let mut service = service.into();
        add_methods(&mut service);
        // The outermost middleware sees what all others made of the response.
        service.hoops.insert(0, Arc::new(LetDetach { sockets: Arc::clone(&self.sockets) }));
        service
    }
}

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover").finish_non_exhaustive()
    }
}

/// An acceptor whose connections can give their sockets to streams: see [`Handover::wrap_acceptor`].
///
/// ```
/// use salvo::conn::tcp::TcpAcceptor;
/// use tornadose::HandoverAcceptor;
///
/// /// A program that keeps its acceptor can name its type.
/// struct Listening {
///     acceptor: HandoverAcceptor<TcpAcceptor>,
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let tcp = tornadose::listen("127.0.0.1:0").await?;
/// let listening = Listening { acceptor: tornadose::Handover::new().wrap_acceptor(tcp) };
/// assert_ne!(listening.acceptor.inner().local_addr()?.port(), 0);
/// # Ok(())
/// # }
/// ```
pub struct HandoverAcceptor<A> {
    inner: A,
    sockets: Arc<SocketTable>,
}

impl<A> HandoverAcceptor<A> {
    /// Returns the wrapped acceptor.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let acceptor = tornadose::Handover::new().wrap_acceptor(tornadose::listen("127.0.0.1:0").await?);
    /// println!("listening on {}", acceptor.inner().local_addr()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn inner(&self) -> &A {
        &self.inner
    }
}

impl<A: fmt::Debug> fmt::Debug for HandoverAcceptor<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandoverAcceptor").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<A> Acceptor for HandoverAcceptor<A>
where
    A: Acceptor,
    A::Stream: AsyncRead + AsyncWrite,
{
    type Coupler = TcpCoupler<Self::Stream>;
    type Stream = HandoverIo;

    fn holdings(&self) -> &[Holding] {
        self.inner.holdings()
    }

    async fn accept(&mut self, fuse: Option<ArcFusePolicy>) -> io::Result<Accepted<Self::Coupler, Self::Stream>> {
        let accepted = self.inner.accept(fuse).await?;
        let address = Address::new(&accepted.local_addr, &accepted.remote_addr);
        let (key, handle) = self.sockets.insert(address, accepted.conn_ctrl.clone());
        let entry = SocketEntry { sockets: Arc::clone(&self.sockets), key, handle };
        Ok(accepted.map_into(|_| TcpCoupler::new(), |socket| HandoverIo { socket: Some(Box::new(socket)), entry }))
    }
}

/// The outermost middleware of a service whose streams may detach.
struct LetDetach {
    sockets: Arc<SocketTable>,
}

#[async_trait]
impl Handler for LetDetach {
    async fn handle(&self, req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
        let attached = if req.version() != Version::HTTP_11 {
            // HTTP/2 carries other streams on the same socket, and HTTP/1.0 has no chunks.
            Some(AttachedReason::HttpVersion)
        } else if !http_body::Body::is_end_stream(req.body()) {
            Some(AttachedReason::RequestBody)
        } else {
            None
        };
        // A middleware may change the request's addresses, so they are read before all others run.
        let address = Address::new(req.local_addr(), req.remote_addr());
        let table = Arc::clone(&self.sockets);
        req.extensions_mut().insert(SocketLookup { table, address, attached });
        ctrl.call_next(req, depot, res).await;
        if let Some(proposal) = res.extensions.remove::<Proposal>()
            && proposal.agree(res)
        {
            // RFC 9112 §9.6: the client sends no other request on this connection.
            res.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}
