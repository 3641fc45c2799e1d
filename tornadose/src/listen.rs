//! Where connections come from: an acceptor for streams, a service that lets them take their sockets over, and a server that ends them
//! when it is told to stop. How a socket is taken over is `handler::handover`'s affair.

mod line;

use std::any::TypeId;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use salvo::conn::tcp::{TcpAcceptor, TcpCoupler};
use salvo::conn::{Accepted, Acceptor, Holding};
use salvo::fuse::ArcFusePolicy;
use salvo::{Depot, FlowCtrl, Handler, Request, Response, Server, Service, async_trait};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, ToSocketAddrs, lookup_host};

use self::line::Line;
use crate::handler::connections::{Connections, LAST_WORDS};
use crate::handler::handover::Agrees;
use crate::store::readers::End;

/// How long a byte may stay unacknowledged before its line is given up (RFC 5482).
const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;

/// A Salvo acceptor for event streams: Nagle's algorithm is off, so that a small event leaves at once, and a client that
/// vanished is noticed 30 s after the first byte that it does not acknowledge (on Linux).
///
/// # Errors
///
/// When the address cannot be resolved or taken; the error names it. (Salvo's own listener panics.)
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// use tornadose::prelude::*;
///
/// let server = Server::new(tornadose::listen("127.0.0.1:0").await?);
/// # drop(server);
/// # Ok(())
/// # }
/// ```
pub async fn listen(addr: impl ToSocketAddrs) -> io::Result<impl Acceptor> {
    bind(addr).await.map(Lines)
}

/// As [`listen`], on an acceptor of your own, say of a Unix socket: streams may take its sockets over, see [`direct`], and a WebSocket does.
/// Its connections are served by Salvo's coupler for TCP.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// use salvo::conn::tcp::TcpAcceptor;
/// use tokio::net::TcpListener;
///
/// let acceptor = TcpAcceptor::try_from(TcpListener::bind("127.0.0.1:0").await?)?;
/// let acceptor = tornadose::listen_on(acceptor);
/// # drop(acceptor);
/// # Ok(())
/// # }
/// ```
pub fn listen_on<A>(acceptor: A) -> impl Acceptor
where
    A: Acceptor,
    A::Stream: AsyncRead + AsyncWrite,
{
    Lines(acceptor)
}

/// A service whose event streams go on by themselves once their head is out, as a WebSocket does: a task of ours writes to the socket,
/// and what had served the request is dropped. That takes a tenth of the memory, and a delivery less than a third of the instructions. [`serve`]
/// does so, and [`serve_on`] with an acceptor of [`listen`] or [`listen_on`]; this is for who runs Salvo's `Server`, on such an acceptor.
///
/// A stream goes on by itself over HTTP/1.1, when its request has no body, no middleware has put its body into another (compression
/// does, where it is let), and its socket takes lists of pieces, as TCP and Unix sockets do. Its answer says `connection: close`, also where
/// the acceptor turns out to be another. As with a WebSocket, the server counts it no more: the server's `max_connections`, its
/// `FuseConfig`, hyper's `half_close` and a `ConnCtrl` do not reach it; `stop_graceful` does not wait for it; `stop_forceful`, or dropping the
/// server's future, does not end it. The handler's own `max_connections` still counts it. [`Store::close`](crate::Store::close) ends it,
/// and [`Store::closed`](crate::Store::closed) waits for it.
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
/// let server = Server::new(tornadose::listen("127.0.0.1:9000").await?);
/// server.serve(tornadose::direct(router)).await;
/// # Ok(())
/// # }
/// ```
pub fn direct(service: impl Into<Service>) -> Service {
    let mut service = service.into();
    // Before all others, for it sees what they made of the response.
    service.hoops.insert(0, Arc::new(Agrees));
    service
}

/// Accepts sockets as [`Line`]s.
struct Lines<A>(A);

impl<A> Acceptor for Lines<A>
where
    A: Acceptor,
    A::Stream: AsyncRead + AsyncWrite,
{
    type Coupler = TcpCoupler<Self::Stream>;
    type Stream = Line;

    fn holdings(&self) -> &[Holding] {
        self.0.holdings()
    }

    async fn accept(&mut self, fuse: Option<ArcFusePolicy>) -> io::Result<Accepted<Self::Coupler, Self::Stream>> {
        Ok(self.0.accept(fuse).await?.map_into(|_| TcpCoupler::new(), Line::over))
    }
}

async fn bind(addr: impl ToSocketAddrs) -> io::Result<TcpAcceptor> {
    let mut refused = io::Error::new(io::ErrorKind::InvalidInput, "the address names no place to listen at");
    let unresolved = |error: io::Error| io::Error::new(error.kind(), format!("cannot resolve the address: {error}"));
    for addr in lookup_host(addr).await.map_err(unresolved)? {
        match listen_at(addr).and_then(TcpAcceptor::try_from) {
            Ok(acceptor) => return Ok(acceptor),
            Err(error) => refused = io::Error::new(error.kind(), Taken { addr, error }),
        }
    }
    Err(refused)
}

