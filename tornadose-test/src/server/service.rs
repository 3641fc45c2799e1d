//! A service under test, of each kind that a harness serves.

use std::fmt;

use crate::server::acceptor::InMemoryAcceptor;
use crate::server::running::RunningServer;
#[cfg(feature = "salvo")]
use crate::server::salvo_server::HarnessServer;

/// A service under test: of Salvo, or of tower.
///
/// Whatever Salvo serves becomes one by `into`, a router for example. [`HarnessService::tower`] makes one of a tower
/// service. [`ServerControl::start`](crate::ServerControl::start) and
/// [`resume_at_every_byte`](crate::resume_at_every_byte) take both.
///
/// ```
/// use axum::routing::get;
/// use tornadose_test::{Harness, HarnessService};
///
/// # tornadose_test::run(async {
/// let app = Harness::new(salvo::Router::new());
/// assert_eq!(app.get("/").await.status(), 404);
/// let router = axum::Router::new().route("/", get(async || "served by axum now"));
/// app.server().start(HarnessService::tower(router)).await;
/// assert_eq!(app.get("/").await.text(), "served by axum now");
/// # });
/// ```
pub struct HarnessService {
    pub(crate) kind: ServiceKind,
}

pub(crate) enum ServiceKind {
    /// The harness makes its server.
    #[cfg(feature = "salvo")]
    Salvo(salvo::Service),
    /// The service brings its server, which this function starts.
    #[cfg(feature = "tower")]
    Tower(Box<dyn FnOnce(InMemoryAcceptor) -> RunningServer + Send>),
}

impl HarnessService {
    /// Serves it, by a server without a configuration.
    pub(crate) fn spawn(self, acceptor: InMemoryAcceptor) -> RunningServer {
        match self.kind {
            #[cfg(feature = "salvo")]
            ServiceKind::Salvo(service) => salvo::Server::new(acceptor).spawn(service),
            #[cfg(feature = "tower")]
            ServiceKind::Tower(start) => start(acceptor),
        }
    }
}

#[cfg(feature = "salvo")]
impl<S: Into<salvo::Service>> From<S> for HarnessService {
    fn from(service: S) -> Self {
        Self { kind: ServiceKind::Salvo(service.into()) }
    }
}

impl fmt::Debug for HarnessService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            #[cfg(feature = "salvo")]
            ServiceKind::Salvo(_) => "salvo",
            #[cfg(feature = "tower")]
            ServiceKind::Tower(_) => "tower",
        };
        f.debug_struct("HarnessService").field("kind", &kind).finish_non_exhaustive()
    }
}
