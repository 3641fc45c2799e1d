//! A server that ends its streams before it stops.

use std::future::Pending;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;

use salvo::conn::Acceptor;
use salvo::{Depot, FlowCtrl, Handler, Request, Response, Server, Service, async_trait};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::ToSocketAddrs;

use crate::handler::connection::registry::{CLOSE_TIMEOUT, Connections};
use crate::server::bind::listen;
use crate::server::handover::Handover;
use crate::store::end::EndReason;

/// Serves until Ctrl-C or SIGTERM, then ends every stream that it carries and drains. Prints its URL once it listens.
///
/// A stream that does not end within 5 s, because its client takes nothing, is aborted. A second Ctrl-C or SIGTERM
/// aborts everything.
///
/// Streams detach, see [`Handover`].
///
/// # Errors
///
/// When the address cannot be resolved or taken, or no signal can be waited for.
///
/// # Panics
///
/// Outside of a tokio runtime with time and I/O enabled.
///
/// # Cancel safety
///
/// Dropping the future aborts its connections at once, without a last frame.
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
    let acceptor = listen(addr).await?;
    if let Ok(addr) = acceptor.local_addr() {
        println!("listening on http://{addr}");
    }
    serve_on(acceptor, service).await
}

/// Serves like [`serve`] on an acceptor of your own: one with TLS, one of a Unix socket, or one that lets you print a
/// startup message of your own. Prints nothing.
///
/// # Errors
///
/// When no signal can be waited for.
///
/// # Panics
///
/// Outside of a tokio runtime with time and I/O enabled.
///
/// # Cancel safety
///
/// Dropping the future aborts its connections at once, without a last frame.
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
pub async fn serve_on<A>(acceptor: A, service: impl Into<Service>) -> io::Result<()>
where
    A: Acceptor,
    A::Stream: AsyncRead + AsyncWrite,
{
    let signals = Shutdown::<Pending<()>>::Signals(Signals::new()?);
    serve_until(acceptor, service.into(), signals).await
}

/// Serves like [`serve_on`] until a future of your own is ready, instead of a signal: for a program that has its own
/// idea of when to stop, and for tests.
///
/// When `shutdown` is ready, every stream is ended, and aborted after 5 s; the server returns when its connections
/// are gone. Signals are left alone.
///
/// # Errors
///
/// None at present: Salvo logs an accept that failed, and tries again.
///
/// # Cancel safety
///
/// Dropping the future aborts its connections at once, without a last frame.
///
/// ```
/// # use tornadose::prelude::*;
/// # #[tokio::main]
/// # async fn main() -> std::io::Result<()> {
/// let acceptor = tornadose::listen("127.0.0.1:0").await?;
/// let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
/// let router = Router::with_path("tornadose.js").get(tornadose::script());
/// let serving = tokio::spawn(tornadose::serve_with_shutdown(acceptor, router, async {
///     let _stopped_or_dropped = stopped.await;
/// }));
/// stop.send(()).unwrap();
/// serving.await.unwrap()
/// # }
/// ```
pub async fn serve_with_shutdown<A>(
    acceptor: A,
    service: impl Into<Service>,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()>
where
    A: Acceptor,
    A::Stream: AsyncRead + AsyncWrite,
{
    serve_until(acceptor, service.into(), Shutdown::Future(Box::pin(shutdown))).await
}

async fn serve_until<A, F>(acceptor: A, service: Service, mut shutdown: Shutdown<F>) -> io::Result<()>
where
    A: Acceptor,
    A::Stream: AsyncRead + AsyncWrite,
    F: Future<Output = ()> + Send,
{
    let guard = ServedConnections(Arc::default());
    let connections = &guard.0;
    let handover = Handover::new();
    let server = Server::new(handover.wrap_acceptor(acceptor));
    let handle = server.handle();
    let service = service.hoop(TrackConnections(Arc::clone(connections)));
    let mut serving = pin!(server.try_serve(handover.wrap_service(service)));
    tokio::select! {
        biased;
        () = shutdown.recv() => {}
        ended = &mut serving => return ended,
    }
    connections.stop(EndReason::Stopping);
    let drain = async {
        if tokio::time::timeout(CLOSE_TIMEOUT, connections.wait_until_empty()).await.is_err() {
            connections.abort_all();
            // The hooks of connections that were aborted run now.
            let _in_time = tokio::time::timeout(CLOSE_TIMEOUT, connections.wait_until_empty()).await;
        }
        handle.stop_graceful(CLOSE_TIMEOUT);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        () = shutdown.recv() => Ok(()),
        ended = &mut serving => ended,
        () = drain => Ok(()),
    }
}

/// The connections of a server. None outlives it, also those with a task of their own.
struct ServedConnections(Arc<Connections>);

impl Drop for ServedConnections {
    fn drop(&mut self) {
        self.0.stop(EndReason::Stopping);
        self.0.abort_all();
    }
}

/// A middleware that tells each stream handler which connections the server carries.
struct TrackConnections(Arc<Connections>);

#[async_trait]
impl Handler for TrackConnections {
    async fn handle(&self, req: &mut Request, _: &mut Depot, _: &mut Response, _: &mut FlowCtrl) {
        req.extensions_mut().insert(Arc::clone(&self.0));
    }
}

/// What stops a server.
enum Shutdown<F> {
    Signals(Signals),
    Future(Pin<Box<F>>),
    /// The future has been ready.
    Done,
}

impl<F: Future<Output = ()>> Shutdown<F> {
    async fn recv(&mut self) {
        match self {
            Self::Signals(signals) => signals.recv().await,
            Self::Future(future) => {
                future.await;
                *self = Self::Done;
            }
            Self::Done => std::future::pending().await,
        }
    }
}

/// Ctrl-C, and SIGTERM where the system has it.
struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    #[cfg(unix)]
    async fn recv(&mut self) {
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
    async fn recv(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
