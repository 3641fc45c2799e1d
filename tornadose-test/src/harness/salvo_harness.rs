//! Harnesses around services of Salvo.

use salvo::fuse::FuseConfig;
use salvo::{Server, Service};

use crate::harness::Harness;
use crate::server::acceptor::InMemoryAcceptor;
use crate::server::salvo_server::HarnessServer;
use crate::server::service::ServiceKind;

impl Harness {
    /// Makes a harness around a router or a whole service.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let news = app.sse("/news").await;
    /// # news.skip(1).await;
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// Outside of `#[tornadose_test::test]` and [`run`](crate::run).
    pub fn new(service: impl Into<Service>) -> Self {
        Self::configured(service, |_| {})
    }

    /// Makes a harness whose server is configured before it serves, and again whenever it is
    /// [started again](crate::ServerControl::start). Its responses have no `date` header, which would be the wall
    /// clock's.
    ///
    /// ```
    /// # use salvo::prelude::*;
    /// # #[handler]
    /// # async fn hello() -> &'static str { "hello" }
    /// # use tornadose_test::Harness;
    /// # tornadose_test::run(async {
    /// let app = Harness::configured(Router::new().get(hello), |server| {
    ///     server.http1_mut().title_case_headers(true);
    /// });
    /// assert_eq!(app.get("/").await.text(), "hello");
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// Outside of `#[tornadose_test::test]` and [`run`](crate::run).
    pub fn configured(
        service: impl Into<Service>,
        configure: impl Fn(&mut Server<InMemoryAcceptor>) + Send + Sync + 'static,
    ) -> Self {
        Self::with_server(service, move |acceptor| {
            let mut server = Server::new(acceptor);
            configure(&mut server);
            server
        })
    }

    /// Makes a harness whose server has this fuse, also after it is [started again](crate::ServerControl::start). The
    /// fuse's timeouts are in virtual time.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// use salvo::fuse::FuseConfig;
    /// # app.sse("/news").await.skip(1).await;
    ///
    /// let app = Harness::with_fuse(Router::with_path("news").get(serve_news), FuseConfig::strict());
    /// let news = app.sse("/news").await;
    /// # news.skip(1).await;
    /// assert_eq!(news.status(), 200);
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// Outside of `#[tornadose_test::test]` and [`run`](crate::run).
    pub fn with_fuse(service: impl Into<Service>, fuse: FuseConfig) -> Self {
        Self::with_server(service, move |acceptor| Server::new(acceptor).fuse_config(fuse))
    }

    /// Makes a harness whose server `server` makes, now and whenever it is
    /// [started again](crate::ServerControl::start). The function gets the acceptor of the clients' connections, and
    /// may wrap it.
    ///
    /// The result is a `salvo::Server`, or another [`HarnessServer`]. The responses of a `salvo::Server` have no `date`
    /// header, which would be the wall clock's.
    ///
    /// ```
    /// # use salvo::prelude::*;
    /// # #[handler]
    /// # async fn hello() -> &'static str { "hello" }
    /// # use tornadose_test::Harness;
    /// # tornadose_test::run(async {
    /// let app = Harness::with_server(Router::new().get(hello), |acceptor| Server::new(acceptor).max_connections(1));
    /// assert_eq!(app.get("/").await.text(), "hello");
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// Outside of `#[tornadose_test::test]` and [`run`](crate::run).
    pub fn with_server<S: HarnessServer>(
        service: impl Into<Service>,
        server: impl Fn(InMemoryAcceptor) -> S + Send + Sync + 'static,
    ) -> Self {
        Self::serving(service.into().into(), move |acceptor, service| match service.kind {
            ServiceKind::Salvo(service) => server(acceptor).spawn(service),
            #[cfg(feature = "tower")]
            ServiceKind::Tower(start) => start(acceptor),
        })
    }
}
