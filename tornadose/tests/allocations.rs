//! What is allocated: something for each message, in the log and as bytes of each transport, and nothing for each delivery. A global
//! allocator counts, for the thread on which the whole server runs. (Who has a filter that withholds something of a burst is written bytes
//! of its own: those are allocated.)

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
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

/// Bursts before anything is counted, so that all buffers have their size and the log is full.
const WARM_UP: usize = 20;

/// Bursts that are counted.
const COUNTED: usize = 30;

const FEW: usize = 10;
const MANY: usize = 110;

/// In every message once, and in nothing else that a client is sent.
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

/// What is submitted at once, and how much of it comes to a reader.
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

/// How often this allocates on this thread, or makes bigger what was allocated.
fn allocations(act: impl FnOnce()) -> u64 {
    measure(act).count_total
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

// --- The library alone: who reads is polled by hand

/// What bursts allocate when they are submitted, when the first reader takes them, and when all others do. `take` answers how many
/// messages there were.
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
        assert!(submitting >= (COUNTED * burst.submitted) as u64, "a message is kept somewhere");
        assert_eq!(others, 0);
        assert_eq!(polled(MANY, burst, &open, take), few);
    }
}

#[test]
fn a_body_allocates_nothing_for_what_another_was_given() {
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
fn a_subscription_allocates_nothing_for_what_another_was_given() {
    let open = |store: &Store<Load>| store.subscribe_to(LoadKey { room: 1 });
    check_polled(open, |reader| {
        let mut taken = 0;
        while Pin::new(&mut *reader).poll_next(&mut Context::from_waker(Waker::noop())).is_ready() {
            taken += 1;
        }
        taken
    });
}

// --- The whole server, over sockets

/// What the thread of a server allocates, from submit until the readers on another thread have it all. Its streams are
/// detached, or stay with it.
fn served(path: &'static str, upgrade: &'static str, detached: bool, readers: usize, burst: Burst) -> u64 {
    let (runtime, store) = (runtime(), Store::new());
    let addr = runtime.block_on(async {
        let acceptor = tornadose::listen("127.0.0.1:0").await.unwrap();
        let addr = acceptor.holdings()[0].local_addr.clone().into_std().unwrap();
        let rooms = Router::with_path("rooms/{room}").get(Room::handler(&store));
        let service = Service::new(Router::new().get(House::handler(&store)).push(rooms));
        if detached {
            let handover = tornadose::Handover::new();
            tokio::spawn(Server::new(handover.acceptor(acceptor)).serve(handover.service(service)));
        } else {
            tokio::spawn(Server::new(acceptor).serve(service));
        }
        addr
    });
    let (orders, asked) = channel();
    let (answer, mut answers) = unbounded_channel();
    let clients = thread::spawn(move || {
        let lines = (0..readers).map(|_| open(addr, path, upgrade)).collect();
        read(lines, burst.delivered, &asked, &answer);
    });
    let mut answered = |order: usize| assert_eq!(runtime.block_on(answers.recv()), Some(order));
    answered(0);
    assert_eq!(store.subscribers(), readers);
    let mut counted = 0;
    for round in 1..=WARM_UP + COUNTED {
        let messages = burst.messages();
        orders.send(round).unwrap();
        let spent = allocations(|| {
            submit(&store, messages);
            answered(round);
        });
        counted += if round > WARM_UP { spent } else { 0 };
    }
    drop(orders);
    clients.join().unwrap();
    counted
}

/// A client that has read the head of its answer, and with it what opens a stream.
fn open(addr: SocketAddr, path: &str, upgrade: &str) -> TcpStream {
    let mut line = TcpStream::connect(addr).unwrap();
    line.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    line.write_all(format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\n{upgrade}\r\n").as_bytes()).unwrap();
    assert!(line.read(&mut [0; 4096]).unwrap() > 0);
    line
}

/// Answers each order with its number once every client has so many messages more.
fn read(mut lines: Vec<TcpStream>, messages: usize, asked: &Receiver<usize>, answer: &UnboundedSender<usize>) {
    answer.send(0).unwrap();
    let mut buffer = vec![0; 64 << 10];
    for order in asked {
        for line in &mut lines {
            let mut seen = 0;
            while seen < messages {
                let length = line.read(&mut buffer).unwrap();
                assert!(length > 0, "the server has cut a client");
                seen += marks(&buffer[..length]);
            }
            assert_eq!(seen, messages);
        }
        answer.send(order).unwrap();
    }
}

fn check_served(upgrade: &'static str, detached: bool) {
    for path in ["/", "/rooms/1"] {
        for burst in BURSTS {
            let [few, many] = [FEW, MANY].map(|readers| served(path, upgrade, detached, readers, burst));
            assert!(few >= (COUNTED * burst.submitted) as u64, "a message is kept somewhere");
            let deliveries = (MANY - FEW) * COUNTED * burst.delivered;
            // Fewer than one for each burst: once a second hyper formats its `date` again.
            assert!(
                many.abs_diff(few) < COUNTED as u64,
                "{few}, and {many} with {deliveries} deliveries more, on {path}"
            );
        }
    }
}

#[test]
fn a_delivery_over_sse_allocates_nothing_in_the_whole_server() {
    check_served("", false);
}

#[test]
fn a_delivery_over_sse_allocates_nothing_when_the_stream_goes_on_by_itself() {
    check_served("", true);
}

#[test]
fn a_delivery_over_websocket_allocates_nothing_in_the_whole_server() {
    check_served(
        "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
        false,
    );
}
