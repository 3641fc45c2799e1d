//! Tower services under test, and the server that serves them as `axum::serve` does: HTTP/1.1, HTTP/2 and upgrades.

use std::convert::Infallible;
use std::error::Error;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use hyper::body::{Body, Incoming};
use hyper::service::Service as _;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower_service::Service;

use crate::server::acceptor::{InMemoryAcceptor, InMemoryStream};
use crate::server::running::{RunningServer, StopMode};
use crate::server::service::{HarnessService, ServiceKind};

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// The future that serves one connection until it ends.
type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The request to stop, for the accept loop and for each connection.
#[derive(Clone)]
struct StopSignal {
    mode: watch::Receiver<Option<StopMode>>,
}

/// Makes the same service for every client.
#[derive(Clone)]
struct SharedService<S>(S);

impl HarnessService {
    /// Makes one of a tower service: axum's `Router`, `tower::service_fn`, or any other. See
    /// [`Harness::tower`](crate::Harness::tower).
    ///
    /// ```
    /// use std::convert::Infallible;
    ///
    /// use hyper::body::Incoming;
    /// use hyper::{Request, Response};
    /// use tornadose_test::{Harness, HarnessService};
    ///
    /// # tornadose_test::run(async {
    /// let echo = tower::service_fn(async |request: Request<Incoming>| {
    ///     Ok::<_, Infallible>(Response::new(request.uri().path().to_owned()))
    /// });
    /// let app = Harness::tower(axum::Router::new());
    /// app.server().start(HarnessService::tower(echo)).await;
    /// assert_eq!(app.get("/echo").await.text(), "/echo");
    /// # });
    /// ```
    pub fn tower<S, B>(service: S) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send>,
        S: Clone + Send + 'static,
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        Self::tower_make_service(SharedService(service))
    }

    /// Makes one of a service that returns a tower service for each connection. See
    /// [`Harness::tower_make_service`](crate::Harness::tower_make_service).
    ///
    /// ```
    /// use std::net::SocketAddr;
    ///
    /// use axum::extract::ConnectInfo;
    /// use axum::routing::get;
    /// use tornadose_test::{Harness, HarnessService};
    ///
    /// # tornadose_test::run(async {
    /// let ip = get(async |ConnectInfo(client): ConnectInfo<SocketAddr>| client.ip().to_string());
    /// let router = axum::Router::new().route("/ip", ip);
    /// let app = Harness::tower(axum::Router::new());
    /// let service = router.into_make_service_with_connect_info::<SocketAddr>();
    /// app.server().start(HarnessService::tower_make_service(service)).await;
    /// assert_eq!(app.get("/ip").await.text(), "127.0.0.1");
    /// # });
    /// ```
    pub fn tower_make_service<M, S, B>(make_service: M) -> Self
    where
        M: Service<SocketAddr, Response = S, Future: Send> + Clone + Send + 'static,
        S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send>,
        S: Clone + Send + 'static,
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        let serve_one = move |stream, remote, stop| -> Serving {
            Box::pin(serve_connection(make_service.clone(), stream, remote, stop))
        };
        Self { kind: ServiceKind::Tower(Box::new(|acceptor| spawn(acceptor, serve_one))) }
    }
}

impl<S: Clone> Service<SocketAddr> for SharedService<S> {
    type Response = S;
    type Error = Infallible;
    type Future = Ready<Result<S, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: SocketAddr) -> Self::Future {
        ready(Ok(self.0.clone()))
    }
}

impl StopSignal {
    /// Waits until the server is asked to stop. A server whose control is dropped stops at once.
    async fn requested(&mut self) -> StopMode {
        let mode = self.mode.wait_for(Option::is_some).await.map(|mode| *mode);
        mode.ok().flatten().unwrap_or(StopMode::Forceful)
    }
}

/// Starts to serve on a task of its own. `serve_one` serves a connection.
fn spawn(
    acceptor: InMemoryAcceptor,
    serve_one: impl Fn(InMemoryStream, SocketAddr, StopSignal) -> Serving + Send + 'static,
) -> RunningServer {
    let (stop, mode) = watch::channel(None);
    let serving = tokio::spawn(serve(acceptor, serve_one, StopSignal { mode }));
    RunningServer::new(serving, move |mode| {
        stop.send_replace(Some(mode));
    })
}

async fn serve(
    mut acceptor: InMemoryAcceptor,
    serve_one: impl Fn(InMemoryStream, SocketAddr, StopSignal) -> Serving,
    mut stop: StopSignal,
) {
    // The connections that are left when it is dropped break off.
    let mut connections = JoinSet::new();
    let mode = loop {
        tokio::select! {
            biased;
            mode = stop.requested() => break mode,
            Some(remote) = acceptor.received() => {
                let stream = acceptor.take().expect("it was received above, and nothing else takes it");
                connections.spawn(serve_one(stream, remote, stop.clone()));
            }
            // The panic hook has recorded how a connection ended that panicked.
            Some(_) = connections.join_next() => {}
        }
    };
    drop(acceptor);
    if let StopMode::Graceful { limit } = mode {
        // The connections that are left at the limit break off.
        let _ = timeout(limit, async { while connections.join_next().await.is_some() {} }).await;
    }
}

/// Serves a connection until it ends or is upgraded. Where the service fails, the connection breaks off.
async fn serve_connection<M, S, B>(make_service: M, stream: InMemoryStream, remote: SocketAddr, mut stop: StopSignal)
where
    M: Service<SocketAddr, Response = S> + Clone,
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send>,
    S: Clone + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let Ok(service) = TowerToHyperService::new(make_service).call(remote).await else { return };
    let mut builder = Builder::new(TokioExecutor::new());
    // The date would be the wall clock's.
    builder.http1().auto_date_header(false);
    builder.http2().auto_date_header(false).enable_connect_protocol();
    let service = TowerToHyperService::new(service);
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    tokio::select! {
        biased;
        _ = connection.as_mut() => return,
        _ = stop.requested() => connection.as_mut().graceful_shutdown(),
    }
    // The client sees how its connection ended.
    let _ = connection.await;
}
