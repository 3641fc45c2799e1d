//! A hand-written WebSocket endpoint: the test says which bytes it sends, and sees which it has received.

use std::sync::{Arc, Mutex};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use salvo::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The server's end of the last connection.
#[derive(Clone, Default)]
pub(crate) struct Line {
    write: Arc<Mutex<Option<UnboundedSender<Vec<u8>>>>>,
    received: Arc<Mutex<Received>>,
}

#[derive(Default)]
struct Received {
    bytes: Vec<u8>,
    pieces: Vec<usize>,
    ended: bool,
}

pub(crate) struct Serve {
    line: Line,
    headers: &'static [(&'static str, &'static str)],
}

/// A line and its handler, which answers the handshake with these headers too.
pub(crate) fn line(headers: &'static [(&'static str, &'static str)]) -> (Line, Serve) {
    let line = Line::default();
    (line.clone(), Serve { line, headers })
}

#[allow(dead_code, reason = "not every file of tests uses all of it")]
impl Line {
    /// Sends bytes as they are: the frames of a server are easily written by hand.
    pub(crate) fn push(&self, bytes: &[u8]) {
        self.write.lock().unwrap().as_ref().unwrap().send(bytes.to_vec()).unwrap();
    }

    pub(crate) fn text(&self, text: &str) {
        self.push(&[&[0x81, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat());
    }

    pub(crate) fn hang_up(&self) {
        *self.write.lock().unwrap() = None;
    }

    /// The length of everything that was read at once.
    pub(crate) fn pieces(&self) -> Vec<usize> {
        std::mem::take(&mut self.received.lock().unwrap().pieces)
    }

    pub(crate) fn has_seen_the_end(&self) -> bool {
        self.received.lock().unwrap().ended
    }

    /// What has come since the last look, unmasked.
    pub(crate) fn received(&self) -> Vec<Vec<u8>> {
        let bytes = std::mem::take(&mut self.received.lock().unwrap().bytes);
        let mut rest = &bytes[..];
        let mut frames = Vec::new();
        while let [first, length, a, b, c, d, behind @ ..] = rest {
            let (payload, behind) = behind.split_at(usize::from(length & 0x7f));
            let unmasked = payload.iter().zip([a, b, c, d].into_iter().cycle()).map(|(byte, mask)| byte ^ mask);
            frames.push([*first].into_iter().chain(unmasked).collect());
            rest = behind;
        }
        frames
    }
}

#[async_trait]
impl Handler for Serve {
    async fn handle(&self, req: &mut Request, _: &mut Depot, res: &mut Response, _: &mut FlowCtrl) {
        let upgrade = req.extensions_mut().remove::<OnUpgrade>().unwrap();
        res.status_code(StatusCode::SWITCHING_PROTOCOLS);
        for (name, value) in [("connection", "upgrade"), ("upgrade", "websocket")].iter().chain(self.headers) {
            res.headers_mut().insert(*name, value.parse().unwrap());
        }
        if !res.headers().contains_key("sec-websocket-accept") {
            res.headers_mut().insert("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".parse().unwrap());
        }
        let (write, bytes) = unbounded_channel();
        *self.line.write.lock().unwrap() = Some(write);
        tokio::spawn(carry(upgrade, bytes, self.line.received.clone()));
    }
}

async fn carry(upgrade: OnUpgrade, mut bytes: UnboundedReceiver<Vec<u8>>, received: Arc<Mutex<Received>>) {
    // A client may turn away at the handshake.
    let Ok(upgraded) = upgrade.await else { return };
    let (mut read, mut write) = split(TokioIo::new(upgraded));
    let reading = tokio::spawn(async move {
        let mut buffer = [0; 256];
        while let Ok(count @ 1..) = read.read(&mut buffer).await {
            let mut received = received.lock().unwrap();
            received.bytes.extend_from_slice(&buffer[..count]);
            received.pieces.push(count);
        }
        received.lock().unwrap().ended = true;
    });
    while let Some(bytes) = bytes.recv().await {
        if write.write_all(&bytes).await.is_err() {
            break;
        }
    }
    reading.abort();
}
