//! What a submit costs when 10,000 keys have a reader each, beside a store with one reader: all readers wait, one is woken.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_core::Stream;
use tornadose::Subscription;
use tornadose::prelude::*;

const SUBMITS: u32 = 200_000;

#[store(queue, capacity = 16)]
#[derive(Serialize)]
struct Note {
    #[key]
    user: u32,
    text: &'static str,
}

pub(crate) fn run() -> io::Result<()> {
    println!("{:>6} {:>14}", "keys", "submit");
    let one = submit(1)?;
    println!("{:>6} {one:>14.2?}", 1);
    let many = submit(10_000)?;
    println!("{:>6} {many:>14.2?}", 10_000);
    println!("ratio  {:>14.2}", many.as_secs_f64() / one.as_secs_f64());
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
