//! One WebSocket connection, from handshake to end, by RFC 6455. Reading and writing are two tasks, so that a flood in
//! one direction never blocks the other.

pub(crate) mod handshake;
pub(crate) mod frame;
pub(crate) mod frame_queue;
pub(crate) mod assembler;

use hyper::Response;
use hyper::body::Incoming;
use hyper::upgrade::{Upgraded, on};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::client::connection::{AfterLoss, Dial};
use crate::client::faults::cut_scanner::CutScanner;
use crate::client::http::{self, ConnectionTasks};
use crate::client::log::ClientLog;
use crate::client::ws::assembler::{Assembler, WsItem};
use crate::client::ws::frame::{Frame, FrameDecoder, Opcode, encode};
use crate::client::ws::frame_queue::FrameQueue;
use crate::entry::{Happening, Peer};
use crate::journal::client_state::Ending;

/// Runs one connection, and returns whether a page that keeps its WebSocket open would reconnect.
pub(crate) async fn run(dial: &Dial, frame_queue: &FrameQueue, mute: bool) -> AfterLoss {
    let log = &dial.log;
    let frames_to_send = frame_queue.begin();
    let Some(pipe) = dial.connect() else { return AfterLoss::Reconnect };
    let tasks = ConnectionTasks::default();
    let Ok(response) = http::send(pipe, dial.request.clone(), &tasks).await else {
        log.record_abort();
        return AfterLoss::Reconnect;
    };
    if response.status().as_u16() != 101 {
        http::record_response(log, response).await;
        return AfterLoss::Reconnect;
    }
    if let Err(violation) = open(dial, &response) {
        log.record_end(Some(Happening::Violation(violation)), Ending::Abort);
        return AfterLoss::Stop;
    }
    let Ok(upgraded) = on(response).await else {
        log.record_abort();
        return AfterLoss::Reconnect;
    };
    let (bytes, sink) = split(TokioIo::new(upgraded));
    tasks.spawn(write(sink, frames_to_send));
    let reader = Reader { log, frame_queue, mute, decoder: FrameDecoder::default(), assembler: Assembler::default() };
    let after = reader.run(bytes, CutScanner::for_ws(&dial.cuts)).await;
    // A client that has sent a close frame does not reconnect.
    if log.close_sent().is_some() { AfterLoss::Stop } else { after }
}

/// Records the opened connection, and checks the handshake.
fn open(dial: &Dial, response: &Response<Incoming>) -> Result<(), String> {
    dial.log.set_head(101, response.headers());
    let protocol = http::header(response.headers(), "sec-websocket-protocol").map(str::to_owned);
    dial.log.record(Happening::Upgraded { protocol });
    dial.log.record_headers(response.headers());
    handshake::check(&dial.request.headers, response.headers())
}

async fn write(mut sink: WriteHalf<TokioIo<Upgraded>>, mut frames: UnboundedReceiver<Vec<u8>>) {
    while let Some(bytes) = frames.recv().await {
        if sink.write_all(&bytes).await.is_err() || sink.flush().await.is_err() {
            // The reader observes the same end, and records it.
            return;
        }
    }
}

struct Reader<'connection> {
    log: &'connection ClientLog,
    frame_queue: &'connection FrameQueue,
    mute: bool,
    decoder: FrameDecoder,
    assembler: Assembler,
}

impl Reader<'_> {
    async fn run(mut self, mut bytes: ReadHalf<TokioIo<Upgraded>>, mut scanner: CutScanner) -> AfterLoss {
        let mut buffer = [0; 4096];
        let mut count = 0;
        loop {
            let (passed, cut) = scanner.pass(&buffer[..count]);
            self.decoder.feed(&passed);
            if let Err(violation) = self.take_frames() {
                self.log.record_end(Some(Happening::Violation(violation)), Ending::Abort);
                return AfterLoss::Stop;
            }
            if let Some(point) = cut {
                self.log.record_cut(point);
                return AfterLoss::Reconnect;
            }
            count = match bytes.read(&mut buffer).await {
                Ok(0) | Err(_) => {
                    self.log.record_disconnect();
                    return AfterLoss::Reconnect;
                }
                Ok(count) => count,
            };
        }
    }

    /// Records the frames that are complete; an error is a violation of the protocol.
    fn take_frames(&mut self) -> Result<(), String> {
        while let Some(frame) = self.decoder.next()? {
            let Frame { opcode, last, payload } = frame.clone();
            self.log.record(Happening::Frame { kind: opcode.name(), payload, last });
            match self.assembler.push(frame)? {
                None | Some(WsItem::Pong) => {}
                Some(WsItem::Message(message)) => self.log.record(message),
                Some(WsItem::Ping(payload)) => {
                    self.log.record(Happening::Ping);
                    self.reply(Opcode::Pong, payload);
                }
                Some(WsItem::Close(code, reason)) => self.close(code, reason),
            }
        }
        Ok(())
    }

    fn close(&mut self, code: Option<u16>, reason: String) {
        let ending = Ending::Close { code: code.unwrap_or(1005), reason: reason.clone() };
        let close = Happening::Close { code, reason, by: Peer::Server };
        match self.log.close_sent() {
            // A reply with the client's own code adds nothing to the transcript.
            Some(sent) if Some(sent) == code => self.log.record_end(None, ending),
            Some(_) => self.log.record_end(Some(close), ending),
            None => {
                self.log.record_end(Some(close), ending);
                self.reply(Opcode::Close, code.map_or(Vec::new(), |code| code.to_be_bytes().to_vec()));
            }
        }
    }

    /// Sends a frame automatically, unless the client is mute.
    fn reply(&mut self, opcode: Opcode, payload: Vec<u8>) {
        if !self.mute {
            self.frame_queue.push(encode(opcode, &payload));
            self.log.record(Happening::Reply { kind: opcode.name(), payload });
        }
    }
}
