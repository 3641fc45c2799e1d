//! Allocations: some for each message, for the log and for the bytes of each transport, and none for
//! each delivery. A global allocator counts those of the thread on which the whole server runs. A
//! reader whose filter rejects a part of a batch is an exception: its bytes are its own and are
//! allocated. What a waiting connection and a key take is counted in the same way.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, channel};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use allocation_counter::measure;
use futures_util::Stream;
use salvo::conn::Acceptor;
use salvo::http::body::Body;
use salvo::{Handler, Service};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tornadose::prelude::*;

/// Bursts before counting begins. After them all buffers have their size and the log is full.
const WARM_UP: usize = 20;

/// Bursts that are counted.
const COUNTED: usize = 30;

const FEW: usize = 10;
const MANY: usize = 110;

/// A byte that is in every message once, and in nothing else that a client receives.
const MARK: u8 = b'@';

#[store(queue, capacity = 16)]
#[derive(Serialize)]
enum Load {
    Line {
        #[key]
        room: u8,
        text: String,
    },
    #[latest]
    Topic {
        #[key]
        room: u8,
        text: String,
    },
}

#[subscriber(sse, ws, store = Load, authorize = public)]
struct Room {
    #[param]
    #[key]
    room: u8,
}

#[subscriber(sse, ws, store = Load, all_keys)]
struct House;

fn line() -> Load {
    Load::Line { room: 1, text: format!("@{:0127}", 0) }
}

fn topic() -> Load {
    Load::Topic { room: 1, text: format!("@{:0127}", 0) }
}

/// Messages that are submitted at once, and how many of them a reader gets.
#[derive(Clone, Copy)]
struct Burst {
    message: fn() -> Load,
    submitted: usize,
    delivered: usize,
}

const BURSTS: [Burst; 4] = [
    Burst { message: line, submitted: 1, delivered: 1 },
    Burst { message: line, submitted: 10, delivered: 10 },
    Burst { message: topic, submitted: 1, delivered: 1 },
    Burst { message: topic, submitted: 10, delivered: 1 },
];

impl Burst {
    fn messages(self) -> Vec<Load> {
        (0..self.submitted).map(|_| (self.message)()).collect()
    }
}

/// Returns how often the action allocates or reallocates on this thread.
fn allocations(action: impl FnOnce()) -> u64 {
    measure(action).count_total
}

fn marks(bytes: &[u8]) -> usize {
    bytes.split(|byte| *byte == MARK).count() - 1
}

