//! The contestants: each serves the same messages at `/`, and those of a key at `/KEY`.

mod axum;
mod floor;
mod salvo;
mod tornadose;

use std::io;
use std::net::SocketAddr;

use clap::ValueEnum;
use serde::Serialize;
use tokio::sync::{broadcast, mpsc};

use crate::process;
use crate::scenario::Transport;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contestant {
    /// An epoll loop that writes bytes made beforehand: one `write` for each client and event, or batch.
    Floor,
    /// Salvo's own SSE and WebSocket over `tokio::sync::broadcast`.
    Salvo,
    /// axum's own SSE and WebSocket over `tokio::sync::broadcast`.
    Axum,
    Tornadose,
}

impl Contestant {
    pub(crate) const ALL: [Self; 4] = [Self::Floor, Self::Salvo, Self::Axum, Self::Tornadose];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Salvo => "salvo by hand",
            Self::Axum => "axum by hand",
            Self::Tornadose => "tornadose",
        }
    }
}

/// How many messages a log or a channel keeps.
const KEPT: usize = 4096;

/// How many keys there are.
pub(crate) const KEYS: u32 = 10_000;

/// In every message once, and nowhere else: what the readers count.
pub(crate) const MARK: u8 = b'@';

/// The next message: 128 bytes that begin with when it was made.
fn message() -> String {
    format!("@{:020}{}", process::now(), "x".repeat(107))
}

/// Serves, until the standard input ends, and submits as its lines say: so many messages to all, or one to each key.
pub(crate) fn serve(contestant: Contestant, transport: Transport, threads: usize) -> io::Result<()> {
    process::pin(true, threads);
    if contestant == Contestant::Floor {
        return floor::serve(transport);
    }
    let mut builder = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.worker_threads(threads).enable_all().build()?.block_on(async {
        match contestant {
            Contestant::Salvo => salvo::serve(transport).await,
            Contestant::Axum => axum::serve(transport).await,
            Contestant::Tornadose => tornadose::serve(transport).await,
            Contestant::Floor => Ok(()),
        }
    })
}

/// What a line of the standard input asks for.
#[derive(Clone, Copy)]
enum Order {
    All(u64),
    EachKey,
}

fn order(line: &str) -> Order {
    line.parse().map_or(Order::EachKey, Order::All)
}

fn orders() -> mpsc::UnboundedReceiver<Order> {
    let (sender, receiver) = mpsc::unbounded_channel();
    process::on_orders(move |line| {
        // The server ends with this thread.
        let _ended = sender.send(order(line));
    });
    receiver
}

fn ready(addr: SocketAddr) {
    println!("ready {}", addr.port());
}

/// What somebody writes who has no store: a channel for all, and one for each key.
struct Channels {
    all: broadcast::Sender<String>,
    keys: Vec<broadcast::Sender<String>>,
}

impl Channels {
    fn new() -> Self {
        let channel = |kept| broadcast::channel(kept).0;
        Self { all: channel(KEPT), keys: (0..KEYS).map(|_| channel(16)).collect() }
    }

    /// Those of `/KEY`, or of `/`.
    fn subscribe(&self, path: &str) -> broadcast::Receiver<String> {
        let key = path.trim_start_matches('/').parse().ok().and_then(|key: usize| self.keys.get(key));
        key.unwrap_or(&self.all).subscribe()
    }

    async fn run(&self) {
        let mut orders = orders();
        while let Some(order) = orders.recv().await {
            // A channel without a reader refuses a message.
            match order {
                Order::All(count) => (0..count).for_each(|_| drop(self.all.send(message()))),
                Order::EachKey => self.keys.iter().for_each(|key| drop(key.send(message()))),
            }
        }
    }
}
