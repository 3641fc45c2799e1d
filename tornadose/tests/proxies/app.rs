//! The server behind a proxy. It can be stopped, killed and started again at its port, with its messages kept.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use salvo::http::StatusCode;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tornadose::prelude::*;

pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(1);

pub(crate) const MAX_AGE: Duration = Duration::from_secs(5);

#[store(queue)]
#[derive(Serialize)]
pub(crate) struct Line(String);

#[subscriber(sse, ws, store = Line, replay = 1, receive = Self::receive)]
pub(crate) struct Lines;

impl Lines {
    #[allow(clippy::unused_self, reason = "the shape of the hook")]
    async fn receive(&mut self, text: String, store: &Store<Line>) -> Result<(), String> {
        store.submit(Line(text)).await.map(drop).map_err(|error| error.to_string())
    }
}

/// `/ready`, which a proxy asks.
#[derive(Clone)]
struct Ready(Arc<AtomicBool>);

#[handler]
impl Ready {
    async fn handle(&self, res: &mut Response) {
        let status = if self.0.load(Relaxed) { StatusCode::NO_CONTENT } else { StatusCode::SERVICE_UNAVAILABLE };
        res.status_code(status);
    }
}

/// `/port`, which tells the servers behind a proxy apart.
struct Port(u16);

#[handler]
impl Port {
    async fn handle(&self, res: &mut Response) {
        res.render(format!("port {}", self.0));
    }
}

pub(crate) struct App {
    store: Store<Line>,
    ready: Ready,
    port: u16,
    running: Option<Running>,
}

struct Running {
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl App {
    pub(crate) async fn start() -> Self {
        Self::start_with(Store::new()).await
    }

    /// Starts with a store that other servers share, as over Redis.
    pub(crate) async fn start_with(store: Store<Line>) -> Self {
        let mut app = Self { store, ready: Ready(Arc::new(true.into())), port: 0, running: None };
        app.start_again().await;
        app
    }

    pub(crate) fn store(&self) -> &Store<Line> {
        &self.store
    }

    pub(crate) fn set_ready(&self, ready: bool) {
        self.ready.0.store(ready, Relaxed);
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) async fn start_again(&mut self) {
        let acceptor = tornadose::listen(("127.0.0.1", self.port)).await.unwrap();
        self.port = acceptor.local_addr().unwrap().port();
        // `/silent` sends no keep-alives.
        let router = Router::new()
            .push(Router::with_path("ready").get(self.ready.clone()))
            .push(Router::with_path("port").get(Port(self.port)))
            .push(Router::with_path("lines").get(Lines::handler(&self.store).keep_alive(KEEP_ALIVE)))
            .push(Router::with_path("aging").get(Lines::handler(&self.store).keep_alive(KEEP_ALIVE).max_age(MAX_AGE)))
            .push(Router::with_path("silent").get(Lines::handler(&self.store).keep_alive(None)));
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(tornadose::serve_with_shutdown(acceptor, router, async {
            let _stopped_or_dropped = stopped.await;
        }));
        self.running = Some(Running { stop, serving });
    }

    /// Stops the server as a deploy does. Returns how long it took.
    pub(crate) async fn stop(&mut self) -> Duration {
        let start = Instant::now();
        let Running { stop, serving } = self.running.take().unwrap();
        stop.send(()).unwrap();
        serving.await.unwrap().unwrap();
        start.elapsed()
    }

    /// Ends the server without a last frame on any stream, as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.running.take().unwrap().serving.abort();
    }

    pub(crate) async fn submit(&self, text: &str) {
        self.store.submit(Line(text.into())).await.unwrap();
    }

    /// Waits until so many connections are open. Returns how long it took.
    pub(crate) async fn wait_for_readers(&self, readers: usize) -> Duration {
        let start = Instant::now();
        while self.store.subscribers() != readers {
            assert!(start.elapsed() < Duration::from_secs(20), "{} readers", self.store.subscribers());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        start.elapsed()
    }
}
