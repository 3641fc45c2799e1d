//! The CPU time that a process takes for each message of other processes, by the readers that it has.

use std::io;
use std::time::Duration;

use futures_util::StreamExt;
use tornadose::backend::Redis;
use tornadose::prelude::*;

use crate::figure::{median, to_f64};
use crate::process::Process;
use crate::redis::RedisServer;

const ROUNDS: usize = 5;
const KEYS: u32 = 10_000;

/// More than is ever submitted: nothing is trimmed unread.
const HISTORY: usize = 1_000_000;

/// The readers of the process that is measured.
const READERS: [&str; 4] = ["all", "one", "none", "eager"];

/// How messages are submitted: so many of this size, with this pause after each.
const LOADS: [(&str, usize, u32, Option<Duration>); 4] = [
    ("200 B, in pages", 1, 200_000, None),
    ("200 B, 1,000 a second", 1, 5000, Some(Duration::from_millis(1))),
    ("2 kB, in pages", 35, 100_000, None),
    ("2 kB, 1,000 a second", 35, 5000, Some(Duration::from_millis(1))),
];

/// A message with some lines of text.
#[store(queue, channel = "bench-foreign")]
#[derive(Serialize, Deserialize)]
struct Note {
    #[key]
    room: u32,
    user: String,
    sent_at: u64,
    lines: Vec<String>,
}

/// The same messages in a program whose keys have other JSON. It decodes each when it arrives.
mod eager {
    use tornadose::prelude::*;

    #[store(queue, channel = "bench-foreign")]
    #[derive(Serialize, Deserialize)]
    pub(super) struct Note {
        #[key]
        #[serde(rename = "room")]
        another_name: u32,
        user: String,
        sent_at: u64,
        lines: Vec<String>,
    }
}

fn note(number: u32, lines: usize) -> Note {
    let line = "the quick brown fox jumps over the lazy dog, twice";
    Note {
        room: number % KEYS,
        user: "ada.lovelace@example.org, in the room since nine o'clock this morning, from a browser".into(),
        sent_at: 1_764_412_800_000 + u64::from(number),
        lines: vec![line.into(); lines],
    }
}

pub(crate) fn run() -> io::Result<()> {
    println!("microseconds of CPU per message of another process, in a process with readers of:");
    println!("{:<24} {:>6} {:>10} {:>10} {:>10} {:>14}", "", "bytes", "all keys", "one key", "no key", "none, decoded");
    for (name, lines, messages, pause) in LOADS {
        let bytes = serde_json::to_string(&note(KEYS - 1, lines))?.len();
        let mut times: [Vec<f64>; READERS.len()] = Default::default();
        for _ in 0..ROUNDS {
            for (readers, times) in READERS.iter().zip(&mut times) {
                times.push(measure(readers, lines, messages, pause)?);
            }
        }
        let [all, one, none, eager] = times.map(|times| median(times.into_iter()));
        println!("{name:<24} {bytes:>6} {all:>10.1} {one:>10.1} {none:>10.1} {eager:>14.1}");
    }
    Ok(())
}

/// Submits messages beside a reading process. Returns its microseconds of CPU per message.
fn measure(readers: &str, lines: usize, messages: u32, pause: Option<Duration>) -> io::Result<f64> {
    let server = RedisServer::start()?;
    let url = server.url();
    let mut process = Process::start(&["foreign-reader".to_owned(), url.clone(), readers.to_owned()])?;
    process.reply("ready")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let store = runtime.block_on(Store::<Note>::open(Redis::streams(url).history(HISTORY)))?;
    let before = process.cpu()?;
    runtime.block_on(submit(&store, lines, messages, pause))?;
    process.command(&runtime.block_on(store.submit(note(0, lines))).map_err(io::Error::other)?.to_string())?;
    process.reply("arrived")?;
    let spent = process.cpu()?.saturating_sub(before);
    Ok(spent.as_secs_f64() * 1e6 / to_f64(u64::from(messages)))
}

async fn submit(store: &Store<Note>, lines: usize, messages: u32, pause: Option<Duration>) -> io::Result<()> {
    if let Some(pause) = pause {
        for number in 0..messages {
            store.submit(note(number, lines)).await.map_err(io::Error::other)?;
            tokio::time::sleep(pause).await;
        }
        return Ok(());
    }
    let tasks: Vec<_> = (0..1000)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in (task..messages).step_by(1000) {
                    store.submit(note(number, lines)).await.map_err(io::Error::other)?;
                }
                io::Result::Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// The process that is measured.
pub(crate) fn read(url: &str, readers: &str) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let backend = Redis::streams(url).history(HISTORY);
    if readers == "eager" {
        return wait(&runtime.block_on(Store::<eager::Note>::open(backend))?);
    }
    let store = runtime.block_on(Store::<Note>::open(backend))?;
    let subscription = match readers {
        "all" => Some(store.subscribe()),
        "one" => Some(store.subscribe_to(NoteKey { room: 7 })),
        _ => None,
    };
    if let Some(mut subscription) = subscription {
        runtime.spawn(async move { while subscription.next().await.is_some() {} });
    }
    wait(&store)
}

/// Waits for the message whose id is sent on the standard input.
fn wait<M: Message>(store: &Store<M>) -> io::Result<()> {
    println!("ready");
    let mut last = String::new();
    io::stdin().read_line(&mut last)?;
    while store.head().to_string() != last.trim() {
        std::thread::sleep(Duration::from_millis(5));
    }
    println!("arrived");
    // Until then the time of this process is read.
    io::stdin().read_line(&mut last)?;
    Ok(())
}