fn listen_at(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // Accepted sockets inherit these.
    socket.set_tcp_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// An address that could not be listened at. `main` prints its `Debug`, so that is a sentence too.
struct Taken {
    addr: SocketAddr,
    error: io::Error,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.addr, self.error)
    }
}

impl fmt::Debug for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Taken {}

/// Serves until Ctrl-C or SIGTERM, then ends every stream it carries and drains. Prints the URL once it listens.
///
/// A stream that does not end within 5 s, because its client takes nothing, is aborted; so is everything on a second Ctrl-C.
///
/// # Errors
///
/// When the address cannot be taken, or no signal can be waited for.
///
/// # Cancel safety
///
/// A future that is dropped ends its connections at once, without a goodbye.
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
/// tornadose::serve("127.0.0.1:9000", Router::new().get(Ticks::handler(&store))).await
/// # }
/// ```
pub async fn serve(addr: impl ToSocketAddrs, service: impl Into<Service>) -> io::Result<()> {
    let acceptor = bind(addr).await?;
    if let Ok(addr) = acceptor.inner().local_addr() {
        println!("listening on http://{addr}");
    }
    serve_on(Lines(acceptor), service).await
}

/// As [`serve`], on an acceptor of your own, say one with TLS, or after words of your own. Prints nothing. Streams go on by themselves
/// as [`direct`] says when the acceptor is one of [`listen`] or [`listen_on`].
///
/// # Errors
///
/// When no signal can be waited for.
///
/// # Cancel safety
///
/// A future that is dropped ends its connections at once, without a goodbye.
///
/// ```no_run
/// # use tornadose::prelude::*;
/// # #[tokio::main]
/// # async fn main() -> std::io::Result<()> {
/// let acceptor = tornadose::listen("127.0.0.1:9000").await?;
/// println!("try http://localhost:9000/tornadose.js");
/// let router = Router::with_path("tornadose.js").get(tornadose::script());
/// tornadose::serve_on(acceptor, router).await
/// # }
/// ```
pub async fn serve_on<A: Acceptor>(acceptor: A, service: impl Into<Service>) -> io::Result<()> {
    let mut stop = Stop::new()?;
    let kept = Carried(Arc::default());
    let carried = &kept.0;
    let server = Server::new(acceptor);
    let handle = server.handle();
    let service = service.into().hoop(Carries(Arc::clone(carried)));
    let on_lines = TypeId::of::<A::Stream>() == TypeId::of::<Line>();
    let serving = server.try_serve(if on_lines { direct(service) } else { service });
    tokio::pin!(serving);
    tokio::select! {
        biased;
        () = stop.asked() => {}
        ended = &mut serving => return ended,
    }
    carried.stop(End::Stopping);
    let drained = async {
        if tokio::time::timeout(LAST_WORDS, carried.all_gone()).await.is_err() {
            carried.abort_all();
        }
        handle.stop_graceful(LAST_WORDS);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        () = stop.asked() => Ok(()),
        ended = &mut serving => ended,
        () = drained => Ok(()),
    }
}

/// The connections of a server, of which none outlives it: some have tasks of their own.
struct Carried(Arc<Connections>);

impl Drop for Carried {
    fn drop(&mut self) {
        self.0.stop(End::Stopping);
        self.0.abort_all();
    }
}

/// Tells every live handler which connections the server carries.
struct Carries(Arc<Connections>);

#[async_trait]
impl Handler for Carries {
    async fn handle(&self, req: &mut Request, _: &mut Depot, _: &mut Response, _: &mut FlowCtrl) {
        req.extensions_mut().insert(Arc::clone(&self.0));
    }
}

/// Ctrl-C, and SIGTERM where there is such a thing.
struct Stop {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Stop {
    #[cfg(unix)]
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    #[cfg(unix)]
    async fn asked(&mut self) {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn asked(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use socket2::SockRef;
    use tokio::net::TcpStream;

    use super::{USER_TIMEOUT, bind};

    #[tokio::test]
    async fn a_line_sends_at_once_and_is_given_up_after_thirty_seconds_without_an_answer() {
        let acceptor = bind("127.0.0.1:0").await.unwrap();
        let addr = acceptor.inner().local_addr().unwrap();
        let (_page, accepted) = tokio::join!(TcpStream::connect(addr), acceptor.inner().accept());
        let (line, _) = accepted.unwrap();
        let line = SockRef::from(&line);
        assert!(line.tcp_nodelay().unwrap());
        assert_eq!(line.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT));
    }
}
