//! A hand-written WebSocket endpoint: the test pushes the bytes that it sends, and takes the frames that it received.

use std::sync::{Arc, Mutex};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use salvo::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The server's end of the last connection.
#[derive(Clone, Default)]
pub(crate) struct WsEndpoint {
    sender: Arc<Mutex<Option<UnboundedSender<Vec<u8>>>>>,
    received: Arc<Mutex<Received>>,
}

#[derive(Default)]
struct Received {
    bytes: Vec<u8>,
    /// The number of bytes of each read.
    read_sizes: Vec<usize>,
    ended: bool,
}

pub(crate) struct Serve {
    endpoint: WsEndpoint,
    headers: &'static [(&'static str, &'static str)],
}

/// Returns an endpoint and its handler, which adds these headers to its response.
pub(crate) fn ws_endpoint(headers: &'static [(&'static str, &'static str)]) -> (WsEndpoint, Serve) {
    let endpoint = WsEndpoint::default();
    (endpoint.clone(), Serve { endpoint, headers })
}

#[allow(dead_code, reason = "not every test file uses every method")]
impl WsEndpoint {
    /// Sends bytes as they are, for frames that are written by hand.
    pub(crate) fn push(&self, bytes: &[u8]) {
        self.sender.lock().unwrap().as_ref().unwrap().send(bytes.to_vec()).unwrap();
    }

    /// Sends a text frame.
    pub(crate) fn push_text(&self, text: &str) {
        self.push(&[&[0x81, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat());
    }

    /// Closes the connection without a close frame.
    pub(crate) fn hang_up(&self) {
        *self.sender.lock().unwrap() = None;
    }

    /// Takes the number of bytes of each read so far.
    pub(crate) fn take_read_sizes(&self) -> Vec<usize> {
        std::mem::take(&mut self.received.lock().unwrap().read_sizes)
    }

    /// Whether the client has closed its sending direction.
    pub(crate) fn has_ended(&self) -> bool {
        self.received.lock().unwrap().ended
    }

    /// Takes the frames received so far, unmasked.
    pub(crate) fn take_frames(&self) -> Vec<Vec<u8>> {
        let bytes = std::mem::take(&mut self.received.lock().unwrap().bytes);
        let mut rest = &bytes[..];
        let mut frames = Vec::new();
        while let [first, length, a, b, c, d, after @ ..] = rest {
            let (payload, after) = after.split_at(usize::from(length & 0x7f));
            let unmasked = payload.iter().zip([a, b, c, d].into_iter().cycle()).map(|(byte, mask)| byte ^ mask);
            frames.push([*first].into_iter().chain(unmasked).collect());
            rest = after;
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
        let (sender, bytes) = unbounded_channel();
        *self.endpoint.sender.lock().unwrap() = Some(sender);
        tokio::spawn(run(upgrade, bytes, self.endpoint.received.clone()));
    }
}

async fn run(upgrade: OnUpgrade, mut bytes: UnboundedReceiver<Vec<u8>>, received: Arc<Mutex<Received>>) {
    // A client may disconnect during the handshake.
    let Ok(upgraded) = upgrade.await else { return };
    let (mut read, mut write) = split(TokioIo::new(upgraded));
    let reading = tokio::spawn(async move {
        let mut buffer = [0; 256];
        while let Ok(count @ 1..) = read.read(&mut buffer).await {
            let mut received = received.lock().unwrap();
            received.bytes.extend_from_slice(&buffer[..count]);
            received.read_sizes.push(count);
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
