//! The floor: an epoll loop that sends a fixed response head and then prepared bytes, with one `write` per client and batch. No server
//! on this kernel can deliver with fewer system calls unless one call serves several clients.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};

use crate::process;
use crate::scenario::Transport;
use crate::servers::{Command, message, parse_command, print_ready};

const LISTENER: Token = Token(usize::MAX);
const COMMANDS: Token = Token(usize::MAX - 1);

struct Client {
    stream: TcpStream,
    requested: Requested,
    /// What is still to be written.
    unwritten: VecDeque<Arc<[u8]>>,
    /// How much of the first of `unwritten` has been written.
    written: usize,
}

/// The stream that a client requested.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Requested {
    /// No request has arrived yet.
    Nothing,
    All,
    Key,
}

pub(super) fn serve(transport: Transport) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let waker = Waker::new(poll.registry(), COMMANDS)?;
    let (sender, commands) = channel();
    process::spawn_command_reader(move |line| {
        // Sending fails only while this process exits.
        let _exiting = sender.send(parse_command(line));
        let _exiting = waker.wake();
    });
    print_ready(listener.local_addr()?);
    let (mut clients, mut events) = (Vec::new(), Events::with_capacity(1024));
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                LISTENER => accept(&poll, &listener, &mut clients)?,
                COMMANDS => submit(&commands, transport, &mut clients),
                Token(client) => {
                    let client: &mut Client = &mut clients[client];
                    if event.is_readable() {
                        client.read_request(transport);
                    }
                    client.write();
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
        clients.push(Client { stream, requested: Requested::Nothing, unwritten: VecDeque::new(), written: 0 });
    }
    Ok(())
}

/// Carries out the commands: one batch for all clients, or one message for each client of a key.
fn submit(commands: &Receiver<Command>, transport: Transport, clients: &mut [Client]) {
    for command in commands.try_iter() {
        match command {
            Command::SubmitToAll(count) => {
                let batch: Arc<[u8]> = (0..count).flat_map(|_| event(transport)).collect();
                for client in clients.iter_mut() {
                    client.unwritten.push_back(Arc::clone(&batch));
                    client.write();
                }
            }
            Command::SubmitToEachKey => {
                for client in clients.iter_mut().filter(|client| client.requested == Requested::Key) {
                    client.unwritten.push_back(event(transport).into());
                    client.write();
                }
            }
        }
    }
}

/// A message in the form in which the other servers send it: an id and the data, in a chunk or a WebSocket frame.
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
    /// Responds to the first request and ignores further input.
    fn read_request(&mut self, transport: Transport) {
        let mut bytes = [0; 1024];
        while let Ok(length @ 1..) = self.stream.read(&mut bytes) {
            if self.requested != Requested::Nothing {
                continue;
            }
            self.requested = if bytes[..length].starts_with(b"GET / ") { Requested::All } else { Requested::Key };
            self.unwritten.push_back(head(transport).as_bytes().into());
        }
    }

    fn write(&mut self) {
        while let Some(bytes) = self.unwritten.front() {
            match self.stream.write(&bytes[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // The client has left. Its output is dropped.
                Err(_) => {
                    self.unwritten.clear();
                    return;
                }
            }
            if self.written == bytes.len() {
                self.written = 0;
                self.unwritten.pop_front();
            }
        }
    }
}

fn head(transport: Transport) -> &'static str {
    match transport {
        Transport::Sse => "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
        // The readers do not check `sec-websocket-accept`.
        Transport::Ws => "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    }
}
