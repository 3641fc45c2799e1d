//! The floor: an epoll loop that knows nothing of HTTP but a head, and writes bytes made beforehand, one `write` for each client
//! and batch. No server on this kernel can deliver with fewer system calls, unless it batches clients.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};

use crate::process;
use crate::scenario::Transport;
use crate::servers::{Order, message, order, ready};

const LISTENER: Token = Token(usize::MAX);
const ORDERS: Token = Token(usize::MAX - 1);

struct Client {
    stream: TcpStream,
    reads: Reads,
    /// What the socket has not taken, and how much of its first it has.
    unwritten: VecDeque<Arc<[u8]>>,
    taken: usize,
}

/// What a client has asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reads {
    Nothing,
    All,
    Key,
}

pub(super) fn serve(transport: Transport) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let waker = Waker::new(poll.registry(), ORDERS)?;
    let (sender, orders) = channel();
    process::on_orders(move |line| {
        // The server ends with this thread.
        let _ended = sender.send(order(line));
        let _unwoken = waker.wake();
    });
    ready(listener.local_addr()?);
    let (mut clients, mut events) = (Vec::new(), Events::with_capacity(1024));
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                LISTENER => accept(&poll, &listener, &mut clients)?,
                ORDERS => submit(&orders, transport, &mut clients),
                Token(client) => {
                    let client: &mut Client = &mut clients[client];
                    if event.is_readable() {
                        client.asks(transport);
                    }
                    client.writes();
                }
            }
        }
    }
}

fn accept(poll: &Poll, listener: &TcpListener, clients: &mut Vec<Client>) -> io::Result<()> {
    while let Ok((mut stream, _)) = listener.accept() {
        stream.set_nodelay(true)?;
        let token = Token(clients.len());
        poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        clients.push(Client { stream, reads: Reads::Nothing, unwritten: VecDeque::new(), taken: 0 });
    }
    Ok(())
}

/// Writes a batch to all clients, or to each the message of its key.
fn submit(orders: &Receiver<Order>, transport: Transport, clients: &mut [Client]) {
    for order in orders.try_iter() {
        match order {
            Order::All(count) => {
                let batch: Arc<[u8]> = (0..count).flat_map(|_| event(transport)).collect();
                for client in clients.iter_mut() {
                    client.unwritten.push_back(Arc::clone(&batch));
                    client.writes();
                }
            }
            Order::EachKey => {
                for client in clients.iter_mut().filter(|client| client.reads == Reads::Key) {
                    client.unwritten.push_back(event(transport).into());
                    client.writes();
                }
            }
        }
    }
}

/// A message as the others send it: an id, the data, and the frame of its transport.
fn event(transport: Transport) -> Vec<u8> {
    let message = message();
    match transport {
        Transport::Sse => {
            let event = format!("id: abcdefgh-1\ndata: \"{message}\"\n\n");
            format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()
        }
        Transport::Ws => {
            let text = format!(r#"{{"id":"abcdefgh-1","data":"{message}"}}"#);
            let length = u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes();
            [&[0x81, 126, length[0], length[1]], text.as_bytes()].concat()
        }
    }
}

impl Client {
    /// Answers the request, and ignores all that follows.
    fn asks(&mut self, transport: Transport) {
        let mut bytes = [0; 1024];
        while let Ok(length @ 1..) = self.stream.read(&mut bytes) {
            if self.reads != Reads::Nothing {
                continue;
            }
            self.reads = if bytes[..length].starts_with(b"GET / ") { Reads::All } else { Reads::Key };
            self.unwritten.push_back(head(transport).as_bytes().into());
        }
    }

    fn writes(&mut self) {
        while let Some(bytes) = self.unwritten.front() {
            match self.stream.write(&bytes[self.taken..]) {
                Ok(taken) => self.taken += taken,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // A client that has left is never written to again.
                Err(_) => {
                    self.unwritten.clear();
                    return;
                }
            }
            if self.taken == bytes.len() {
                self.taken = 0;
                self.unwritten.pop_front();
            }
        }
    }
}

fn head(transport: Transport) -> &'static str {
    match transport {
        Transport::Sse => "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
        // The readers do not look at it.
        Transport::Ws => "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    }
}
