//! What a submit takes, in nanoseconds and in allocations, beside a `tokio::sync::broadcast` that is sent bytes made beforehand.
//!
//! Every reader waits when a message comes, with a waker that does nothing: a submit takes that waker and calls it. What a task does
//! when it is woken, and what a delivery takes, are no part of it. Stores and channels are full, so that each message drops an older
//! one. A submit encodes its message as JSON, which a broadcast here need not do; a broadcast without a receiver refuses at once.

use std::pin::Pin;
use std::task::{Context, Waker};

use bytes::Bytes;
use divan::{AllocProfiler, Bencher};
use futures_core::Stream;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tornadose::prelude::*;
use tornadose::{Id, SubmitError, Subscription};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// How many messages a channel keeps; a store, of each key.
const KEPT: usize = 4;

#[store(queue, capacity = 4)]
#[derive(Serialize)]
struct Queue {
    #[key]
    room: u32,
    text: String,
}

#[store(latest)]
#[derive(Serialize)]
struct Latest {
    #[key]
    room: u32,
    text: String,
}

/// What makes about 128 bytes of JSON.
fn text() -> String {
    "x".repeat(107)
}

/// A message that is made for a room.
trait Made: Message {
    fn make(room: u32) -> Self;
    fn key_of(room: u32) -> Self::Key;
}

impl Made for Queue {
    fn make(room: u32) -> Self {
        Self { room, text: text() }
    }
    fn key_of(room: u32) -> QueueKey {
        QueueKey { room }
    }
}

impl Made for Latest {
    fn make(room: u32) -> Self {
        Self { room, text: text() }
    }
    fn key_of(room: u32) -> LatestKey {
        LatestKey { room }
    }
}

/// Where messages go, and where they are read.
trait Feed {
    type Message;
    type Reader: Stream + Unpin;
    type Answer;
    fn open() -> Self;
    fn read(&self, room: u32) -> Self::Reader;
    fn message(room: u32) -> Self::Message;
    fn put(&self, message: Self::Message) -> Self::Answer;
}

impl<M: Made> Feed for Store<M> {
    type Message = M;
    type Reader = Subscription<M>;
    type Answer = Result<Option<Id>, SubmitError<M>>;

    fn open() -> Self {
        Self::new()
    }
    fn read(&self, room: u32) -> Self::Reader {
        self.subscribe_to(M::key_of(room))
    }
    fn message(room: u32) -> M {
        M::make(room)
    }
    fn put(&self, message: M) -> Self::Answer {
        self.try_submit(message)
    }
}

type Broadcast = broadcast::Sender<Bytes>;

impl Feed for Broadcast {
    type Message = Bytes;
    type Reader = BroadcastStream<Bytes>;
    type Answer = Result<usize, broadcast::error::SendError<Bytes>>;

    fn open() -> Self {
        broadcast::channel(KEPT).0
    }
    fn read(&self, _: u32) -> Self::Reader {
        BroadcastStream::new(self.subscribe())
    }
    fn message(_: u32) -> Bytes {
        Bytes::from(text())
    }
    fn put(&self, message: Bytes) -> Self::Answer {
        self.send(message)
    }
}

/// So many feeds, each with so many rooms, each with so many readers.
struct Shape {
    feeds: usize,
    rooms: u32,
    readers: usize,
}

/// Submits to each room of each feed by turns. A sample comes to none of them twice, for readers wait again only after it.
fn bench<F: Feed>(bencher: Bencher<'_, '_>, Shape { feeds, rooms, readers }: Shape) {
    let feeds: Vec<F> = (0..feeds).map(|_| F::open()).collect();
    let mut places: Vec<(usize, u32, Vec<F::Reader>)> = Vec::new();
    for (number, feed) in feeds.iter().enumerate() {
        for room in 0..rooms {
            places.push((number, room, (0..readers).map(|_| feed.read(room)).collect()));
            (0..KEPT).for_each(|_| drop(feed.put(F::message(room))));
        }
    }
    let (mut context, mut turn) = (Context::from_waker(Waker::noop()), 0);
    bencher
        .with_inputs(|| {
            let place = turn % places.len();
            turn += 1;
            let (feed, room, readers) = &mut places[place];
            for reader in readers {
                while Pin::new(&mut *reader).poll_next(&mut context).is_ready() {}
            }
            (*feed, F::message(*room))
        })
        .bench_local_values(|(feed, message)| feeds[feed].put(message));
}

#[divan::bench(types = [Store<Queue>, Store<Latest>, Broadcast], sample_size = 64, sample_count = 500)]
fn without_a_reader<F: Feed>(bencher: Bencher<'_, '_>) {
    bench::<F>(bencher, Shape { feeds: 1, rooms: 1, readers: 0 });
}

#[divan::bench(types = [Store<Queue>, Store<Latest>, Broadcast], sample_size = 64, sample_count = 500)]
fn with_one_reader<F: Feed>(bencher: Bencher<'_, '_>) {
    // By turns, for one submit alone would be too short for a clock.
    bench::<F>(bencher, Shape { feeds: 64, rooms: 1, readers: 1 });
}

#[divan::bench(types = [Store<Queue>, Store<Latest>, Broadcast], sample_size = 1, sample_count = 500)]
fn with_1000_readers<F: Feed>(bencher: Bencher<'_, '_>) {
    bench::<F>(bencher, Shape { feeds: 1, rooms: 1, readers: 1000 });
}

#[divan::bench(types = [Store<Queue>, Store<Latest>], sample_size = 64, sample_count = 500)]
fn with_10000_keys_of_one_reader<F: Feed>(bencher: Bencher<'_, '_>) {
    bench::<F>(bencher, Shape { feeds: 1, rooms: 10_000, readers: 1 });
}
