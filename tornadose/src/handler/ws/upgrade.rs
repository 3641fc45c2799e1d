//! How a WebSocket takes the socket out of its upgraded connection.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::handler::connection::io::{Socket, SocketIo};
use crate::handler::connection::socket_table::SocketHandle;
use crate::wire::ws::decoder::Decoder;

/// A connection that is being upgraded.
pub(crate) struct PendingUpgrade {
    pub(crate) upgrade: OnUpgrade,
    pub(crate) handle: Option<Arc<SocketHandle>>,
    pub(crate) max_message: usize,
    pub(crate) socket_waker: Waker,
    pub(crate) number: u64,
}

/// The socket of an upgraded connection, with its decoder.
pub(crate) struct UpgradedIo {
    pub(crate) io: Box<SocketIo<Decoder>>,
    /// Whether this is the socket itself, and not the upgraded connection around it.
    pub(crate) is_detached: bool,
}

impl PendingUpgrade {
    /// Waits for the upgrade. `None` when it failed, which is logged.
    pub(crate) async fn complete(self) -> Option<UpgradedIo> {
        let Self { upgrade, handle, max_message, socket_waker, number } = self;
        let upgraded = match upgrade.await {
            Ok(upgraded) => take_upgraded(upgraded, handle),
            Err(error) => {
                tracing::debug!(target: "tornadose", transport = "ws", number, %error, "upgrade failed");
                return None;
            }
        };
        let UpgradedSocket { socket, read, is_detached } = upgraded;
        let io = SocketIo::new(socket, Decoder::new(max_message), socket_waker).with_read_buffer(read);
        Some(UpgradedIo { io: Box::new(io), is_detached })
    }
}

/// The socket of an upgraded connection.
pub(crate) struct UpgradedSocket {
    pub(crate) socket: Box<dyn Socket>,
    /// Input that was read from the socket before.
    read: Vec<u8>,
    is_detached: bool,
}

/// Takes the socket out of an upgraded connection. Without a handle, or when the socket has not been flushed, the
/// upgraded connection itself is the socket.
pub(crate) fn take_upgraded(upgraded: Upgraded, handle: Option<Arc<SocketHandle>>) -> UpgradedSocket {
    let mut upgraded = TokioIo::new(upgraded);
    let cx = &mut Context::from_waker(Waker::noop());
    let given = handle.and_then(|handle| {
        handle.request(Waker::noop());
        // Its result does not matter: an error shows again in the first write.
        let _flushed = Pin::new(&mut upgraded).poll_flush(cx);
        handle.withdraw().inspect_err(|reason| reason.log_once("ws")).ok()
    });
    let Some(socket) = given else {
        return UpgradedSocket { socket: Box::new(upgraded), read: Vec::new(), is_detached: false };
    };
    let mut read = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let mut buffer = ReadBuf::new(&mut buffer);
        match Pin::new(&mut upgraded).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => read.extend_from_slice(buffer.filled()),
            // What hyper had read is read, and the wrapper has no socket.
            _ => return UpgradedSocket { socket, read, is_detached: true },
        }
    }
}
