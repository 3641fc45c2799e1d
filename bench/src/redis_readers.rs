//! How many processes one Redis carries: its CPU time and its output per entry, with 1, 4 and 16 processes that each have a store
//! on it. One of them submits at a fixed rate. The appends alone are measured with a plain client.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval, sleep};
use tornadose::backend::Redis;
use tornadose::prelude::*;

use crate::figure::{median, to_f64};
use crate::process::{Process, pin_child, pin_readers, spawn_command_reader};
use crate::redis::{RedisServer, redis_benchmark_rate};

/// With none, a plain client appends, and nothing reads.
const PROCESSES: [u64; 4] = [0, 1, 4, 16];
const SIZES: [usize; 2] = [200, 2000];
const ROUNDS: usize = 3;
const DURATION: Duration = Duration::from_secs(5);
const HISTORY: usize = 10_000;

/// How the entries arrive.
#[derive(Clone, Copy, PartialEq)]
struct Pace {
    name: &'static str,
    period: Duration,
    entries: u64,
}

/// Each entry of the first is read alone. Those of the second are appended by one transaction, and read as one page.
const PACES: [Pace; 2] = [
    Pace { name: "200/s, one by one", period: Duration::from_millis(5), entries: 1 },
    Pace { name: "2,000/s, in batches of 20", period: Duration::from_millis(10), entries: 20 },
];

#[store(queue, memory = "4MiB", channel = "bench-readers")]
#[derive(Serialize, Deserialize)]
struct Entry {
    text: String,
}

impl Entry {
    /// Returns a message whose JSON has so many bytes.
    fn of_size(bytes: usize) -> Self {
        Self { text: "x".repeat(bytes - r#"{"text":""}"#.len()) }
    }
}

async fn open(url: &str) -> io::Result<Store<Entry>> {
    Store::open(Redis::streams(url).history(HISTORY)).await.map_err(io::Error::other)
}

/// One process that reads: it has a store, and says its head when it is asked.
pub(crate) fn read(url: &str) -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let store = open(url).await?;
        println!("ready");
        let asked = store.clone();
        spawn_command_reader(move |_| println!("head {}", asked.head()));
        store.closed().await;
        Ok(())
    })
}

/// The cost of one entry.
#[derive(Clone, Copy)]
struct Cost {
    processes: u64,
    size: usize,
    pace: Pace,
    /// CPU time of Redis, in microseconds.
    cpu: f64,
    /// Bytes that Redis sends to all processes together.
    output: f64,
}

pub(crate) fn run() -> io::Result<()> {
    let server = RedisServer::start()?;
    // Redis has a core of its own. The processes share the other one.
    pin_child(&server.child);
    pin_readers(1);
    let yardstick = redis_benchmark_rate(server.port)?;
    println!("redis-benchmark -c 50 -P 16 on this machine, XADD of 128 bytes: {yardstick:.0}/s");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let costs = runtime.block_on(measure(&server))?;
    print(&costs);
    Ok(())
}

async fn measure(server: &RedisServer) -> io::Result<Vec<Cost>> {
    let url = server.url();
    let before = Account::read(server.port)?;
    sleep(DURATION).await;
    let idle = Account::read(server.port)?.cpu - before.cpu;
    println!("idle: {:.1} ms of CPU in a second", idle * 1e3 / DURATION.as_secs_f64());
    let mut costs = Vec::new();
    for round in 1..=ROUNDS {
        let (mut plain, store) = (PlainWriter::connect(server.port)?, open(&url).await?);
        let mut others: Vec<Process> = Vec::new();
        for processes in PROCESSES {
            while (others.len() as u64) + 1 < processes {
                let mut process = Process::start(&["redis-reader".into(), url.clone()])?;
                process.reply("ready")?;
                others.push(process);
            }
            for size in SIZES {
                for pace in PACES {
                    eprint!("\r\x1b[Kround {round}: {processes} processes, {size} bytes, {}", pace.name);
                    let before = Account::read(server.port)?;
                    let entries = if processes == 0 {
                        append_at(pace, |count| plain.append(size, count)).await?
                    } else {
                        let submit =
                            |count| (0..count).try_for_each(|_| store.try_submit(Entry::of_size(size)).map(drop));
                        append_at(pace, |count| submit(count).map_err(io::Error::other)).await?
                    };
                    if processes > 0 {
                        wait_until_read(&store, &mut others, size).await?;
                    }
                    let after = Account::read(server.port)?;
                    costs.push(Cost {
                        processes,
                        size,
                        pace,
                        cpu: (after.cpu - before.cpu) * 1e6 / to_f64(entries),
                        output: (after.output - before.output) / to_f64(entries),
                    });
                }
            }
        }
    }
    eprint!("\r\x1b[K");
    Ok(costs)
}

