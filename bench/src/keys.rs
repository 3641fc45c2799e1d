//! What a submit costs when 10,000 keys have a reader each, beside a store with one reader: all readers wait, one is woken.
//! And what a key takes that nobody reads.

use std::io;
use std::pin::Pin;
use std::process::Command;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_core::Stream;
use tornadose::Subscription;
use tornadose::prelude::*;

use crate::process::memory_of;

const SUBMITS: u32 = 200_000;

/// How often both are measured by turns; the median of the ratios is the last line.
const ROUNDS: usize = 7;

#[store(queue, capacity = 16)]
#[derive(Serialize)]
struct Note {
    #[key]
    user: u32,
    text: &'static str,
}

pub(crate) fn run() -> io::Result<()> {
    let mut rounds = Vec::new();
    println!("{:>14} {:>14} {:>6}", "1 key", "10000 keys", "ratio");
    for _ in 0..ROUNDS {
        let (one, many) = (submit(1)?, submit(10_000)?);
        rounds.push(many.as_secs_f64() / one.as_secs_f64());
        println!("{one:>14.2?} {many:>14.2?} {:>6.2}", rounds[rounds.len() - 1]);
    }
    rounds.sort_unstable_by(f64::total_cmp);
    println!("{:>36.2}", rounds[ROUNDS / 2]);
    println!();
    println!("{:<36} {:>7} {:>12}", "a key that nobody reads", "keys", "each");
    for kind in ["latest", "gone", "asked"] {
        // In a process of its own: freed memory would be used again, and not be seen.
        Command::new(std::env::current_exe()?).args(["key", kind]).status()?;
    }
    Ok(())
}

/// Says what a key takes of which so much is kept.
pub(crate) fn memory(kind: &str) -> io::Result<()> {
    match kind {
        "latest" => each("with a latest value of 18 bytes", 50_000, |store: &Store<Quote>, user| {
            store.try_submit(Quote { user: key(user), bid: 1.0 }).map(drop)
        }),
        "gone" => each("whose messages are all trimmed", 65_536, |store: &Store<Brief>, user| {
            store.try_submit(Brief { user: key(user) }).map(drop)
        }),
        _ => each("that was merely asked for", 1_000_000, |store: &Store<Brief>, user| {
            drop(store.subscribe_to(BriefKey { user: key(user) }));
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

fn key(user: u32) -> String {
    format!("user-{user:07}")
}

/// What so many keys take of this process's resident memory.
fn each<M: Message>(
    what: &str,
    keys: u32,
    touch: impl Fn(&Store<M>, u32) -> Result<(), tornadose::SubmitError<M>>,
) -> io::Result<()> {
    let store = Store::new();
    let before = memory_of("self")?;
    for user in 0..keys {
        touch(&store, user).map_err(|error| io::Error::other(error.to_string()))?;
    }
    let each = (memory_of("self")? - before) * 1024 / u64::from(keys);
    println!("{what:<36} {keys:>7} {each:>6} bytes");
    Ok(())
}

/// The mean time of a submit to the next of so many keys, each with a reader that waits.
fn submit(keys: u32) -> io::Result<Duration> {
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

/// Reads all there is, and waits.
fn drain(reader: &mut Subscription<Note>) {
    let mut context = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(_)) = Pin::new(&mut *reader).poll_next(&mut context) {}
}
