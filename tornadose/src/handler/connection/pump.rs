//! Writes a feed's messages to the socket of a detached stream or a WebSocket, as long as the socket takes them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};

use tokio::time::Instant;

use crate::handler::connection::io::SocketIo;
use crate::handler::connection::record::CloseReason;
use crate::handler::connection::wake_source::WakeSource;
use crate::handler::feed::format::Format;
use crate::handler::feed::{Feed, FeedItem};
use crate::handler::served::Served;
use crate::message::Message;
use crate::store::end::{EndReason, EndState};

/// Why nothing more is written.
pub(crate) enum PumpEnd {
    /// The client has left.
    Disconnected,
    /// The reader has ended.
    Ended(EndReason),
    /// The state of the connection cannot be loaded. This is logged already.
    NotLoaded(CloseReason),
    /// The filter panicked. This is logged already.
    Panicked,
}

/// Is called when messages are written.
pub(crate) trait WriteObserver {
    /// A message is passed to the socket, at about this time.
    #[inline]
    fn on_write(&mut self, _at: Instant) {}

    /// The socket has taken all bytes.
    #[inline]
    fn on_flushed<D>(&mut self, _io: &mut SocketIo<D>) {}
}

/// Writes messages as long as the socket takes them. Ready only when no more are to be written.
pub(crate) fn poll<F: Format, M: Message, D>(
    subscriber: &mut dyn Served<M>,
    feed: &mut Feed<M>,
    observer: &mut impl WriteObserver,
    io: &mut SocketIo<D>,
    cx: &mut Context<'_>,
) -> Poll<PumpEnd> {
    // A frame that the timer writes carries the position, which only the store knows.
    let mut must_read = feed.reader().was_woken_by(WakeSource::Timer);
    let mut written = io.poll_written(cx);
    loop {
        match written {
            Poll::Ready(Ok(())) => observer.on_flushed(io),
            Poll::Ready(Err(_)) => return Poll::Ready(PumpEnd::Disconnected),
            // A reader that drains before it ends reads on once the socket takes bytes.
            Poll::Pending => {
                return match feed.poll_ended(cx.waker()) {
                    Some(EndState::Due(end)) => Poll::Ready(PumpEnd::Ended(end)),
                    Some(EndState::Draining(_)) | None => Poll::Pending,
                };
            }
        }
        if !std::mem::take(&mut must_read) && feed.try_park(cx.waker()) {
            return Poll::Pending;
        }
        match catch_unwind(AssertUnwindSafe(|| feed.next::<F>(subscriber, cx.waker()))) {
            Ok(FeedItem::Bytes(bytes)) => {
                observer.on_write(feed.reader().last_active());
                written = io.poll_write(bytes, cx);
            }
            Ok(FeedItem::Pending) => return Poll::Pending,
            Ok(FeedItem::Ended(end)) => return Poll::Ready(PumpEnd::Ended(end)),
            Ok(FeedItem::NotLoaded(reason)) => return Poll::Ready(PumpEnd::NotLoaded(reason)),
            Err(_) => {
                feed.record().log_panic();
                return Poll::Ready(PumpEnd::Panicked);
            }
        }
    }
}
