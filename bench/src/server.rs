//! The server in a process of its own, and the readers that load it.

use std::io;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{sleep, timeout};
use tornadose::prelude::*;

const ADDR: ([u8; 4], u16) = ([127, 0, 0, 1], 9399);

/// In every message once, and nowhere else: what the readers count.
const MARK: u8 = b'@';

#[store(queue, capacity = 4096)]
#[derive(Serialize)]
struct Load(String);

#[subscriber(sse, ws, store = Load)]
struct Loads;

/// Serves, and submits as many messages at once as each line of its input says.
pub(crate) async fn serve() -> io::Result<()> {
    let store = Store::new();
    let app = Server::new(tornadose::listen(SocketAddr::from(ADDR)).await?);
    println!("ready");
    let feed = store.clone();
    tokio::spawn(async move {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            for _ in 0..line.parse().unwrap_or(0) {
                if feed.submit(Load(format!("@{}", "x".repeat(125)))).await.is_err() {
                    break;
                }
            }
        }
        std::process::exit(0);
    });
    app.serve(Router::new().get(Loads::handler(&store))).await;
    Ok(())
}

/// A server that runs until it is dropped.
pub(crate) struct Loaded {
    child: Child,
    orders: ChildStdin,
    pub(crate) received: Arc<AtomicU64>,
}

impl Loaded {
    pub(crate) async fn start() -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("server")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (Some(orders), Some(ready)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("the server has no input or output"));
        };
        BufReader::new(ready).lines().next_line().await?;
        Ok(Self { child, orders, received: Arc::default() })
    }

    pub(crate) async fn stop(mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// Opens readers that count what comes, and show that they live.
    pub(crate) async fn read(&self, readers: u64, websocket: bool) -> io::Result<()> {
        let mut lines = Vec::new();
        for _ in 0..readers {
            let (input, output) = connect(websocket).await?.into_split();
            tokio::spawn(count(input, Arc::clone(&self.received)));
            lines.push(output);
        }
        tokio::spawn(show_life(lines, websocket));
        sleep(Duration::from_millis(300)).await;
        Ok(())
    }

    /// Submits so many messages at once, and waits until the readers have them; answers how many deliveries did not come
    /// within 20 s.
    pub(crate) async fn submit(&mut self, messages: u64, readers: u64) -> io::Result<u64> {
        let expected = self.received.load(Relaxed) + messages * readers;
        self.orders.write_all(format!("{messages}\n").as_bytes()).await?;
        self.orders.flush().await?;
        let all = async {
            while self.received.load(Relaxed) < expected {
                sleep(Duration::from_micros(200)).await;
            }
        };
        // What is late is what the answer says.
        let _late = timeout(Duration::from_secs(20), all).await;
        Ok(expected.saturating_sub(self.received.load(Relaxed)))
    }

    /// The time that the server has spent on a core, in user and in kernel space (Linux).
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        let text = self.proc("schedstat")?;
        let nanos = text.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
        nanos.map(Duration::from_nanos).ok_or_else(|| io::Error::other("no time in /proc/<pid>/schedstat"))
    }

    /// The memory that the server has resident, in KiB (Linux).
    pub(crate) fn memory(&self) -> io::Result<u64> {
        let pid = self.child.id().ok_or_else(|| io::Error::other("the server has ended"))?;
        memory_of(&pid.to_string())
    }

    fn proc(&self, file: &str) -> io::Result<String> {
        let pid = self.child.id().ok_or_else(|| io::Error::other("the server has ended"))?;
        std::fs::read_to_string(format!("/proc/{pid}/{file}"))
    }
}

/// The memory that a process has resident, in KiB (Linux).
pub(crate) fn memory_of(process: &str) -> io::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    kib.ok_or_else(|| io::Error::other("no VmRSS in /proc/<process>/status"))
}

pub(crate) async fn connect(websocket: bool) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(SocketAddr::from(ADDR)).await?;
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    let upgrade = if websocket { upgrade } else { "" };
    stream.write_all(format!("GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n{upgrade}\r\n").as_bytes()).await?;
    Ok(stream)
}

/// Sends a pong on every WebSocket now and then, as a browser would when it is pinged.
async fn show_life(mut lines: Vec<OwnedWriteHalf>, websocket: bool) -> io::Result<()> {
    // Masked with zeros (RFC 6455 §5.3).
    const PONG: [u8; 6] = [0x8A, 0x80, 0, 0, 0, 0];
    loop {
        sleep(Duration::from_secs(10)).await;
        for line in lines.iter_mut().filter(|_| websocket) {
            line.write_all(&PONG).await?;
        }
    }
}

async fn count(mut stream: OwnedReadHalf, received: Arc<AtomicU64>) -> io::Result<()> {
    let mut chunk = vec![0; 64 << 10];
    loop {
        let length = stream.read(&mut chunk).await?;
        if length == 0 {
            return Ok(());
        }
        received.fetch_add(chunk[..length].split(|byte| *byte == MARK).count() as u64 - 1, Relaxed);
    }
}
