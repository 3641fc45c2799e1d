//! A proxy to a server. A test can block it as a firewall does: connections are accepted, and no bytes pass. Or it
//! carries only so many bytes a second.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// How many bytes wait in the proxy. What the kernel would hold for it looks to a sender as if it had arrived.
const BUFFER_BYTES: u32 = 64 << 10;

pub(crate) struct Proxy {
    pub(crate) port: u16,
    open: watch::Sender<bool>,
    target: Arc<AtomicU16>,
    accepting: tokio::task::JoinHandle<()>,
    /// Changes when every connection is to be cut.
    cuts: watch::Sender<u32>,
    up: Arc<Direction>,
    down: Arc<Direction>,
}

/// One direction, which all connections share.
#[derive(Default)]
struct Direction {
    /// How many bytes pass in a second; 0 if there is no limit.
    rate: AtomicU64,
    carried: AtomicU64,
    /// Whether what it carries is lost.
    loses: AtomicBool,
    free_at: Mutex<Option<Instant>>,
}

impl Direction {
    /// Waits until these bytes may pass.
    async fn carry(&self, bytes: usize) {
        self.carried.fetch_add(bytes as u64, Ordering::Relaxed);
        let rate = self.rate.load(Ordering::Relaxed);
        if rate == 0 {
            return;
        }
        let free_at = {
            let mut free_at = self.free_at.lock().unwrap();
            // What was not carried while the timer was late is carried now.
            let earliest = Instant::now().checked_sub(Duration::from_millis(5)).unwrap();
            let next =
                free_at.unwrap_or(earliest).max(earliest) + Duration::from_nanos(bytes as u64 * 1_000_000_000 / rate);
            *free_at.insert(next)
        };
        sleep_until(free_at).await;
    }
}

impl Proxy {
    pub(crate) async fn to(port: u16) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(BUFFER_BYTES).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(64).unwrap();
        let (open, target, cuts) = (watch::Sender::new(true), Arc::new(AtomicU16::new(port)), watch::Sender::new(0));
        let port = listener.local_addr().unwrap().port();
        let (up, down) = (Arc::<Direction>::default(), Arc::<Direction>::default());
        let accepting = tokio::spawn(accept(
            listener,
            Arc::clone(&target),
            open.subscribe(),
            cuts.subscribe(),
            (Arc::clone(&up), Arc::clone(&down)),
        ));
        Self { port, open, target, accepting, cuts, up, down }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub(crate) fn block(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn unblock(&self) {
        self.open.send_replace(true);
    }

    /// Lets only so many bytes pass in a second, in each direction.
    pub(crate) fn throttle(&self, bytes_per_second: u64) {
        for direction in [&self.up, &self.down] {
            direction.rate.store(bytes_per_second, Ordering::Relaxed);
        }
    }

    /// Loses what the server sends, or no longer.
    pub(crate) fn lose_replies(&self, loses: bool) {
        self.down.loses.store(loses, Ordering::Relaxed);
    }

    /// Returns how many bytes have passed to the server and from it.
    pub(crate) fn carried(&self) -> (u64, u64) {
        (self.up.carried.load(Ordering::Relaxed), self.down.carried.load(Ordering::Relaxed))
    }

    /// Connects new connections to another server. The others stay.
    pub(crate) fn redirect(&self, port: u16) {
        self.target.store(port, Ordering::Relaxed);
    }

    /// Cuts every connection. New ones go to another server.
    pub(crate) fn move_to(&self, port: u16) {
        self.redirect(port);
        self.cuts.send_modify(|count| *count += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    target: Arc<AtomicU16>,
    gate: watch::Receiver<bool>,
    cut: watch::Receiver<u32>,
    (up, down): (Arc<Direction>, Arc<Direction>),
) {
    while let Ok((client, _)) = listener.accept().await {
        let port = target.load(Ordering::Relaxed);
        tokio::spawn(forward(client, port, gate.clone(), cut.clone(), (Arc::clone(&up), Arc::clone(&down))));
    }
}

async fn forward(
    client: TcpStream,
    port: u16,
    mut gate: watch::Receiver<bool>,
    mut cut: watch::Receiver<u32>,
    (up, down): (Arc<Direction>, Arc<Direction>),
) {
    cut.mark_unchanged();
    if gate.wait_for(|open| *open).await.is_err() {
        return;
    }
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(BUFFER_BYTES).unwrap();
    let Ok(server) = socket.connect(([127, 0, 0, 1], port).into()).await else { return };
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        biased;
        _ = cut.changed() => {}
        () = copy(from_client, to_server, gate.clone(), &up) => {}
        () = copy(from_server, to_client, gate, &down) => {}
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut gate: watch::Receiver<bool>, direction: &Direction) {
    let mut bytes = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        direction.carry(count).await;
        if direction.loses.load(Ordering::Relaxed) {
            continue;
        }
        if gate.wait_for(|open| *open).await.is_err() || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
