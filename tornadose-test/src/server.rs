//! The server of a harness: it accepts from an in-memory acceptor, and the test stops and starts it.

pub(crate) mod acceptor;
pub(crate) mod running;
#[cfg(feature = "salvo")]
pub(crate) mod salvo_server;
pub(crate) mod service;
#[cfg(feature = "tower")]
pub(crate) mod tower_server;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::DuplexStream;

use crate::journal::Journal;
use crate::runtime::current::settle;
use crate::server::acceptor::{Dialer, InMemoryAcceptor};
use crate::server::running::{RunningServer, StopMode};
use crate::server::service::HarnessService;
use crate::text::duration;

/// Starts a server for a service.
type Start = dyn Fn(InMemoryAcceptor, HarnessService) -> RunningServer + Send + Sync;

/// The server of a [`Harness`](crate::Harness), from [`Harness::server`](crate::Harness::server), to stop it and to
/// start it again. Clients keep what they have recorded.
#[derive(Clone)]
pub struct ServerControl {
    shared: Arc<Shared>,
}

struct Shared {
    journal: Arc<Journal>,
    start: Box<Start>,
    state: Mutex<State>,
}

struct State {
    dialer: Dialer,
    /// `None` while the server is stopped.
    server: Option<RunningServer>,
    /// The number of connections so far, over all starts: each has a port of its own.
    connections: u32,
}

impl ServerControl {
    /// Starts a server by `start`, now and whenever it is started again.
    pub(crate) fn new(
        journal: Arc<Journal>,
        service: HarnessService,
        start: impl Fn(InMemoryAcceptor, HarnessService) -> RunningServer + Send + Sync + 'static,
    ) -> Self {
        let start: Box<Start> = Box::new(start);
        let (dialer, server) = start_server(service, &*start);
        let state = Mutex::new(State { dialer, server: Some(server), connections: 0 });
        let control = Self { shared: Arc::new(Shared { journal, start, state }) };
        let at_end = control.clone();
        control.shared.journal.add_shutdown(move || at_end.stop_now());
        control
    }

    /// Connects to the server; `None` when no server is listening.
    pub(crate) fn dial(&self, buffer_size: usize, client: Option<usize>) -> Option<DuplexStream> {
        let mut state = self.lock();
        state.connections += 1;
        let port = u16::try_from(1024 + state.connections % 60_000).expect("the port is below 61024");
        let (stream, server_end) = state.dialer.dial(buffer_size, port)?;
        drop(state);
        if let Some(client) = client {
            self.shared.journal.track_connection(client, server_end);
        }
        Some(stream)
    }

    /// Stops the server as a deployment does. It accepts no more connections, ends the idle ones, and waits for the
    /// others, for at most `limit` of virtual time. Returns when the server has stopped.
    ///
    /// ```
    /// # use salvo::prelude::*;
    /// # #[handler]
    /// # async fn hello() -> &'static str { "hello" }
    /// # use tornadose_test::{Harness, assert_transcript};
    /// # tornadose_test::run(async {
    /// use std::time::Duration;
    ///
    /// let app = Harness::new(Router::new().get(hello));
    /// app.server().stop_gracefully(Duration::from_secs(5)).await;
    /// app.get("/").await;
    /// app.server().start(Router::new().get(hello)).await;
    /// app.get("/").await;
    /// assert_transcript!(app, @r"
    /// server ! stop gracefully, in 5s at most
    /// client > GET /
    /// client ~ refused
    /// server ! start
    /// client > GET /
    /// client ~ answer 200 hello
    /// ");
    /// # });
    /// ```
    pub async fn stop_gracefully(&self, limit: Duration) {
        settle().await;
        self.shared.journal.run.allow_time(limit);
        self.shared.journal.record_server_action(format!("stop gracefully, in {} at most", duration(limit)), true);
        self.stop_server(StopMode::Graceful { limit }).await;
    }

    /// Stops the server at once: every connection that it still serves breaks off. A connection that a handler has
    /// taken over belongs to that handler's task, as on a real server.
    ///
    /// ```
    /// # use salvo::prelude::*;
    /// # #[handler]
    /// # async fn serve_quiet(res: &mut Response) {
    /// #     res.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
    /// #     let open = res.channel();
    /// #     tokio::spawn(async move { std::future::pending::<()>().await; drop(open) });
    /// # }
    /// # use tornadose_test::{Ending, Harness};
    /// # tornadose_test::run(async {
    /// let app = Harness::new(Router::with_path("quiet").get(serve_quiet));
    /// let quiet = app.sse("/quiet").await;
    /// app.server().stop().await;
    /// assert_eq!(quiet.closed().await, Ending::Abort); // and from now on the client tries to reconnect
    /// # });
    /// ```
    pub async fn stop(&self) {
        settle().await;
        self.shared.journal.record_server_action("stop".into(), true);
        self.stop_server(StopMode::Forceful).await;
    }

    /// Starts the server again, with this service. A running server is stopped first. For an example see
    /// [`stop_gracefully`](Self::stop_gracefully).
    ///
    /// The service is one of Salvo, whose server has the harness's configuration, or
    /// [one of tower](HarnessService::tower).
    pub async fn start(&self, service: impl Into<HarnessService>) {
        let service = service.into();
        let is_running = self.lock().server.is_some();
        if is_running {
            self.stop().await;
        }
        settle().await;
        self.shared.journal.record_server_action("start".into(), false);
        self.replace(service);
        settle().await;
    }

    fn replace(&self, service: HarnessService) {
        let (dialer, server) = start_server(service, &*self.shared.start);
        let mut state = self.lock();
        (state.dialer, state.server) = (dialer, Some(server));
    }

    /// Stops the server, if it is running, and waits for nothing.
    fn stop_now(&self) {
        if let Some(server) = self.lock().server.take() {
            server.stop(StopMode::Forceful);
        }
    }

    async fn stop_server(&self, mode: StopMode) {
        let server = self.lock().server.take();
        if let Some(server) = server {
            server.stop(mode);
            // A panic of the server's task is recorded by the panic hook.
            let _ = server.serving.await;
        }
        settle().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ServerControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerControl").field("server", &self.lock().server).finish_non_exhaustive()
    }
}

fn start_server(service: HarnessService, start: &Start) -> (Dialer, RunningServer) {
    let (dialer, acceptor) = acceptor::in_memory();
    (dialer, start(acceptor, service))
}
