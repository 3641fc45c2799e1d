//! The servers that are compared. Each serves all messages at `/`, and those of one key at `/KEY`.

mod axum;
mod floor;
mod salvo;
mod tornadose;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use clap::ValueEnum;
use serde::Serialize;
use tokio::sync::{broadcast, mpsc};

use crate::process;
use crate::scenario::Transport;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ServerKind {
    /// An epoll loop that writes prepared bytes: one `write` per client and event, or per client and batch.
    Floor,
    /// Salvo's own SSE and WebSocket over `tokio::sync::broadcast`.
    Salvo,
    /// axum's own SSE and WebSocket over `tokio::sync::broadcast`.
    Axum,
    Tornadose,
}

impl ServerKind {
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

/// How many messages a channel keeps, as many as the store.
const CAPACITY: usize = 4096;

/// How many keys there are.
pub(crate) const KEYS: u32 = 10_000;

/// A byte that occurs once in every message and nowhere else. The readers count it.
pub(crate) const MARK: u8 = b'@';

/// The next message: 128 bytes that begin with the mark and the time.
fn message() -> String {
    format!("@{:020}{}", process::now(), "x".repeat(107))
}

/// Serves until the standard input ends. Each of its lines is a command to submit messages.
pub(crate) fn serve(server: ServerKind, transport: Transport, threads: usize) -> io::Result<()> {
    process::pin_server(threads);
    let serving: Pin<Box<dyn Future<Output = io::Result<()>>>> = match server {
        ServerKind::Floor => return floor::serve(transport),
        ServerKind::Salvo => Box::pin(salvo::serve(transport)),
        ServerKind::Axum => Box::pin(axum::serve(transport)),
        ServerKind::Tornadose => Box::pin(tornadose::serve(transport)),
    };
    let mut builder = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.worker_threads(threads).enable_all().build()?.block_on(serving)
}

/// A line of the standard input.
#[derive(Clone, Copy)]
enum Command {
    /// Submit so many messages to all readers.
    SubmitToAll(u64),
    /// Submit one message to each key.
    SubmitToEachKey,
}

fn parse_command(line: &str) -> Command {
    match line {
        "each key" => Command::SubmitToEachKey,
        number => Command::SubmitToAll(number.parse().unwrap_or_else(|_| panic!("not a command: {line:?}"))),
    }
}

fn spawn_command_reader() -> mpsc::UnboundedReceiver<Command> {
    let (sender, receiver) = mpsc::unbounded_channel();
    process::spawn_command_reader(move |line| {
        // Sending fails only while this process exits.
        let _exiting = sender.send(parse_command(line));
    });
    receiver
}

fn print_ready(addr: SocketAddr) {
    println!("ready {}", addr.port());
}

/// The channels of a server without a store: one for all messages, and one per key.
struct Channels {
    all: broadcast::Sender<String>,
    keys: Vec<broadcast::Sender<String>>,
}

impl Channels {
    fn new() -> Self {
        let channel = |capacity| broadcast::channel(capacity).0;
        Self { all: channel(CAPACITY), keys: (0..KEYS).map(|_| channel(16)).collect() }
    }

    /// Subscribes to the channel of `/KEY`, or to that of `/`.
    fn subscribe(&self, path: &str) -> broadcast::Receiver<String> {
        let key = path.trim_start_matches('/').parse().ok().and_then(|key: usize| self.keys.get(key));
        key.unwrap_or(&self.all).subscribe()
    }

    async fn run_commands(&self) {
        let mut commands = spawn_command_reader();
        while let Some(command) = commands.recv().await {
            // `send` fails while a channel has no reader, and then nothing is to be delivered.
            match command {
                Command::SubmitToAll(count) => (0..count).for_each(|_| drop(self.all.send(message()))),
                Command::SubmitToEachKey => self.keys.iter().for_each(|key| drop(key.send(message()))),
            }
        }
    }
}
