//! A stream that records when bytes last moved, so that a slow transfer can be told from a dead connection. It fails
//! when more bytes arrive than were asked for.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// The bytes that have moved on a stream.
#[derive(Clone, Debug)]
pub(super) struct Activity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// When bytes last moved, in either direction.
    last: Instant,
    /// How many bytes may still arrive; `None` when more have arrived.
    receivable: Option<usize>,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State { last: Instant::now(), receivable: Some(usize::MAX) })))
    }

    /// Returns when bytes last moved, or when the stream was opened.
    pub(super) fn last(&self) -> Instant {
        self.lock().last
    }

    /// Lets so many more bytes arrive. The stream fails when there are more.
    pub(super) fn limit_receiving(&self, bytes: usize) {
        self.lock().receivable = Some(bytes);
    }

    /// Returns whether more bytes have arrived than were allowed.
    pub(super) fn is_exceeded(&self) -> bool {
        self.lock().receivable.is_none()
    }

    fn record(&self) {
        self.lock().last = Instant::now();
    }

    /// Records that bytes have arrived.
    fn receive(&self, bytes: usize) -> io::Result<()> {
        let mut state = self.lock();
        state.last = Instant::now();
        state.receivable = state.receivable.and_then(|receivable| receivable.checked_sub(bytes));
        match state.receivable {
            Some(_) => Ok(()),
            None => Err(io::Error::other("a reply is longer than was asked for")),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads and writes another stream, and records its activity.
pub(super) struct RecordedStream<S> {
    stream: S,
    activity: Activity,
}

impl<S> RecordedStream<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, activity: Activity::new() }
    }

    pub(super) fn activity(&self) -> Activity {
        self.activity.clone()
    }

    fn record(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(1..)) = result {
            self.activity.record();
        }
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for RecordedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let filled = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let received = buffer.filled().len() - filled;
        if received > 0 {
            self.activity.receive(received)?;
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for RecordedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.record(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, buffers);
        self.record(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_in_either_direction_are_activity_and_waiting_is_not() {
        let (stream, mut peer) = duplex(8);
        let mut stream = RecordedStream::new(stream);
        let (activity, opened) = (stream.activity(), Instant::now());
        sleep(Duration::from_secs(1)).await;
        assert_eq!(activity.last(), opened);
        stream.write_all(b"ping").await.unwrap();
        assert_eq!(activity.last(), opened + Duration::from_secs(1));
        peer.write_all(b"pong").await.unwrap();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(activity.last(), opened + Duration::from_secs(1));
        stream.read_exact(&mut [0; 4]).await.unwrap();
        assert_eq!(activity.last(), opened + Duration::from_secs(2));
        sleep(Duration::from_secs(1)).await;
        drop(peer);
        assert_eq!(stream.read(&mut [0; 4]).await.unwrap(), 0);
        assert_eq!(activity.last(), opened + Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_fails_when_more_bytes_arrive_than_were_allowed() {
        let (stream, mut peer) = duplex(8);
        let mut stream = RecordedStream::new(stream);
        let activity = stream.activity();
        activity.limit_receiving(4);
        peer.write_all(b"four").await.unwrap();
        stream.read_exact(&mut [0; 4]).await.unwrap();
        assert!(!activity.is_exceeded());
        peer.write_all(b"x").await.unwrap();
        assert!(stream.read(&mut [0; 4]).await.is_err());
        assert!(activity.is_exceeded());
    }
}
