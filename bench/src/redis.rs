//! What Redis costs: submits from many tasks beside bare `redis-benchmark` in the same round, the time from a submit in one store to a
//! reader of another, and how long a new process takes to load 100,000 messages.

use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tornadose::prelude::*;
use tornadose::{Received, Redis};

const SUBMITS: usize = 200_000;
const TASKS: usize = 2000;
const ROUNDS: usize = 3;
const HISTORY: usize = 100_000;

/// 128 bytes of JSON, as `redis-benchmark` appends them too.
const TEXT: &str =
    "hello, hello, hello, hello, hello, hello, hello, hello, hello, hello, hello, hello, hello, hello, hello, hello";

#[store(queue, channel = "bench-queue")]
#[derive(Serialize, Deserialize)]
struct Note {
    text: String,
}

#[store(latest, channel = "bench-latest")]
#[derive(Serialize, Deserialize)]
struct Tick {
    #[key]
    symbol: usize,
    text: String,
}

/// A server of the benchmark's own.
struct Server {
    child: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It keeps nothing that would be missed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn run() -> io::Result<()> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?.block_on(measure())
}

async fn measure() -> io::Result<()> {
    let server = start()?;
    let url = format!("redis://127.0.0.1:{}/", server.port);
    let notes = Store::<Note>::open(Redis::streams(&url).history(HISTORY)).await?;
    let ticks = Store::<Tick>::open(Redis::streams(&url).history(HISTORY)).await?;
    println!("{TASKS} tasks, {SUBMITS} submits of 128 bytes; redis-benchmark -c 50 -P 16");
    println!("CPU: microseconds per submit in this process (its reading back included), and in redis-server");
    println!(
        "{:>6} {:>16} {:>14} {:>6} {:>12} {:>14} {:>6} {:>12}",
        "round", "redis-benchmark", "queue", "ratio", "CPU", "latest", "ratio", "CPU"
    );
    for round in 1..=ROUNDS {
        let bare = bare(server.port)?;
        let (queue, queue_cpu) = costed(&server, rate(&notes, |_| Note { text: TEXT.into() })).await?;
        let latest = rate(&ticks, |number| Tick { symbol: number % 1000, text: TEXT.into() });
        let (latest, latest_cpu) = costed(&server, latest).await?;
        println!(
            "{round:>6} {bare:>14.0}/s {queue:>12.0}/s {:>6.2} {queue_cpu:>12} {latest:>12.0}/s {:>6.2} {latest_cpu:>12}",
            bare / queue,
            bare / latest
        );
    }
    latency(&notes, &url).await?;
    let begun = Instant::now();
    let loaded = Store::<Note>::open(Redis::streams(&url).history(HISTORY)).await?;
    println!("a new process loads {HISTORY} messages in {:.0?}", begun.elapsed());
    drop(loaded);
    Ok(())
}

/// What comes out, and what it cost here and in the server, per submit.
async fn costed(server: &Server, work: impl Future<Output = io::Result<f64>>) -> io::Result<(f64, String)> {
    let before = (cpu(std::process::id())?, cpu(server.child.id())?);
    let rate = work.await?;
    let after = (cpu(std::process::id())?, cpu(server.child.id())?);
    let each = |spent: Duration| spent.as_secs_f64() * 1e6 / f64::from(u32::try_from(SUBMITS).unwrap_or(u32::MAX));
    Ok((rate, format!("{:.1} + {:.1}", each(after.0.saturating_sub(before.0)), each(after.1.saturating_sub(before.1)))))
}

/// What a process has spent so far, in hundredths of a second (proc(5)).
fn cpu(process: u32) -> io::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(10 * ticks))
}

fn start() -> io::Result<Server> {
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let child = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("redis-server: {error}")))?;
    let server = Server { child, port };
    let since = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        if since.elapsed() > Duration::from_secs(10) {
            return Err(io::Error::other("redis-server does not start"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(server)
}

/// How many appends a second `redis-benchmark` gets done, of entries as a store writes them.
fn bare(port: u16) -> io::Result<f64> {
    let payload = format!(r#"{{"text":"{TEXT}"}}"#);
    let output = Command::new("redis-benchmark")
        .args(["-p", &port.to_string(), "-c", "50", "-P", "16", "-n", &SUBMITS.to_string(), "--csv"])
        .args(["XADD", "bare", "MAXLEN", "~", "100000", "*", "data", &payload, "by", "k3v0q8zd-100000"])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rate = text.lines().last().and_then(|line| line.rsplit("\",\"").nth(6)?.trim_matches('"').parse().ok());
    rate.ok_or_else(|| io::Error::other(format!("redis-benchmark says: {text}")))
}

/// How many submits a second many tasks get acknowledged.
async fn rate<M: Message>(store: &Store<M>, message: impl Fn(usize) -> M + Copy + Send + 'static) -> io::Result<f64> {
    let begun = Instant::now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in (task..SUBMITS).step_by(TASKS) {
                    store.submit(message(number)).await.map_err(io::Error::other)?;
                }
                io::Result::Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    #[allow(clippy::cast_precision_loss, reason = "a rate")]
    Ok(SUBMITS as f64 / begun.elapsed().as_secs_f64())
}

/// The time from a submit in one store to a reader of another.
async fn latency(notes: &Store<Note>, url: &str) -> io::Result<()> {
    let other = Store::<Note>::open(Redis::streams(url).history(HISTORY)).await?;
    let mut reader = other.subscribe();
    let mut times = Vec::new();
    for number in 0..2000 {
        let begun = Instant::now();
        notes.try_submit(Note { text: format!("latency {number}") }).map_err(io::Error::other)?;
        while let Some(Received::Message { message, .. }) = reader.next().await {
            if message.text == format!("latency {number}") {
                break;
            }
        }
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    println!("from a submit to a reader of another store: p50 {:.0?}, p99 {:.0?}", times[1000], times[1980]);
    Ok(())
}
