//! A look at what a delivery costs: one server process on one core's worth of runtime, 1000 SSE and 1000 WebSocket readers on
//! loopback, messages of 128 bytes one at a time and in bursts. Prints the server's CPU per delivery, and whether any was lost.

use std::io;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{ChildStdin, Command};
use tokio::time::{sleep, timeout};
use tornadose::prelude::*;

const READERS: u64 = 1000;

/// In every message once, and nowhere else: what the readers count.
const MARK: u8 = b'@';

#[store(queue, capacity = 4096)]
#[derive(Serialize)]
struct Load(String);

#[subscriber(sse, ws, store = Load)]
struct Loads;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    if std::env::args().nth(1).as_deref() == Some("server") { server().await } else { look().await }
}

/// Serves, and submits as many messages at once as each line of its input says.
async fn server() -> io::Result<()> {
    let store = Store::new();
    let app = Server::new(tornadose::listen(("127.0.0.1", 9399)).await?);
    println!("ready");
    let feed = store.clone();
    tokio::spawn(async move {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            for _ in 0..line.parse().unwrap_or(0) {
                feed.submit(Load(format!("@{}", "x".repeat(125)))).await.map_err(io::Error::other)?;
            }
        }
        std::process::exit(0);
        #[expect(unreachable_code, reason = "names the error of `?`")]
        io::Result::Ok(())
    });
    app.serve(Router::new().get(Loads::handler(&store))).await;
    Ok(())
}

async fn look() -> io::Result<()> {
    let mut server = Command::new(std::env::current_exe()?)
        .arg("server")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (Some(mut orders), Some(ready), Some(pid)) = (server.stdin.take(), server.stdout.take(), server.id()) else {
        return Err(io::Error::other("the server has no input or output"));
    };
    BufReader::new(ready).lines().next_line().await?;

    println!(
        "{:<12} {:>7} {:>9} {:>12} {:>14} {:>6}",
        "transport", "burst", "messages", "deliveries", "CPU/delivery", "lost"
    );
    for (transport, websocket) in [("sse", false), ("ws", true)] {
        let received = Arc::new(AtomicU64::new(0));
        let mut readers = Vec::new();
        for _ in 0..READERS {
            let stream = connect(websocket).await?;
            readers.push(tokio::spawn(count(stream, Arc::clone(&received))));
        }
        sleep(Duration::from_millis(300)).await;
        for (burst, times) in [(1, 500), (100, 50)] {
            let before = (received.load(Relaxed), cpu(pid)?);
            let expected = before.0 + burst * times * READERS;
            for time in 1..=times {
                order(&mut orders, burst).await?;
                await_count(&received, before.0 + burst * time * READERS).await;
            }
            let (deliveries, cpu) = (received.load(Relaxed) - before.0, cpu(pid)?.saturating_sub(before.1));
            let each = cpu / u32::try_from(deliveries.max(1)).unwrap_or(u32::MAX);
            let lost = expected - received.load(Relaxed);
            println!("{transport:<12} {burst:>7} {:>9} {deliveries:>12} {each:>14.2?} {lost:>6}", burst * times);
        }
        for reader in readers {
            reader.abort();
        }
        sleep(Duration::from_millis(300)).await;
    }
    Ok(())
}

async fn order(orders: &mut ChildStdin, messages: u64) -> io::Result<()> {
    orders.write_all(format!("{messages}\n").as_bytes()).await?;
    orders.flush().await
}

/// Waits until so many messages were received; what has not come after 5 s is lost.
async fn await_count(received: &AtomicU64, expected: u64) {
    let all = async {
        while received.load(Relaxed) < expected {
            sleep(Duration::from_micros(200)).await;
        }
    };
    if timeout(Duration::from_secs(5), all).await.is_err() {
        eprintln!("not all came within 5 s");
    }
}

async fn connect(websocket: bool) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], 9399))).await?;
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    let upgrade = if websocket { upgrade } else { "" };
    stream.write_all(format!("GET / HTTP/1.1\r\nhost: 127.0.0.1:9399\r\n{upgrade}\r\n").as_bytes()).await?;
    Ok(stream)
}

async fn count(mut stream: TcpStream, received: Arc<AtomicU64>) -> io::Result<()> {
    let mut chunk = vec![0; 64 << 10];
    loop {
        let length = stream.read(&mut chunk).await?;
        if length == 0 {
            return Ok(());
        }
        received.fetch_add(chunk[..length].split(|byte| *byte == MARK).count() as u64 - 1, Relaxed);
    }
}

/// The time that a process has spent on a core, in user and in kernel space (Linux).
fn cpu(pid: u32) -> io::Result<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
    let nanos = text.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    nanos.map(Duration::from_nanos).ok_or_else(|| io::Error::other("no time in /proc/<pid>/schedstat"))
}
