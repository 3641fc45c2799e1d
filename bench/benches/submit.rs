//! The cost of a submit in nanoseconds and allocations, beside a send of prepared bytes over `tokio::sync::broadcast`.
//!
//! Every reader waits when a message arrives, with a waker that does nothing. A submit takes that waker and calls it. The work of a
//! woken task is not included, and neither is the delivery. Stores and channels are full, so each message drops an older one. A submit
//! encodes its message as JSON; a send does not. A send without a receiver fails at once.

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

/// How many messages a channel keeps, and a store for each key.
const CAPACITY: usize = 4;

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

/// The text of a message of about 128 bytes of JSON.
fn text() -> String {
    "x".repeat(107)
}

/// A message for a room.
trait RoomMessage: Message {
    fn new(room: u32) -> Self;
    fn key_of(room: u32) -> Self::Key;
}

impl RoomMessage for Queue {
    fn new(room: u32) -> Self {
        Self { room, text: text() }
    }
    fn key_of(room: u32) -> QueueKey {
        QueueKey { room }
    }
}

impl RoomMessage for Latest {
    fn new(room: u32) -> Self {
        Self { room, text: text() }
    }
    fn key_of(room: u32) -> LatestKey {
        LatestKey { room }
    }
}

/// A store or a channel.
trait Feed {
    type Message;
    type Reader: Stream + Unpin;
    type Sent;
    fn open() -> Self;
    fn subscribe(&self, room: u32) -> Self::Reader;
    fn message(room: u32) -> Self::Message;
    fn submit(&self, message: Self::Message) -> Self::Sent;
}

impl<M: RoomMessage> Feed for Store<M> {
    type Message = M;
    type Reader = Subscription<M>;
    type Sent = Result<Option<Id>, SubmitError<M>>;

    fn open() -> Self {
        Self::new()
    }
    fn subscribe(&self, room: u32) -> Self::Reader {
        self.subscribe_to(M::key_of(room))
    }
    fn message(room: u32) -> M {
        M::new(room)
    }
    fn submit(&self, message: M) -> Self::Sent {
        self.try_submit(message)
    }
}

type Broadcast = broadcast::Sender<Bytes>;

impl Feed for Broadcast {
    type Message = Bytes;
    type Reader = BroadcastStream<Bytes>;
    type Sent = Result<usize, broadcast::error::SendError<Bytes>>;

    fn open() -> Self {
        broadcast::channel(CAPACITY).0
    }
    fn subscribe(&self, _: u32) -> Self::Reader {
        BroadcastStream::new(self.subscribe())
    }
    fn message(_: u32) -> Bytes {
        Bytes::from(text())
    }
    fn submit(&self, message: Bytes) -> Self::Sent {
        self.send(message)
    }
}

struct Setup {
    feeds: usize,
    /// Rooms of each feed.
    rooms: u32,
    /// Readers of each room.
    readers: usize,
}

/// Sends to each room of each feed by turns. A sample must not send to a room twice, because its readers wait again only after the
/// sample.
fn bench<F: Feed>(bencher: Bencher<'_, '_>, Setup { feeds, rooms, readers }: Setup) {
    let feeds: Vec<F> = (0..feeds).map(|_| F::open()).collect();
    let mut targets: Vec<(usize, u32, Vec<F::Reader>)> = Vec::new();
    for (index, feed) in feeds.iter().enumerate() {
        for room in 0..rooms {
            targets.push((index, room, (0..readers).map(|_| feed.subscribe(room)).collect()));
            (0..CAPACITY).for_each(|_| drop(feed.submit(F::message(room))));
        }
    }
    let (mut context, mut sent) = (Context::from_waker(Waker::noop()), 0);
    bencher
        .with_inputs(|| {
            let target = sent % targets.len();
            sent += 1;
            let (feed, room, readers) = &mut targets[target];
            for reader in readers {
                while Pin::new(&mut *reader).poll_next(&mut context).is_ready() {}
            }
            (*feed, F::message(*room))
        })
        .bench_local_values(|(feed, message)| feeds[feed].submit(message));
}

#[divan::bench(types = [Store<Queue>, Store<Latest>, Broadcast], sample_size = 64, sample_count = 500)]
fn without_a_reader<F: Feed>(bencher: Bencher<'_, '_>) {
    bench::<F>(bencher, Setup { feeds: 1, rooms: 1, readers: 0 });
}

#[divan::bench(types = [Store<Queue>, Store<Latest>, Broadcast], sample_size = 64, sample_count = 500)]
fn with_one_reader<F: Feed>(bencher: Bencher<'_, '_>) {
    // 64 feeds by turns, because a single submit is too short for a clock.
    bench::<F>(bencher, Setup { feeds: 64, rooms: 1, readers: 1 });
}

#[divan::bench(types = [Store<Queue>, Store<Latest>, Broadcast], sample_size = 1, sample_count = 500)]
fn with_1000_readers<F: Feed>(bencher: Bencher<'_, '_>) {
    bench::<F>(bencher, Setup { feeds: 1, rooms: 1, readers: 1000 });
}

#[divan::bench(types = [Store<Queue>, Store<Latest>], sample_size = 64, sample_count = 500)]
fn with_10000_keys_of_one_reader<F: Feed>(bencher: Bencher<'_, '_>) {
    bench::<F>(bencher, Setup { feeds: 1, rooms: 10_000, readers: 1 });
}
