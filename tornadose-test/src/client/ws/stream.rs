//! One WebSocket connection from handshake to end: reading and writing are two tasks, so that a flood in one direction
//! never stops the other.

use hyper::upgrade::{Upgraded, on};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::client::answer;
use crate::client::pipe::Pipe;
use crate::client::place::Place;
use crate::client::request::{self, Ask, Tasks};
use crate::client::ws::frame::{Frame, Frames, Opcode, encode};
use crate::client::ws::handshake;
use crate::client::ws::inbound::{Heard, Inbound};
use crate::record::line::{Side, What};
use crate::record::seat::Ending;

/// What is to be written: the sender for pongs and the answer to a close, the receiver for the writing task.
pub(crate) struct Outbox {
    pub(crate) send: UnboundedSender<Vec<u8>>,
    pub(crate) written: UnboundedReceiver<Vec<u8>>,
}

pub(crate) async fn read(seat: Place, pipe: Pipe, ask: Ask, tasks: Tasks, outbox: Outbox, mute: bool) {
    let asked = ask.headers.clone();
    let Ok(response) = request::send(pipe, ask, &tasks).await else { return seat.broke_off() };
    if response.status().as_u16() != 101 {
        return answer::collect(&seat, response).await;
    }
    seat.head(101, response.headers());
    let protocol = answer::header(response.headers(), "sec-websocket-protocol").map(str::to_owned);
    seat.note(What::Upgraded { protocol });
    seat.note_headers(response.headers());
    if let Err(violation) = handshake::check(&asked, response.headers()) {
        return seat.ended(Some(What::Violation(violation)), Ending::Abort);
    }
    let Ok(upgraded) = on(response).await else { return seat.broke_off() };
    let (bytes, sink) = split(TokioIo::new(upgraded));
    tasks.spawn(write(sink, outbox.written));
    Reader { seat, send: outbox.send, mute, frames: Frames::default(), inbound: Inbound::default() }.run(bytes).await;
}

async fn write(mut sink: WriteHalf<TokioIo<Upgraded>>, mut written: UnboundedReceiver<Vec<u8>>) {
    while let Some(bytes) = written.recv().await {
        if sink.write_all(&bytes).await.is_err() || sink.flush().await.is_err() {
            // The reader sees the same end, and records it.
            return;
        }
    }
}

struct Reader {
    seat: Place,
    send: UnboundedSender<Vec<u8>>,
    mute: bool,
    frames: Frames,
    inbound: Inbound,
}

impl Reader {
    async fn run(mut self, mut bytes: ReadHalf<TokioIo<Upgraded>>) {
        let mut buffer = [0; 4096];
        loop {
            match bytes.read(&mut buffer).await {
                Ok(0) | Err(_) => return self.seat.hung_up(),
                Ok(count) => self.frames.feed(&buffer[..count]),
            }
            if let Err(violation) = self.hear() {
                return self.seat.ended(Some(What::Violation(violation)), Ending::Abort);
            }
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
            // A writer that is gone has met the end of the connection, which is recorded here.
            let _ = self.send.send(encode(opcode, &payload));
            self.seat.note(What::Reply { kind: opcode.name(), payload });
        }
    }
}
