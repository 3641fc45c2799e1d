//! A proxy to a server. A test can block it as a firewall does: connections are accepted, and no bytes pass.

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
    /// Changes when every connection is to be cut.
    cuts: watch::Sender<u32>,
}

impl Proxy {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (open, target, cuts) = (watch::Sender::new(true), Arc::new(AtomicU16::new(port)), watch::Sender::new(0));
        let (gate, current_target, cut) = (open.subscribe(), Arc::clone(&target), cuts.subscribe());
        let port = listener.local_addr().unwrap().port();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, current_target.load(Ordering::Relaxed), gate.clone(), cut.clone()));
            }
        });
        Self { port, open, target, accepting, cuts }
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

    /// Cuts every connection. New ones go to another server.
    pub(crate) fn move_to(&self, port: u16) {
        self.target.store(port, Ordering::Relaxed);
        self.cuts.send_modify(|count| *count += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn forward(client: TcpStream, port: u16, mut gate: watch::Receiver<bool>, mut cut: watch::Receiver<u32>) {
    cut.mark_unchanged();
    if gate.wait_for(|open| *open).await.is_err() {
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        () = copy(from_client, to_server, gate.clone()) => {}
        () = copy(from_server, to_client, gate) => {}
        _ = cut.changed() => {}
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut gate: watch::Receiver<bool>) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if gate.wait_for(|open| *open).await.is_err() || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
