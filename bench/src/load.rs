//! The load generator: one epoll loop for all readers, in a process of its own. It counts deliveries and measures their latency.

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

const COMMANDS: Token = Token(usize::MAX);

/// Deliveries that are missing after this time without a byte count as lost.
const LOSS_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Args)]
pub(crate) struct LoadArguments {
    transport: Transport,
    port: u16,
    readers: usize,
    /// Further readers that read nothing.
    stalled: usize,
    /// Each reader reads a key of its own.
    #[arg(long)]
    keyed: bool,
    /// The number of cores that are the server's.
    #[arg(long, default_value_t = 1)]
    cores: usize,
}

/// A line of the standard input.
enum Command {
    /// Reply once so many deliveries have arrived or are lost.
    AwaitDeliveries(u64),
    /// Reply with the latencies since the last such command.
    TakeLatency,
    /// Stop reading and stay connected.
    Pause,
}

fn parse_command(line: &str) -> Command {
    match line {
        "latency" => Command::TakeLatency,
        "pause" => Command::Pause,
        deliveries => Command::AwaitDeliveries(deliveries.parse().unwrap_or(0)),
    }
}

struct Readers {
    connections: Vec<TcpStream>,
    /// Whether the connection at this index has received anything.
    has_started: Vec<bool>,
    started: usize,
    buffer: Vec<u8>,
    received: u64,
    latency: Histogram<u64>,
    last_received: Instant,
}

/// Connects the readers, prints `open`, and then carries out one command after another.
pub(crate) fn run(arguments: &LoadArguments) -> io::Result<()> {
    process::pin_readers(arguments.cores);
    let mut poll = Poll::new()?;
    let waker = Waker::new(poll.registry(), COMMANDS)?;
    let (sender, commands) = channel();
    process::spawn_command_reader(move |line| {
        // Sending fails only while this process exits.
        let _exiting = sender.send(parse_command(line));
        let _exiting = waker.wake();
    });
    let LoadArguments { transport, port, .. } = *arguments;
    let stalled = (0..arguments.stalled).map(|_| connect(transport, port, None)).collect::<io::Result<Vec<_>>>()?;
    let mut connections = Vec::new();
    for reader in 0..arguments.readers {
        let key = arguments.keyed.then_some(reader);
        let mut connection = TcpStream::from_std(connect(transport, port, key)?);
        poll.registry().register(&mut connection, Token(reader), Interest::READABLE)?;
        connections.push(connection);
    }
    let mut readers = Readers::new(connections)?;
    readers.read_openings(&mut poll)?;
    println!("open");
    readers.run_commands(&mut poll, &commands, transport)?;
    drop(stalled);
    Ok(())
}

/// Connects and sends the request for the stream of `key`, or of all messages.
pub(crate) fn connect(transport: Transport, port: u16, key: Option<usize>) -> io::Result<std::net::TcpStream> {
    let mut connection = std::net::TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port)))?;
    let key = key.map_or_else(String::new, |key| key.to_string());
    let upgrade = match transport {
        Transport::Sse => "",
        Transport::Ws => {
            "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        }
    };
    connection.write_all(format!("GET /{key} HTTP/1.1\r\nhost: 127.0.0.1\r\n{upgrade}\r\n").as_bytes())?;
    connection.set_nonblocking(true)?;
    Ok(connection)
}

impl Readers {
    fn new(connections: Vec<TcpStream>) -> io::Result<Self> {
        let latency = Histogram::new_with_bounds(1, 60_000_000_000, 3).map_err(io::Error::other)?;
        let has_started = vec![false; connections.len()];
        let (buffer, last_received) = (vec![0; 256 << 10], Instant::now());
        Ok(Self { connections, has_started, started: 0, buffer, received: 0, latency, last_received })
    }

    /// Reads the response heads and whatever opens each stream, so that no measurement includes them.
    fn read_openings(&mut self, poll: &mut Poll) -> io::Result<()> {
        while self.started < self.connections.len() {
            self.read(poll, Duration::from_millis(50))?;
        }
        let end = Instant::now() + Duration::from_millis(300);
        while Instant::now() < end {
            self.read(poll, Duration::from_millis(50))?;
        }
        Ok(())
    }

    fn run_commands(&mut self, poll: &mut Poll, commands: &Receiver<Command>, transport: Transport) -> io::Result<()> {
        let (mut awaited, mut last_pong) = (None, Instant::now());
        loop {
            self.read(poll, Duration::from_millis(200))?;
            if transport == Transport::Ws && last_pong.elapsed() > Duration::from_secs(10) {
                last_pong = Instant::now();
                self.send_pongs();
            }
            if awaited.is_none() {
                match commands.try_recv() {
                    Ok(Command::AwaitDeliveries(deliveries)) => {
                        awaited = Some(deliveries);
                        self.last_received = Instant::now();
                    }
                    Ok(Command::TakeLatency) => {
                        let quantile = |quantile| self.latency.value_at_quantile(quantile);
                        println!("latency {} {}", quantile(0.5), quantile(0.99));
                        self.latency.reset();
                        continue;
                    }
                    Ok(Command::Pause) => {
                        println!("paused");
                        // The end of the standard input exits this process.
                        while commands.recv().is_ok() {}
                        return Ok(());
                    }
                    Err(TryRecvError::Empty) => continue,
                    Err(TryRecvError::Disconnected) => return Ok(()),
                }
            }
            if let Some(deliveries) = awaited
                && (self.received >= deliveries || self.last_received.elapsed() > LOSS_TIMEOUT)
            {
                println!("received {}", self.received);
                self.received = 0;
                awaited = None;
            }
        }
    }

    /// Reads from all readable connections. Records one latency per read, that of its last complete message.
    fn read(&mut self, poll: &mut Poll, timeout: Duration) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        poll.poll(&mut events, Some(timeout))?;
        for event in &events {
            let Some(connection) = self.connections.get_mut(event.token().0) else { continue };
            self.started += usize::from(!std::mem::replace(&mut self.has_started[event.token().0], true));
            loop {
                match connection.read(&mut self.buffer) {
                    Ok(length @ 1..) => {
                        let bytes = &self.buffer[..length];
                        self.received += memchr::memchr_iter(MARK, bytes).count() as u64;
                        if let Some(submitted_at) = newest_timestamp(bytes) {
                            self.latency.saturating_record(process::now().saturating_sub(submitted_at));
                        }
                        if length < self.buffer.len() {
                            break;
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Ok(_) | Err(_) => return Err(io::Error::other("the server closed a reader's connection")),
                }
            }
            self.last_received = Instant::now();
        }
        Ok(())
    }

    /// Sends a pong on every WebSocket, as a browser does when it is pinged (RFC 6455 §5.5.3), masked with zeros.
    fn send_pongs(&mut self) {
        for connection in &mut self.connections {
            // A full socket gets no pong.
            let _unsent = connection.write(&[0x8A, 0x80, 0, 0, 0, 0]);
        }
    }
}

fn newest_timestamp(bytes: &[u8]) -> Option<u64> {
    let digits = |mark: usize| bytes.get(mark + 1..mark + 21);
    let digits = memchr::memrchr_iter(MARK, bytes).find_map(digits)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
