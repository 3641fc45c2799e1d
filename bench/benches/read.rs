//! The cost of a read for a connection that waits, by the number of its keys.
//!
//! A sample polls the bodies of 64 event streams, each of a store of its own with messages that its stream has not read. A poll takes
//! one message from the mailbox, and reads several from the log, which looks at each key. It encodes them and writes the events; the
//! next poll waits. The submits are not included, and neither is a socket.

use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use divan::{AllocProfiler, Bencher};
use futures_core::Stream;
use salvo::Handler;
use salvo::http::ResBody;
use tokio::runtime::{Builder, Runtime};
use tornadose::prelude::*;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const STREAMS: usize = 64;

#[store(queue, capacity = 4)]
#[derive(Serialize)]
struct Line {
    #[key]
    room: u32,
    text: String,
}

/// `GET /?rooms=16` for so many keys.
struct Rooms(u32);

impl Subscriber for Rooms {
    type Message = Line;

    fn from_request(request: &Request, _: &Depot) -> Result<Self, StatusError> {
        request.query("rooms").map(Self).ok_or_else(StatusError::bad_request)
    }
    fn keys(&self) -> Keys<LineKey> {
        Keys::Set((0..self.0).map(|room| LineKey { room }).collect())
    }
}

#[divan::bench(args = [1, 16, 256], sample_size = 64, sample_count = 500)]
fn one_message(bencher: Bencher<'_, '_>, keys: u32) {
    bench(bencher, keys, 1);
}

#[divan::bench(args = [1, 16, 256], sample_size = 64, sample_count = 500)]
fn two_messages(bencher: Bencher<'_, '_>, keys: u32) {
    bench(bencher, keys, 2);
}

/// Returns the body of a stream of so many keys.
fn open(store: &Store<Line>, keys: u32, runtime: &Runtime) -> ResBody {
    let (mut request, mut response) = (Request::default(), Response::new());
    *request.uri_mut() = format!("http://localhost/?rooms={keys}").parse().expect("a URI");
    let handler = StreamHandler::<Rooms>::new(store);
    let (mut depot, mut control) = (Depot::new(), FlowCtrl::new(Vec::new()));
    runtime.block_on(handler.handle(&mut request, &mut depot, &mut response, &mut control));
    response.take_body()
}

/// Reads all events, until the stream waits. Returns how many writes they took.
#[inline(never)]
fn drain(stream: &mut ResBody) -> usize {
    let mut context = Context::from_waker(Waker::noop());
    let mut writes = 0;
    while let Poll::Ready(Some(write)) = Pin::new(&mut *stream).poll_next(&mut context) {
        black_box(write.expect("a stream without errors"));
        writes += 1;
    }
    writes
}

fn bench(bencher: Bencher<'_, '_>, keys: u32, messages: u32) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _entered = runtime.enter();
    let stores: Vec<Store<Line>> = (0..STREAMS).map(|_| Store::new()).collect();
    let mut streams: Vec<ResBody> = stores.iter().map(|store| open(store, keys, &runtime)).collect();
    for stream in &mut streams {
        assert_ne!(drain(stream), 0, "the prologue");
    }
    let (mut reads, mut room) = (0, 0);
    bencher
        .with_inputs(|| {
            let stream = reads % STREAMS;
            reads += 1;
            for _ in 0..messages {
                room = (room + 1) % keys;
                stores[stream].try_submit(Line { room, text: "x".repeat(107) }).expect("there is room in the store");
            }
            stream
        })
        .bench_local_values(|stream| assert_eq!(drain(&mut streams[stream]), 1, "one write"));
}
