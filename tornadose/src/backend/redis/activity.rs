//! A stream that records when bytes last moved, so that a slow transfer can be told from a dead connection.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// The time at which bytes last moved, in either direction.
#[derive(Clone, Debug)]
pub(super) struct Activity(Arc<Mutex<Instant>>);

impl Activity {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// Returns when bytes last moved, or when the stream was opened.
    pub(super) fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
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
        if buffer.filled().len() > filled {
            self.activity.record();
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
}
