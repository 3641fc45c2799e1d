//! The readers: one epoll loop for all of them, in a process of its own. It counts what comes, and how long that took.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use clap::Args;
use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::process;
use crate::scenario::Transport;
use crate::servers::MARK;

const ORDERS: Token = Token(usize::MAX);

/// After how long without a byte what is missing counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Args)]
pub(crate) struct Orders {
    transport: Transport,
    port: u16,
    readers: usize,
    /// Readers that take nothing.
    stalled: usize,
    /// Each reader reads a key of its own.
    #[arg(long)]
    keyed: bool,
    /// How many cores are the server's.
    #[arg(long, default_value_t = 1)]
    cores: usize,
}

/// What a line of the standard input asks for.
enum Ask {
    /// Whether so many have come.
    Deliveries(u64),
    /// How long they took, since this was last asked.
    Latency,
    /// To read no more, and to stay connected.
    Rest,
}

fn ask(line: &str) -> Ask {
    match line {
        "latency" => Ask::Latency,
        "rest" => Ask::Rest,
        deliveries => Ask::Deliveries(deliveries.parse().unwrap_or(0)),
    }
}

struct Readers {
    lines: Vec<TcpStream>,
    /// Which of them have heard anything, and how many have.
    has_begun: Vec<bool>,
    begun: usize,
    buffer: Vec<u8>,
    received: u64,
    latency: Histogram<u64>,
    heard: Instant,
}

/// Opens the readers, says so, and then answers each line, a number of deliveries, once they have come or are lost.
pub(crate) fn run(orders: &Orders) -> io::Result<()> {
    process::pin(false, orders.cores);
    let mut poll = Poll::new()?;
    let waker = Waker::new(poll.registry(), ORDERS)?;
    let (sender, asked) = channel();
    process::on_orders(move |line| {
        // These readers end with this thread.
        let _ended = sender.send(ask(line));
        let _unwoken = waker.wake();
    });
    let stalled =
        (0..orders.stalled).map(|_| open(orders.transport, orders.port, None)).collect::<io::Result<Vec<_>>>()?;
    let mut lines = Vec::new();
    for reader in 0..orders.readers {
        let mut line = TcpStream::from_std(open(orders.transport, orders.port, orders.keyed.then_some(reader))?);
        poll.registry().register(&mut line, Token(reader), Interest::READABLE)?;
        lines.push(line);
    }
    let latency = Histogram::new_with_bounds(1, 60_000_000_000, 3).map_err(io::Error::other)?;
    let has_begun = vec![false; lines.len()];
    let mut readers =
        Readers { lines, has_begun, begun: 0, buffer: vec![0; 256 << 10], received: 0, latency, heard: Instant::now() };
    // What opens a stream is read before anything is measured.
    while readers.begun < readers.lines.len() {
        readers.turn(&mut poll, Duration::from_millis(50))?;
    }
    let quiet = Instant::now() + Duration::from_millis(300);
    while Instant::now() < quiet {
        readers.turn(&mut poll, Duration::from_millis(50))?;
    }
    println!("open");
    readers.answer(&mut poll, &asked, orders.transport)?;
    drop(stalled);
    Ok(())
}

/// A connection that has asked for its stream.
pub(crate) fn open(transport: Transport, port: u16, key: Option<usize>) -> io::Result<std::net::TcpStream> {
    let mut line = std::net::TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port)))?;
    let key = key.map_or_else(String::new, |key| key.to_string());
    let upgrade = match transport {
        Transport::Sse => "",
        Transport::Ws => {
            "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        }
    };
    line.write_all(format!("GET /{key} HTTP/1.1\r\nhost: 127.0.0.1\r\n{upgrade}\r\n").as_bytes())?;
    line.set_nonblocking(true)?;
    Ok(line)
}

impl Readers {
    fn answer(&mut self, poll: &mut Poll, asked: &Receiver<Ask>, transport: Transport) -> io::Result<()> {
        let (mut due, mut shown) = (None, Instant::now());
        loop {
            self.turn(poll, Duration::from_millis(200))?;
            if transport == Transport::Ws && shown.elapsed() > Duration::from_secs(10) {
                shown = Instant::now();
                self.show_life();
            }
            if due.is_none() {
                match asked.try_recv() {
                    Ok(Ask::Deliveries(deliveries)) => {
                        due = Some(deliveries);
                        self.heard = Instant::now();
                    }
                    Ok(Ask::Latency) => {
                        let at = |quantile| self.latency.value_at_quantile(quantile);
                        println!("latency {} {}", at(0.5), at(0.99));
                        self.latency.reset();
                        continue;
                    }
                    Ok(Ask::Rest) => {
                        println!("rests");
                        // The end of the orders ends this process.
                        while asked.recv().is_ok() {}
                        return Ok(());
                    }
                    Err(TryRecvError::Empty) => continue,
                    Err(TryRecvError::Disconnected) => return Ok(()),
                }
            }
            if let Some(deliveries) = due
                && (self.received >= deliveries || self.heard.elapsed() > PATIENCE)
            {
                println!("got {}", self.received);
                self.received = 0;
                due = None;
            }
        }
    }

    /// Reads what has come. The time of the last whole message of each piece is when it was submitted.
    fn turn(&mut self, poll: &mut Poll, most: Duration) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        poll.poll(&mut events, Some(most))?;
        for event in &events {
            let Some(line) = self.lines.get_mut(event.token().0) else { continue };
            self.begun += usize::from(!std::mem::replace(&mut self.has_begun[event.token().0], true));
            loop {
                match line.read(&mut self.buffer) {
                    Ok(length @ 1..) => {
                        let bytes = &self.buffer[..length];
                        self.received += memchr::memchr_iter(MARK, bytes).count() as u64;
                        if let Some(stamp) = newest_stamp(bytes) {
                            self.latency.saturating_record(process::now().saturating_sub(stamp));
                        }
                        if length < self.buffer.len() {
                            break;
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Ok(_) | Err(_) => return Err(io::Error::other("the server has cut a reader")),
                }
            }
            self.heard = Instant::now();
        }
        Ok(())
    }

    /// A pong on every WebSocket, as a browser would send when it is pinged (RFC 6455 §5.5.3), masked with zeros.
    fn show_life(&mut self) {
        for line in &mut self.lines {
            // One that takes no six bytes has other worries.
            let _untaken = line.write(&[0x8A, 0x80, 0, 0, 0, 0]);
        }
    }
}

fn newest_stamp(bytes: &[u8]) -> Option<u64> {
    let digits = |at: usize| bytes.get(at + 1..at + 21);
    let digits = memchr::memrchr_iter(MARK, bytes).find_map(digits)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