/// Appends for a while at a fixed rate. Returns the number of entries.
async fn append_at(pace: Pace, mut append: impl FnMut(u64) -> io::Result<()>) -> io::Result<u64> {
    let started = Instant::now();
    let mut ticks = interval(pace.period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut entries = 0;
    while started.elapsed() < DURATION {
        ticks.tick().await;
        append(pace.entries)?;
        entries += pace.entries;
    }
    Ok(entries)
}

/// A client that appends the entries of a store, in transactions as a store does, to a stream that nothing reads.
struct PlainWriter(BufReader<TcpStream>);

impl PlainWriter {
    fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    fn append(&mut self, size: usize, entries: u64) -> io::Result<()> {
        let json = format!(r#"{{"text":"{}"}}"#, Entry::of_size(size).text);
        let history = HISTORY.to_string();
        let append = ["XADD", "plain", "MAXLEN", "~", &history, "*", "data", &json, "by", "k3v0q8zd-100000"];
        let mut commands = encode(&["MULTI"]);
        (0..entries).for_each(|_| commands.push_str(&encode(&append)));
        commands.push_str(&encode(&["EXEC"]));
        self.0.get_mut().write_all(commands.as_bytes())?;
        // One line for each command, and for the transaction its length and two lines for each id.
        for _ in 0..2 + entries + 2 * entries {
            let mut line = String::new();
            self.0.read_line(&mut line)?;
            if line.starts_with('-') || line.is_empty() {
                return Err(io::Error::other(format!("Redis sent {line:?}")));
            }
        }
        Ok(())
    }
}

/// Encodes a command as Redis reads it.
fn encode(words: &[&str]) -> String {
    let mut command = format!("*{}\r\n", words.len());
    command.extend(words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())));
    command
}

/// Submits one more message, and waits until every process has read it.
async fn wait_until_read(store: &Store<Entry>, others: &mut [Process], size: usize) -> io::Result<()> {
    let head = store.submit(Entry::of_size(size)).await.map_err(io::Error::other)?.to_string();
    let started = Instant::now();
    while store.head().to_string() != head {
        check_time(started)?;
        sleep(Duration::from_millis(5)).await;
    }
    for process in others {
        loop {
            process.command("head")?;
            if process.reply("head")? == head {
                break;
            }
            check_time(started)?;
            sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

fn check_time(started: Instant) -> io::Result<()> {
    let is_late = started.elapsed() > Duration::from_secs(20);
    if is_late { Err(io::Error::other("a process does not keep up")) } else { Ok(()) }
}

/// The CPU time and the output of Redis so far.
struct Account {
    /// Seconds.
    cpu: f64,
    /// Bytes.
    output: f64,
}

impl Account {
    fn read(port: u16) -> io::Result<Self> {
        let reply = Command::new("redis-cli").args(["-p", &port.to_string(), "INFO", "everything"]).output()?;
        let text = String::from_utf8_lossy(&reply.stdout).into_owned();
        let field = |name: &str| -> io::Result<f64> {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let value = value.and_then(|value| value.trim().parse().ok());
            value.ok_or_else(|| io::Error::other(format!("no {name} in INFO")))
        };
        Ok(Self { cpu: field("used_cpu_user")? + field("used_cpu_sys")?, output: field("total_net_output_bytes")? })
    }
}

fn print(costs: &[Cost]) {
    let median_of = |size, pace, processes, value: fn(&Cost) -> f64| {
        let measured = costs.iter();
        let measured = measured.filter(|cost| cost.size == size && cost.pace == pace && cost.processes == processes);
        median(measured.map(value))
    };
    println!("medians of {ROUNDS} rounds of {DURATION:?}, per entry; `reading` and `output` of each process");
    println!(
        "{:>26} {:>6} {:>10} {:>10} {:>10} {:>10} {:>14}",
        "pace", "bytes", "processes", "CPU", "reading", "output", "full core at"
    );
    for pace in PACES {
        for size in SIZES {
            let append = median_of(size, pace, 0, |cost| cost.cpu);
            let replies = median_of(size, pace, 0, |cost| cost.output);
            for processes in PROCESSES {
                let cpu = median_of(size, pace, processes, |cost| cost.cpu);
                let output = median_of(size, pace, processes, |cost| cost.output);
                let per_process = |all: f64| if processes == 0 { 0.0 } else { all / to_f64(processes) };
                println!(
                    "{:>26} {size:>6} {processes:>10} {cpu:>7.1} µs {:>7.1} µs {:>8.0} B {:>12.0}/s",
                    pace.name,
                    per_process(cpu - append),
                    per_process(output - replies),
                    1e6 / cpu
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_the_size_that_is_asked_for() {
        assert_eq!(serde_json::to_string(&Entry::of_size(200)).map(|json| json.len()).ok(), Some(200));
    }
}
