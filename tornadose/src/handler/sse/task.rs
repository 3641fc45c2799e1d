//! A connection over Server-Sent Events whose socket is its own: a task that writes chunks (RFC 9112 §7.1), once the head is out. How
//! it took the socket over is `handover`'s affair.
//!
//! # Ordering
//!
//! What is ready together is one chunk, or chunks that are written together; an event is never split over two.
//!
//! # Lagging
//!
//! While the socket takes nothing, nothing is read off the log. A socket that takes nothing for too long is aborted.
//!
//! # Closing
//!
//! A last `retry:` spreads the returns, then the body and the connection end. A client that leaves ends the task, and with it the
//! subscriber.

use std::future::poll_fn;
use std::task::{Context, Poll};

use tokio::time::{Instant, timeout};

use crate::handler::connection::catch_drop::Guest;
use crate::handler::connection::io::Link;
use crate::handler::connection::pump::{self, Stopped, Times};
use crate::handler::connection::registry::{LAST_WORDS, Seats};
use crate::handler::connection::span::Why;
use crate::handler::connection::timers::Timer;
use crate::handler::connection::wake_source::WakeSource;
use crate::handler::feed::Feed;
use crate::handler::feed::format::Chunks;
use crate::handler::sse::frames::{self, Pace};
use crate::message::Message;
use crate::subscriber::Subscriber;
use crate::wire::chunk;

/// Nothing that the client sends says anything.
type DirectLink = Link<()>;

/// How many bytes are read of a client that has nothing to say.
const STRAYS: usize = 16 << 10;

#[repr(C)]
pub(crate) struct Direct<S: Subscriber> {
    // An aborted connection drops them in this order: its disconnect hook first, its seats last.
    subscriber: Guest<S>,
    clock: Clock,
    feed: Feed<S::Message>,
    /// How many bytes more are read of its client.
    strays: usize,
    seats: Seats,
}

/// When what is due.
#[repr(C)]
struct Clock {
    quiet_since: Instant,
    timer: Option<Timer>,
    pace: Pace,
}

/// Why a connection is over.
enum Over {
    /// The client is gone, or as good as.
    Gone(Why),
    /// We say goodbye.
    Goodbye(Why),
}

impl<S: Subscriber> Direct<S> {
    pub(crate) fn new(
        subscriber: Guest<S>,
        feed: Feed<S::Message>,
        pace: Pace,
        seats: Seats,
        quiet_since: Instant,
    ) -> Self {
        Self { subscriber, clock: Clock { quiet_since, timer: None, pace }, feed, strays: STRAYS, seats }
    }

    /// Serves until one side ends it, then says goodbye. What a task holds all its life has boxes, as a WebSocket's has.
    pub(crate) async fn run(mut self: Box<Self>, mut link: Box<DirectLink>) {
        let over = poll_fn(|cx| self.poll_over(&mut link, cx)).await;
        Box::pin(self.ends(link, over)).await;
    }

    fn poll_over(&mut self, link: &mut DirectLink, cx: &mut Context<'_>) -> Poll<Over> {
        loop {
            let Self { subscriber, clock, feed, strays, .. } = self;
            match pump::poll::<Chunks, S, _>(subscriber, feed, clock, link, cx) {
                Poll::Ready(Stopped::Gone) => return Poll::Ready(Over::Gone(Why::Left)),
                Poll::Ready(Stopped::Ended(end)) => return Poll::Ready(Over::Goodbye(Why::Ended(end))),
                Poll::Ready(Stopped::Panicked) => return Poll::Ready(Over::Goodbye(Why::Panicked)),
                Poll::Pending => {}
            }
            if feed.reader().take_wake(WakeSource::Socket) {
                link.asks_again();
            }
            if link.poll_left(strays, cx).is_ready() {
                return Poll::Ready(Over::Gone(Why::Left));
            }
            if !feed.reader().take_wake(WakeSource::Timer) && !link.has_stirred() {
                return Poll::Pending;
            }
            if let Some(over) = clock.due(link) {
                return Poll::Ready(over);
            }
            if !clock.keeps_alive(feed, link) {
                clock.runs(feed, link);
                return Poll::Pending;
            }
        }
    }

    async fn ends(self: Box<Self>, mut link: Box<DirectLink>, over: Over) {
        let Self { subscriber, clock, feed, seats, .. } = *self;
        // Its `Drop` is the disconnect hook, which need not wait for the goodbye. The reader and the seats do: so long the
        // connection counts, is waited for, and can be aborted.
        drop(subscriber);
        let (Over::Gone(why) | Over::Goodbye(why)) = over;
        feed.closing().because(why, None);
        // Nobody leaves a waker with the reader any more, through which the socket would call.
        link.wakes_who_asks();
        if let Over::Goodbye(_) = over {
            link.replies().extend_from_slice(&chunk::of(&frames::come_back(clock.pace.return_after)));
            link.replies().extend_from_slice(chunk::END);
            let said = async {
                poll_fn(|cx| link.poll_written(cx)).await?;
                poll_fn(|cx| link.poll_shutdown(cx)).await
            };
            if timeout(LAST_WORDS, said).await.is_err() {
                tracing::debug!(target: "tornadose", transport = "sse", "aborted: the client did not take the end");
            }
        }
        drop((feed, seats));
    }
}

impl Times for Clock {
    #[inline]
    fn is_given(&mut self, at: Instant) {
        self.quiet_since = at;
    }
}

impl Clock {
    /// Why the connection is over by now, if it is.
    fn due(&self, link: &DirectLink) -> Option<Over> {
        let now = Instant::now();
        if link.blocked.is_some_and(|since| now >= since + self.pace.patience) {
            return Some(Over::Gone(Why::Stalled));
        }
        self.pace.until.filter(|until| now >= *until).map(|_| Over::Goodbye(Why::MaxAge))
    }

    /// Writes a keep-alive when it is time for one, and the position that moved meanwhile. One that is blocked needs none.
    fn keeps_alive<M: Message>(&mut self, feed: &mut Feed<M>, link: &mut DirectLink) -> bool {
        let now = Instant::now();
        let silent = self.keep_alive_at(link).is_some_and(|at| now >= at);
        if silent {
            self.quiet_since = now;
            let keep_alive = frames::keep_alive(feed);
            link.replies().extend_from_slice(&chunk::of(&keep_alive));
            link.stirs();
        }
        silent
    }

    fn keep_alive_at(&self, link: &DirectLink) -> Option<Instant> {
        self.pace.keep_alive.filter(|_| link.blocked.is_none()).map(|after| self.quiet_since + after)
    }

    /// Has the timer call when something is due next.
    fn runs<M: Message>(&mut self, feed: &Feed<M>, link: &DirectLink) {
        let blocked = link.blocked.map(|since| since + self.pace.patience);
        if let Some(deadline) = [self.keep_alive_at(link), blocked, self.pace.until].into_iter().flatten().min() {
            Timer::calls_by(&mut self.timer, deadline, || feed.reader().waker_for(WakeSource::Timer));
        }
    }
}
