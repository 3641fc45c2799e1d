//! The interface between a harness and the server that it runs.

use std::fmt;
use std::time::Duration;

use salvo::conn::Acceptor;
use salvo::{Server, Service};
use tokio::task::JoinHandle;

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

/// A server that serves on a task, from [`HarnessServer::spawn`].
pub struct RunningServer {
    stop: Box<dyn Fn(StopMode) + Send + Sync>,
    pub(crate) serving: JoinHandle<()>,
}

/// How a [`RunningServer`] is asked to stop.
///
/// ```
/// use std::time::Duration;
/// use tornadose_test::StopMode;
///
/// assert_ne!(StopMode::Forceful, StopMode::Graceful { limit: Duration::from_secs(5) });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopMode {
    /// Accept no more connections, end the idle ones, and wait for the others.
    Graceful {
        /// The longest wait, in virtual time.
        limit: Duration,
    },
    /// End every connection at once.
    Forceful,
}

impl RunningServer {
    /// Returns a server whose task is `serving`. `stop` asks it to stop; the task then ends.
    ///
    /// ```
    /// use tokio::sync::watch;
    /// use tornadose_test::RunningServer;
    ///
    /// # tornadose_test::run(async {
    /// let (stop, mut stopped) = watch::channel(false);
    /// let serving = tokio::spawn(async move {
    ///     stopped.wait_for(|stopped| *stopped).await.ok();
    /// });
    /// let server = RunningServer::new(serving, move |_mode| drop(stop.send_replace(true)));
    /// # drop(server);
    /// # });
    /// ```
    pub fn new(serving: JoinHandle<()>, stop: impl Fn(StopMode) + Send + Sync + 'static) -> Self {
        Self { stop: Box::new(stop), serving }
    }

    pub(crate) fn stop(&self, mode: StopMode) {
        (self.stop)(mode);
    }
}

impl fmt::Debug for RunningServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningServer").field("serving", &self.serving).finish_non_exhaustive()
    }
}

impl<A: Acceptor + Send + 'static> HarnessServer for Server<A> {
    fn spawn(mut self, service: Service) -> RunningServer {
        // The date would be the wall clock's.
        self.http1_mut().auto_date_header(false);
        let handle = self.handle();
        RunningServer::new(tokio::spawn(self.serve(service)), move |mode| match mode {
            StopMode::Graceful { limit } => handle.stop_graceful(limit),
            StopMode::Forceful => handle.stop_forceful(),
        })
    }
}
