//! Harnesses around tower services, axum's routers among them.

use std::net::SocketAddr;

use hyper::body::{Body, Incoming};
use hyper::{Request, Response};
use tower_service::Service;

use crate::harness::Harness;
use crate::server::service::HarnessService;
use crate::server::tower_server::BoxError;

impl Harness {
    /// Makes a harness around a tower service: axum's `Router`, `tower::service_fn`, or any other over hyper. The
    /// service is served as `axum::serve` does it, without the `date` header, which would be the wall clock's, and
    /// without timeouts of the server's own. Each request goes to a clone of the service, when that is ready.
    ///
    /// ```
    /// use std::convert::Infallible;
    ///
    /// use axum::Router;
    /// use axum::response::sse::{Event, Sse};
    /// use axum::routing::get;
    /// use futures_util::stream::{Stream, iter};
    /// use tornadose_test::{Harness, assert_transcript};
    ///
    /// async fn count() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    ///     Sse::new(iter(["1", "2"].map(|n| Ok(Event::default().id(n).data(n)))))
    /// }
    /// # tornadose_test::run(async {
    /// let app = Harness::tower(Router::new().route("/count", get(count)));
    /// app.client("ada").once().sse("/count").await;
    /// assert_transcript!(app, @r"
    /// ada > GET /count
    /// ada ~ open 200 text/event-stream
    /// ada < message #1 1
    /// ada < message #2 2
    /// ada ~ end
    /// ");
    /// # });
    /// ```
    ///
    /// Where the service returns an error, the connection breaks off, as hyper does it. A panic of the service fails the
    /// test, unless it is [expected](Self::expect_panic).
    ///
    /// # Panics
    ///
    /// Outside of `#[tornadose_test::test]` and [`run`](crate::run).
    pub fn tower<S, B>(service: S) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send>,
        S: Clone + Send + 'static,
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        Self::serving(HarnessService::tower(service), |acceptor, service| service.spawn(acceptor))
    }

    /// Makes a harness around a service that returns a tower service for each connection. It is called with the address
    /// of the client, whose port is different for each connection. axum's
    /// `Router::into_make_service_with_connect_info::<SocketAddr>()` is one, for handlers that extract
    /// `ConnectInfo<SocketAddr>`.
    ///
    /// ```
    /// use std::net::SocketAddr;
    ///
    /// use axum::Router;
    /// use axum::extract::ConnectInfo;
    /// use axum::routing::get;
    /// use tornadose_test::Harness;
    ///
    /// # tornadose_test::run(async {
    /// let ip = get(async |ConnectInfo(client): ConnectInfo<SocketAddr>| client.ip().to_string());
    /// let router = Router::new().route("/ip", ip);
    /// let app = Harness::tower_make_service(router.into_make_service_with_connect_info::<SocketAddr>());
    /// assert_eq!(app.get("/ip").await.text(), "127.0.0.1");
    /// # });
    /// ```
    ///
    /// Where it returns an error, the connection breaks off.
    ///
    /// # Panics
    ///
    /// Outside of `#[tornadose_test::test]` and [`run`](crate::run).
    pub fn tower_make_service<M, S, B>(make_service: M) -> Self
    where
        M: Service<SocketAddr, Response = S, Future: Send> + Clone + Send + 'static,
        S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send>,
        S: Clone + Send + 'static,
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        let service = HarnessService::tower_make_service(make_service);
        Self::serving(service, |acceptor, service| service.spawn(acceptor))
    }
}
