//! A socket is read only when it may have input, and only so far ahead.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;

use super::*;
use crate::store::reader::mailbox::NOOP_WAKER;

/// A socket that counts how often it is read.
struct Counted {
    io: DuplexStream,
    reads: Arc<AtomicUsize>,
}

impl AsyncRead for Counted {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let counted = self.get_mut();
        counted.reads.fetch_add(1, Relaxed);
        Pin::new(&mut counted.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_socket_without_input_is_read_again_only_after_it_has_woken() {
    const PONG: [u8; 6] = [0x8A, 0x80, 0, 0, 0, 0];
    let (mut client, io) = duplex(1 << 10);
    let reads = Arc::new(AtomicUsize::new(0));
    let mut io =
        SocketIo::new(Box::new(Counted { io, reads: Arc::clone(&reads) }), Decoder::new(1 << 16), NOOP_WAKER.clone());
    for _ in 0..3 {
        assert!(poll_fn(|cx| Poll::Ready(io.poll_inbound(cx))).await.is_pending());
        assert_eq!(reads.load(Relaxed), 1);
    }
    for expected in [3, 5] {
        client.write_all(&PONG).await.expect("the pipe takes it");
        io.allow_read();
        let pong = poll_fn(|cx| io.poll_inbound(cx)).await;
        assert_eq!(pong, Ok(Ok(Inbound::Pong)));
        assert!(poll_fn(|cx| Poll::Ready(io.poll_inbound(cx))).await.is_pending());
        assert_eq!(reads.load(Relaxed), expected);
    }
    // It wakes the task that polls it, so it is read at every poll.
    io.use_task_waker();
    assert!(poll_fn(|cx| Poll::Ready(io.poll_inbound(cx))).await.is_pending());
    assert_eq!(reads.load(Relaxed), 6);
    let left = tokio::spawn(async move { poll_fn(|cx| io.poll_inbound(cx)).await });
    tokio::task::yield_now().await;
    drop(client);
    let left = timeout(Duration::from_secs(20), left).await.expect("the socket wakes the task");
    assert_eq!(left.expect("it does not panic"), Err(Disconnected));
}

#[tokio::test]
async fn a_flood_while_a_hook_runs_is_read_ahead_only_so_far() {
    let (mut client, server) = duplex(1 << 20);
    client.write_all(&vec![0; 1 << 20]).await.expect("the pipe takes it");
    let mut io = SocketIo::new(Box::new(server), Decoder::new(1 << 16), NOOP_WAKER.clone());
    let heard = tokio::task::unconstrained(poll_fn(|cx| Poll::Ready(io.poll_read_ahead(cx)))).await;
    assert_eq!(heard, Poll::Pending);
    assert!(io.read_buffer.len() <= MAX_BUFFERED + 2048, "{} bytes are unread", io.read_buffer.len());
    assert!(io.is_input_full());
}
