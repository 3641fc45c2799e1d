//! Stores on Redis: submits from many tasks, beside `redis-benchmark` in the same round; the latency from a submit in one store to a
//! reader of another; and the time in which a new process loads 100,000 messages.

use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tornadose::Received;
use tornadose::backend::Redis;
use tornadose::prelude::*;

const SUBMITS: usize = 200_000;
const TASKS: usize = 2000;
const ROUNDS: usize = 3;
const HISTORY: usize = 100_000;

/// Makes 128 bytes of JSON. `redis-benchmark` appends the same.
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

/// A Redis server that only this benchmark uses.
pub(crate) struct RedisServer {
    pub(crate) child: Child,
    pub(crate) port: u16,
}

impl RedisServer {
    pub(crate) fn start() -> io::Result<Self> {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("redis-server: {error}")))?;
        let server = Self { child, port };
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if start.elapsed() > Duration::from_secs(10) {
                return Err(io::Error::other("redis-server accepted no connection within 10 s"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It stores nothing on disk, so it need not stop gracefully.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn run() -> io::Result<()> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?.block_on(measure())
}

async fn measure() -> io::Result<()> {
    let server = RedisServer::start()?;
    let url = server.url();
    let notes = Store::<Note>::open(Redis::streams(&url).history(HISTORY)).await?;
    let ticks = Store::<Tick>::open(Redis::streams(&url).history(HISTORY)).await?;
    println!("{TASKS} tasks, {SUBMITS} submits of 128 bytes; redis-benchmark -c 50 -P 16");
    println!("CPU: microseconds per submit, in this process (with reading its own entries) and in redis-server");
    println!(
        "{:>6} {:>16} {:>14} {:>6} {:>12} {:>14} {:>6} {:>12}",
        "round", "redis-benchmark", "queue", "ratio", "CPU", "latest", "ratio", "CPU"
    );
    for round in 1..=ROUNDS {
        let benchmark = redis_benchmark_rate(server.port)?;
        let queue = submit_rate(&notes, |_| Note { text: TEXT.into() });
        let (queue, queue_cpu) = with_cpu(&server, queue).await?;
        let latest = submit_rate(&ticks, |number| Tick { symbol: number % 1000, text: TEXT.into() });
        let (latest, latest_cpu) = with_cpu(&server, latest).await?;
        println!(
            "{round:>6} {benchmark:>14.0}/s {queue:>12.0}/s {:>6.2} {queue_cpu:>12} {latest:>12.0}/s {:>6.2} {latest_cpu:>12}",
            benchmark / queue,
            benchmark / latest
        );
    }
    print_latency(&notes, &url).await?;
    let start = Instant::now();
    let loaded = Store::<Note>::open(Redis::streams(&url).history(HISTORY)).await?;
    println!("a new process loads {HISTORY} messages in {:.0?}", start.elapsed());
    drop(loaded);
    Ok(())
}

/// Awaits a rate of submits. Returns it with the CPU time per submit, in this process and in the server.
async fn with_cpu(server: &RedisServer, rate: impl Future<Output = io::Result<f64>>) -> io::Result<(f64, String)> {
    let before = (cpu(std::process::id())?, cpu(server.child.id())?);
    let rate = rate.await?;
    let after = (cpu(std::process::id())?, cpu(server.child.id())?);
    let per_submit =
        |spent: Duration| spent.as_secs_f64() * 1e6 / f64::from(u32::try_from(SUBMITS).unwrap_or(u32::MAX));
    Ok((
        rate,
        format!(
            "{:.1} + {:.1}",
            per_submit(after.0.saturating_sub(before.0)),
            per_submit(after.1.saturating_sub(before.1))
        ),
    ))
}

/// The CPU time of a process so far, exact to 10 ms (proc(5)).
fn cpu(process: u32) -> io::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(10 * ticks))
}

/// Appends per second of `redis-benchmark`, of the same entries as a store writes.
pub(crate) fn redis_benchmark_rate(port: u16) -> io::Result<f64> {
    let payload = format!(r#"{{"text":"{TEXT}"}}"#);
    let output = Command::new("redis-benchmark")
        .args(["-p", &port.to_string(), "-c", "50", "-P", "16", "-n", &SUBMITS.to_string(), "--csv"])
        .args(["XADD", "bare", "MAXLEN", "~", "100000", "*", "data", &payload, "by", "k3v0q8zd-100000"])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rate = text.lines().last().and_then(|line| line.rsplit("\",\"").nth(6)?.trim_matches('"').parse().ok());
    rate.ok_or_else(|| io::Error::other(format!("unexpected output of redis-benchmark: {text}")))
}

/// Acknowledged submits per second, of all tasks together.
async fn submit_rate<M: Message>(
    store: &Store<M>,
    message: impl Fn(usize) -> M + Copy + Send + 'static,
) -> io::Result<f64> {
    let start = Instant::now();
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
    #[allow(clippy::cast_precision_loss, reason = "the count is below 2^52")]
    Ok(SUBMITS as f64 / start.elapsed().as_secs_f64())
}

/// Prints the latency from a submit in one store to a reader of another.
async fn print_latency(notes: &Store<Note>, url: &str) -> io::Result<()> {
    let other = Store::<Note>::open(Redis::streams(url).history(HISTORY)).await?;
    let mut reader = other.subscribe();
    let mut times = Vec::new();
    for number in 0..2000 {
        let start = Instant::now();
        notes.try_submit(Note { text: format!("latency {number}") }).map_err(io::Error::other)?;
        while let Some(Received::Message { message, .. }) = reader.next().await {
            if message.text == format!("latency {number}") {
                break;
            }
        }
        times.push(start.elapsed());
    }
    times.sort_unstable();
    println!("from a submit to a reader of another store: p50 {:.0?}, p99 {:.0?}", times[1000], times[1980]);
    Ok(())
}
