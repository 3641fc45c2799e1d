//! The server's side of a harness: a whole `salvo::Server` behind an in-memory acceptor, stopped and started at will.

pub(crate) mod acceptor;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use salvo::conn::Acceptor;
use salvo::server::ServerHandle;
use salvo::{Server, Service};
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;

use crate::journal::Record;
use crate::runtime::settle;
use crate::server::acceptor::{Dialer, InMemoryAcceptor};
use crate::text::duration;

/// Serves this service to who dials.
type Serve = dyn Fn(InMemoryAcceptor, Service) -> (ServerHandle, JoinHandle<()>) + Send + Sync;

/// The server of a [`Harness`](crate::Harness), from [`Harness::server`](crate::Harness::server): stop it, start it
/// anew. Clients keep what they have recorded.
#[derive(Clone)]
pub struct ServerControl {
    shared: Arc<Shared>,
}

struct Shared {
    record: Arc<Record>,
    serve: Box<Serve>,
    state: Mutex<State>,
}

struct State {
    dialer: Dialer,
    handle: ServerHandle,
    serving: Option<JoinHandle<()>>,
    /// Connections so far, over all starts: each comes from its own port.
    connections: u32,
}

impl ServerControl {
    /// A server that `build` makes, now and whenever it is started anew.
    pub(crate) fn new<A: Acceptor + Send + 'static>(
        record: Arc<Record>,
        service: Service,
        build: impl Fn(InMemoryAcceptor) -> Server<A> + Send + Sync + 'static,
    ) -> Self {
        let serve: Box<Serve> = Box::new(move |pipes, service| {
            let mut server = build(pipes);
            // The date is the wall clock's.
            server.http1_mut().auto_date_header(false);
            let handle = server.handle();
            (handle, tokio::spawn(server.serve(service)))
        });
        let state = Mutex::new(start(service, &*serve));
        Self { shared: Arc::new(Shared { record, serve, state }) }
    }

    /// Dials the server; `None` when nobody listens.
    pub(crate) fn dial(&self, buffer_size: usize, client: Option<usize>) -> Option<DuplexStream> {
        let mut state = self.lock();
        state.connections += 1;
        let port = u16::try_from(1024 + state.connections % 60_000).expect("it is below 61024");
        let (stream, held) = state.dialer.dial(buffer_size, port)?;
        drop(state);
        if let Some(client) = client {
            self.shared.record.hold(client, held);
        }
        Some(stream)
    }

    /// Stops the server as a deploy does: it takes no more connections, ends those that are idle, and waits for the
    /// others, at most `limit` of virtual time. Returns when it has stopped.
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
        self.shared.record.run.allow(limit);
        self.shared.record.note_server(format!("stop gracefully, in {} at most", duration(limit)));
        self.lock().handle.stop_graceful(limit);
        self.stopped().await;
    }

    /// Stops the server at once: every connection that it still carries breaks off. A connection that a handler has
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
    /// assert_eq!(quiet.closed().await, Ending::Abort); // and from now on it tries to come back
    /// # });
    /// ```
    pub async fn stop(&self) {
        settle().await;
        self.shared.record.note_server("stop".into());
        self.lock().handle.stop_forceful();
        self.stopped().await;
    }

    /// Starts the server again, with this service and the configuration the harness was made with; one that still runs
    /// is stopped first. For an example see [`stop_gracefully`](Self::stop_gracefully).
    pub async fn start(&self, service: impl Into<Service>) {
        let serving = self.lock().serving.is_some();
        if serving {
            self.stop().await;
        }
        settle().await;
        self.shared.record.note_server("start".into());
        self.replace(service.into());
        settle().await;
    }

    fn replace(&self, service: Service) {
        let fresh = start(service, &*self.shared.serve);
        let mut state = self.lock();
        *state = State { connections: state.connections, ..fresh };
    }

    async fn stopped(&self) {
        let serving = self.lock().serving.take();
        if let Some(serving) = serving {
            // A panic of the server's task was noticed when it happened.
            let _ = serving.await;
        }
        settle().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start(service: Service, serve: &Serve) -> State {
    let (dialer, pipes) = acceptor::in_memory();
    let (handle, serving) = serve(pipes, service);
    State { dialer, handle, serving: Some(serving), connections: 0 }
}
