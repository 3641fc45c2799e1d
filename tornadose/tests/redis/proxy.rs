//! A line to a server that a test can block, as a firewall would: nothing is refused, nothing comes through.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(crate) struct Proxy {
    pub(crate) port: u16,
    open: watch::Sender<bool>,
    target: Arc<AtomicU16>,
    accepting: tokio::task::JoinHandle<()>,
    /// Changes when all lines are to be cut.
    cut: watch::Sender<u32>,
}

impl Proxy {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (open, target, cut) = (watch::Sender::new(true), Arc::new(AtomicU16::new(port)), watch::Sender::new(0));
        let (gate, to, cuts) = (open.subscribe(), Arc::clone(&target), cut.subscribe());
        let port = listener.local_addr().unwrap().port();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, to.load(Ordering::Relaxed), gate.clone(), cuts.clone()));
            }
        });
        Self { port, open, target, accepting, cut }
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

    /// Cuts all lines; new ones go to another server.
    pub(crate) fn move_to(&self, port: u16) {
        self.target.store(port, Ordering::Relaxed);
        self.cut.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(client: TcpStream, port: u16, mut gate: watch::Receiver<bool>, mut cuts: watch::Receiver<u32>) {
    cuts.mark_unchanged();
    if gate.wait_for(|open| *open).await.is_err() {
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        () = pump(from_client, to_server, gate.clone()) => {}
        () = pump(from_server, to_client, gate) => {}
        _ = cuts.changed() => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut gate: watch::Receiver<bool>) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if gate.wait_for(|open| *open).await.is_err() || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