fn submit(store: &Store<Load>, messages: Vec<Load>) {
    for message in messages {
        store.try_submit(message).unwrap();
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
    assert_eq!(allocations(|| _ = std::hint::black_box(1)), 0);
}

// --- The library without a server: readers are polled by hand

/// Returns the allocations of submits, of the first reader and of all other readers. `take` returns the
/// number of messages that it took.
fn polled<R>(readers: usize, burst: Burst, open: impl Fn(&Store<Load>) -> R, take: fn(&mut R) -> usize) -> [u64; 3] {
    let store = Store::new();
    let mut readers: Vec<R> = (0..readers).map(|_| open(&store)).collect();
    assert_eq!(readers.iter_mut().map(take).sum::<usize>(), 0);
    let take = |reader: &mut R| assert_eq!(take(reader), burst.delivered);
    let mut counted = [0; 3];
    for round in 1..=WARM_UP + COUNTED {
        let messages = burst.messages();
        let (first, others) = readers.split_first_mut().unwrap();
        let submitting = allocations(|| submit(&store, messages));
        let first = allocations(|| take(first));
        let others = allocations(|| others.iter_mut().for_each(take));
        if round > WARM_UP {
            counted = [counted[0] + submitting, counted[1] + first, counted[2] + others];
        }
    }
    counted
}

fn check_polled<R>(open: impl Fn(&Store<Load>) -> R, take: fn(&mut R) -> usize) {
    for burst in BURSTS {
        let few @ [submitting, _, others] = polled(FEW, burst, &open, take);
        assert!(submitting >= (COUNTED * burst.submitted) as u64, "each message is allocated");
        assert_eq!(others, 0);
        assert_eq!(polled(MANY, burst, &open, take), few);
    }
}

#[test]
fn a_body_allocates_nothing_for_a_message_that_another_has_encoded() {
    let runtime = runtime();
    let _entered = runtime.enter();
    let open = |store: &Store<Load>| {
        let (mut response, mut rest) = (Response::new(), FlowCtrl::new(vec![]));
        let handler = House::handler(store);
        runtime.block_on(handler.handle(&mut Request::new(), &mut Depot::new(), &mut response, &mut rest));
        response.take_body()
    };
    check_polled(open, |body| {
        let mut taken = 0;
        while let Poll::Ready(Some(frame)) = Pin::new(&mut *body).poll_frame(&mut Context::from_waker(Waker::noop())) {
            taken += marks(&frame.unwrap().into_data().unwrap());
        }
        taken
    });
}

#[test]
fn a_subscription_allocates_nothing_for_a_message_that_another_has_read() {
    let open = |store: &Store<Load>| store.subscribe_to(LoadKey { room: 1 });
    check_polled(open, |reader| {
        let mut taken = 0;
        while Pin::new(&mut *reader).poll_next(&mut Context::from_waker(Waker::noop())).is_ready() {
            taken += 1;
        }
        taken
    });
}

// --- The whole server, over real sockets

/// Returns the allocations of the thread of a server, from each submit until the readers on another
/// thread have all messages.
fn served(path: &'static str, upgrade: &'static str, detached: bool, readers: usize, burst: Burst) -> u64 {
    let (runtime, store) = (runtime(), Store::new());
    let addr = runtime.block_on(start_server(&store, detached));
    let (rounds, started) = channel();
    let (finish, mut finished) = unbounded_channel();
    let clients = thread::spawn(move || {
        let sockets = (0..readers).map(|_| open(addr, path, upgrade)).collect();
        read_rounds(sockets, burst.delivered, &started, &finish);
    });
    let mut wait_for = |round: usize| assert_eq!(runtime.block_on(finished.recv()), Some(round));
    wait_for(0);
    assert_eq!(store.subscribers(), readers);
    let mut counted = 0;
    for round in 1..=WARM_UP + COUNTED {
        let messages = burst.messages();
        rounds.send(round).unwrap();
        let spent = allocations(|| {
            submit(&store, messages);
            wait_for(round);
        });
        counted += if round > WARM_UP { spent } else { 0 };
    }
    drop(rounds);
    clients.join().unwrap();
    counted
}

async fn start_server(store: &Store<Load>, detached: bool) -> SocketAddr {
    let acceptor = tornadose::listen("127.0.0.1:0").await.unwrap();
    let addr = acceptor.holdings()[0].local_addr.clone().into_std().unwrap();
    let rooms = Router::with_path("rooms/{room}").get(Room::handler(store));
    let service = Service::new(Router::new().get(House::handler(store)).push(rooms));
    if detached {
        let handover = tornadose::Handover::new();
        tokio::spawn(Server::new(handover.wrap_acceptor(acceptor)).serve(handover.wrap_service(service)));
    } else {
        tokio::spawn(Server::new(acceptor).serve(service));
    }
    addr
}

/// Opens a connection, and reads the head of the response and the first frame.
fn open(addr: SocketAddr, path: &str, upgrade: &str) -> TcpStream {
    let mut socket = TcpStream::connect(addr).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket.write_all(format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\n{upgrade}\r\n").as_bytes()).unwrap();
    assert!(socket.read(&mut [0; 4096]).unwrap() > 0);
    socket
}

/// Sends the number of each round once every client has read its messages.
fn read_rounds(
    mut sockets: Vec<TcpStream>,
    messages: usize,
    started: &Receiver<usize>,
    finish: &UnboundedSender<usize>,
) {
    finish.send(0).unwrap();
    let mut buffer = vec![0; 64 << 10];
    for round in started {
        for socket in &mut sockets {
            let mut seen = 0;
            while seen < messages {
                let length = socket.read(&mut buffer).unwrap();
                assert!(length > 0, "the server closed a connection");
                seen += marks(&buffer[..length]);
            }
            assert_eq!(seen, messages);
        }
        finish.send(round).unwrap();
    }
}

const UPGRADE: &str = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";

fn check_served(upgrade: &'static str, detached: bool) {
    for path in ["/", "/rooms/1"] {
        for burst in BURSTS {
            let [few, many] = [FEW, MANY].map(|readers| served(path, upgrade, detached, readers, burst));
            assert!(few >= (COUNTED * burst.submitted) as u64, "each message is allocated");
            let deliveries = (MANY - FEW) * COUNTED * burst.delivered;
            // Fewer than one for each burst. Some are not ours: hyper formats its `date` once a second.
            assert!(
                many.abs_diff(few) < COUNTED as u64,
                "{few}, and {many} with {deliveries} deliveries more, on {path}"
            );
        }
    }
}

#[test]
fn a_delivery_over_an_attached_stream_allocates_nothing() {
    check_served("", false);
}

#[test]
fn a_delivery_over_a_detached_stream_allocates_nothing() {
    check_served("", true);
}

#[test]
fn a_delivery_over_a_websocket_allocates_nothing() {
    check_served(UPGRADE, false);
}

// --- Memory

/// Values that are measured one by one.
const MANY_VALUES: usize = 64;

/// Returns the bytes that each of many values takes, beside the tables of all, which grow now and then.
fn bytes_each<T>(mut open: impl FnMut() -> T) -> i64 {
    let mut values = Vec::with_capacity(MANY_VALUES);
    let mut each: Vec<i64> = Vec::with_capacity(MANY_VALUES);
    for _ in 0..MANY_VALUES {
        each.push(measure(|| values.push(open())).bytes_current);
    }
    each.sort_unstable();
    each[MANY_VALUES / 2]
}

/// Returns the bytes of a subscription that waits.
fn idle_subscription() -> i64 {
    let store: Store<Load> = Store::new();
    bytes_each(|| {
        let mut reader = Box::new(store.subscribe_to(LoadKey { room: 1 }));
        assert!(Pin::new(&mut *reader).poll_next(&mut Context::from_waker(Waker::noop())).is_pending());
        reader
    })
}

/// Returns the bytes of a key with one message, without its readers.
fn idle_key() -> i64 {
    let (store, mut room) = (Store::new(), 0);
    bytes_each(|| {
        store.try_submit(Load::Line { room, text: String::new() }).unwrap();
        room += 1;
    })
}

/// Returns the bytes that a server has of a connection which waits.
fn idle_connection(upgrade: &'static str, detached: bool) -> i64 {
    let (runtime, store) = (runtime(), Store::new());
    let addr = runtime.block_on(start_server(&store, detached));
    // The numbers of connections to open, and opened. What another thread frees would not be counted.
    let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let [wanted, opened] = &*counts;
    let clients = thread::spawn({
        let counts = Arc::clone(&counts);
        move || {
            let [wanted, opened] = &*counts;
            let mut sockets = Vec::new();
            while sockets.len() < MANY_VALUES {
                if wanted.load(Relaxed) > sockets.len() {
                    sockets.push(open(addr, "/rooms/1", upgrade));
                    opened.store(sockets.len(), Relaxed);
                }
                thread::yield_now();
            }
            sockets
        }
    });
    let wait = async || tokio::time::sleep(Duration::from_millis(2)).await;
    let bytes = bytes_each(|| {
        let number = wanted.fetch_add(1, Relaxed) + 1;
        while opened.load(Relaxed) < number {
            runtime.block_on(wait());
        }
        runtime.block_on(wait());
    });
    drop(clients.join().unwrap());
    bytes
}

#[test]
fn what_waits_takes_few_bytes() {
    let bytes = [
        ("a subscription", idle_subscription(), 440),
        ("a key with one message", idle_key(), 330),
        ("an attached stream", idle_connection("", false), 33_000),
        ("a detached stream", idle_connection("", true), 1_888),
        ("a WebSocket", idle_connection(UPGRADE, false), 2_241),
        ("a detached WebSocket", idle_connection(UPGRADE, true), 2_161),
    ];
    let more: Vec<_> = bytes.iter().filter(|(_, bytes, recorded)| bytes > recorded).collect();
    assert!(more.is_empty(), "more bytes than recorded: {more:?}");
}
