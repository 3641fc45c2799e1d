//! One WebSocket connection from handshake to end: reading and writing are two tasks, so that a flood in one direction
//! never stops the other.

pub(crate) mod handshake;
pub(crate) mod frame;
pub(crate) mod inbound;

use hyper::Response;
use hyper::body::Incoming;
use hyper::upgrade::{Upgraded, on};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::client::connection::Link;
use crate::client::faults::cut_scanner::Screen;
use crate::client::http::{self, Connection};
use crate::client::log::Place;
use crate::client::reconnect::After;
use crate::client::response;
use crate::client::ws::frame::{Frame, Frames, Opcode, encode};
use crate::client::ws::inbound::{Heard, Inbound};
use crate::client::ws_client::Outbox;
use crate::entry::{Side, What};
use crate::journal::client_state::Ending;

/// Lives through one connection, and tells whether a page that keeps its WebSocket open would come back.
pub(crate) async fn read(link: &Link, outbox: &Outbox, mute: bool) -> After {
    let seat = &link.seat;
    let written = outbox.begin();
    let Some(pipe) = link.dial() else { return After::Return };
    let connection = Connection::default();
    let Ok(response) = http::send(pipe, link.ask.clone(), &connection.0).await else {
        seat.broke_off();
        return After::Return;
    };
    if response.status().as_u16() != 101 {
        response::collect(seat, response).await;
        return After::Return;
    }
    if let Err(violation) = opened(link, &response) {
        seat.ended(Some(What::Violation(violation)), Ending::Abort);
        return After::Stay;
    }
    let Ok(upgraded) = on(response).await else {
        seat.broke_off();
        return After::Return;
    };
    let (bytes, sink) = split(TokioIo::new(upgraded));
    connection.0.spawn(write(sink, written));
    let reader = Reader { seat, outbox, mute, frames: Frames::default(), inbound: Inbound::default() };
    let after = reader.run(bytes, Screen::of_ws(&link.cuts)).await;
    // One that has closed by itself does not come back.
    if seat.closing().is_some() { After::Stay } else { after }
}

fn opened(link: &Link, response: &Response<Incoming>) -> Result<(), String> {
    link.seat.head(101, response.headers());
    let protocol = response::header(response.headers(), "sec-websocket-protocol").map(str::to_owned);
    link.seat.note(What::Upgraded { protocol });
    link.seat.note_headers(response.headers());
    handshake::check(&link.ask.headers, response.headers())
}

async fn write(mut sink: WriteHalf<TokioIo<Upgraded>>, mut written: UnboundedReceiver<Vec<u8>>) {
    while let Some(bytes) = written.recv().await {
        if sink.write_all(&bytes).await.is_err() || sink.flush().await.is_err() {
            // The reader sees the same end, and records it.
            return;
        }
    }
}

struct Reader<'life> {
    seat: &'life Place,
    outbox: &'life Outbox,
    mute: bool,
    frames: Frames,
    inbound: Inbound,
}

impl Reader<'_> {
    async fn run(mut self, mut bytes: ReadHalf<TokioIo<Upgraded>>, mut screen: Screen) -> After {
        let mut buffer = [0; 4096];
        let mut count = 0;
        loop {
            let (through, severed) = screen.pass(&buffer[..count]);
            self.frames.feed(&through);
            if let Err(violation) = self.hear() {
                self.seat.ended(Some(What::Violation(violation)), Ending::Abort);
                return After::Stay;
            }
            if let Some(severed) = severed {
                self.seat.severed(severed);
                return After::Return;
            }
            count = match bytes.read(&mut buffer).await {
                Ok(0) | Err(_) => {
                    self.seat.hung_up();
                    return After::Return;
                }
                Ok(count) => count,
            };
        }
    }

    fn hear(&mut self) -> Result<(), String> {
        while let Some(frame) = self.frames.next()? {
            let Frame { opcode, last, payload } = frame.clone();
            self.seat.note(What::Frame { kind: opcode.name(), payload, last });
            match self.inbound.take(frame)? {
                None | Some(Heard::Pong) => {}
                Some(Heard::Message(message)) => self.seat.note(message),
                Some(Heard::Ping(payload)) => {
                    self.seat.note(What::Ping);
                    self.reply(Opcode::Pong, payload);
                }
                Some(Heard::Close(code, reason)) => self.closed(code, reason),
            }
        }
        Ok(())
    }

    fn closed(&mut self, code: Option<u16>, reason: String) {
        let ending = Ending::Close { code: code.unwrap_or(1005), reason: reason.clone() };
        let line = What::Close { code, reason, by: Side::Server };
        match self.seat.closing() {
            // The answer to our own close, as it should be, has nothing to add.
            Some(ours) if Some(ours) == code => self.seat.ended(None, ending),
            Some(_) => self.seat.ended(Some(line), ending),
            None => {
                self.seat.ended(Some(line), ending);
                self.reply(Opcode::Close, code.map_or(Vec::new(), |code| code.to_be_bytes().to_vec()));
            }
        }
    }

    fn reply(&mut self, opcode: Opcode, payload: Vec<u8>) {
        if !self.mute {
            self.outbox.send(encode(opcode, &payload));
            self.seat.note(What::Reply { kind: opcode.name(), payload });
        }
    }
}
