//! Keys: the time of a submit in a store with 10,000 keys of one reader each, beside a store with one reader; and the memory of a key
//! without readers. In both stores all readers wait, and a submit wakes one of them.

use std::io;
use std::pin::Pin;
use std::process::Command;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_core::Stream;
use tornadose::Subscription;
use tornadose::prelude::*;

use crate::figure::median;
use crate::process::resident_memory;

const SUBMITS: u32 = 200_000;

/// How often both stores are measured, by turns. The last line is the median of the ratios.
const ROUNDS: usize = 7;

#[store(queue, capacity = 16)]
#[derive(Serialize)]
struct Note {
    #[key]
    user: u32,
    text: &'static str,
}

pub(crate) fn run() -> io::Result<()> {
    let mut ratios = Vec::new();
    println!("{:>14} {:>14} {:>6}", "1 key", "10000 keys", "ratio");
    for _ in 0..ROUNDS {
        let (one, many) = (mean_submit_time(1)?, mean_submit_time(10_000)?);
        let ratio = many.as_secs_f64() / one.as_secs_f64();
        ratios.push(ratio);
        println!("{one:>14.2?} {many:>14.2?} {ratio:>6.2}");
    }
    println!("{:>36.2}", median(ratios.into_iter()));
    println!();
    println!("{:<36} {:>7} {:>12}", "a key without readers", "keys", "each");
    for kind in ["latest", "trimmed", "subscribed"] {
        // Each in a process of its own, because memory that one has freed would be reused by the next and not be counted.
        Command::new(std::env::current_exe()?).args(["key", kind]).status()?;
    }
    Ok(())
}

/// Prints the memory of a key without readers, by what the store keeps of it.
pub(crate) fn print_memory(kind: &str) -> io::Result<()> {
    match kind {
        "latest" => print_memory_per_key("with a latest value of 18 bytes", 50_000, |store: &Store<Quote>, user| {
            store.try_submit(Quote { user: user_name(user), bid: 1.0 }).map(drop)
        }),
        "trimmed" => print_memory_per_key("whose messages are all trimmed", 65_536, |store: &Store<Brief>, user| {
            store.try_submit(Brief { user: user_name(user) }).map(drop)
        }),
        _ => print_memory_per_key("that was only subscribed to", 1_000_000, |store: &Store<Brief>, user| {
            drop(store.subscribe_to(BriefKey { user: user_name(user) }));
            Ok(())
        }),
    }
}

#[store(latest)]
#[derive(Serialize)]
struct Quote {
    #[key]
    user: String,
    bid: f32,
}

#[store(queue, memory = "64KiB")]
#[derive(Serialize)]
struct Brief {
    #[key]
    user: String,
}

fn user_name(user: u32) -> String {
    format!("user-{user:07}")
}

/// Calls `touch` for so many keys, and prints each one's share of the resident memory that this took.
fn print_memory_per_key<M: Message>(
    description: &str,
    keys: u32,
    touch: impl Fn(&Store<M>, u32) -> Result<(), tornadose::SubmitError<M>>,
) -> io::Result<()> {
    let store = Store::new();
    let before = resident_memory("self")?;
    for user in 0..keys {
        touch(&store, user).map_err(|error| io::Error::other(error.to_string()))?;
    }
    let per_key = (resident_memory("self")? - before) * 1024 / u64::from(keys);
    println!("{description:<36} {keys:>7} {per_key:>6} bytes");
    Ok(())
}

/// The mean time of a submit to each of so many keys by turns, each with a reader that waits.
fn mean_submit_time(keys: u32) -> io::Result<Duration> {
    let store = Store::new();
    let mut readers: Vec<Subscription<Note>> = (0..keys).map(|user| store.subscribe_to(NoteKey { user })).collect();
    for reader in &mut readers {
        drain(reader);
    }
    let mut spent = Duration::ZERO;
    for number in 0..SUBMITS {
        let user = number % keys;
        let message = Note { user, text: "hello, hello, hello" };
        let start = Instant::now();
        store.try_submit(message).map_err(io::Error::other)?;
        spent += start.elapsed();
        drain(&mut readers[user as usize]);
    }
    Ok(spent / SUBMITS)
}

/// Reads all messages, until the reader waits.
fn drain(reader: &mut Subscription<Note>) {
    let mut context = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(_)) = Pin::new(&mut *reader).poll_next(&mut context) {}
}
