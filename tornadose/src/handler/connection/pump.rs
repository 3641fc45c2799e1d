//! What goes out on a socket of our own, on either transport: a feed's messages, as long as the socket takes them. What comes in,
//! and when what is due, is its task's affair.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};

use tokio::time::Instant;

use crate::handler::connection::io::Link;
use crate::handler::connection::wake_source::WakeSource;
use crate::handler::feed::format::Format;
use crate::handler::feed::{Fed, Feed};
use crate::store::registry::EndReason;
use crate::subscriber::Subscriber;

/// Why nothing more goes out.
pub(crate) enum Stopped {
    /// The client has left.
    Gone,
    Ended(EndReason),
    /// The filter panicked, which is logged.
    Panicked,
}

/// Who keeps a connection's time.
pub(crate) trait Times {
    /// A message is given to the socket, at about this time.
    #[inline]
    fn is_given(&mut self, _at: Instant) {}

    /// The socket has taken all that it was given.
    #[inline]
    fn all_taken<D>(&mut self, _link: &mut Link<D>) {}
}

/// Writes messages as long as the socket takes them. Ready only when that is over.
pub(crate) fn poll<F: Format, S: Subscriber, D>(
    subscriber: &S,
    feed: &mut Feed<S::Message>,
    times: &mut impl Times,
    link: &mut Link<D>,
    cx: &mut Context<'_>,
) -> Poll<Stopped> {
    // What a timer writes goes with the position, for which the store is to be asked.
    let mut due = feed.reader().was_woken_by(WakeSource::Timer);
    let mut written = link.poll_written(cx);
    loop {
        match written {
            Poll::Ready(Ok(())) => times.all_taken(link),
            Poll::Ready(Err(_)) => return Poll::Ready(Stopped::Gone),
            // One that is ended and may read on does so, as soon as it can.
            Poll::Pending => {
                return match feed.reader().wait_for_end(cx.waker()).filter(|end| !end.drains()) {
                    Some(end) => Poll::Ready(Stopped::Ended(end)),
                    None => Poll::Pending,
                };
            }
        }
        if !std::mem::take(&mut due) && feed.rests(cx.waker()) {
            return Poll::Pending;
        }
        match catch_unwind(AssertUnwindSafe(|| feed.next::<F>(subscriber, cx.waker()))) {
            Ok(Fed::Bytes(bytes)) => {
                times.is_given(feed.reader().last_active());
                written = link.poll_write(bytes, cx);
            }
            Ok(Fed::Wait) => return Poll::Pending,
            Ok(Fed::Ended(end)) => return Poll::Ready(Stopped::Ended(end)),
            Err(_) => {
                feed.visit().panics();
                return Poll::Ready(Stopped::Panicked);
            }
        }
    }
}
