//! A connection over Server-Sent Events: a response body that is polled by the server, until it takes its socket over if it does. How it
//! goes on then is `direct`'s affair.
//!
//! # Ordering
//!
//! What is ready together is one frame of the body, so it is written together; an event is never split over two.
//!
//! # Lagging
//!
//! A body that is not polled reads nothing: its place in the log stays.
//!
//! # Closing
//!
//! A last `retry:` spreads the returns, then the body ends. A client that leaves drops the body, and with it the subscriber.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame};
use salvo::conn::ConnCtrl;
use tokio::time::Instant;

use crate::handler::connection::catch_drop::Guest;
use crate::handler::connection::control::OverTask;
use crate::handler::connection::handover::{Socket, Step, StreamHandover};
use crate::handler::connection::io::Link;
use crate::handler::connection::registry::Seats;
use crate::handler::connection::span::Why;
use crate::handler::connection::timers::Timer;
use crate::handler::connection::wake_source::WakeSource;
use crate::handler::feed::format::Sse;
use crate::handler::feed::{Fed, Feed};
use crate::handler::sse::frames::{self, Pace};
use crate::handler::sse::task::Direct;
use crate::message::Message;
use crate::subscriber::Subscriber;

#[repr(C)]
pub(crate) struct Stream<S: Subscriber> {
    /// What is left of a piece too big for one frame.
    rest: Bytes,
    quiet_since: Instant,
    /// None once the stream has said its last.
    open: Option<Open<S>>,
    timer: Option<Timer>,
    /// The oldest keep-alive that may not have been taken, and when it was sent.
    untaken: Option<(Weak<()>, Instant)>,
    pace: Pace,
    /// How to abort the connection of a client that takes nothing.
    conn: Option<ConnCtrl>,
    /// A stream that may yet take its socket over; it has not begun then.
    handover: Option<StreamHandover>,
}

#[repr(C)]
struct Open<S: Subscriber> {
    // A body that is dropped drops them in this order: its disconnect hook first, its seats last.
    subscriber: Guest<S>,
    feed: Feed<S::Message>,
    seats: Seats,
}

/// The last bytes of a stream. They hold its reader and its seats until the socket has taken them, or is gone: so long the
/// connection counts, is waited for, and can be aborted.
struct Goodbye<M: Message> {
    bytes: Bytes,
    _feed: Feed<M>,
    _seats: Seats,
}

impl<M: Message> AsRef<[u8]> for Goodbye<M> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A keep-alive that has not been taken yet; the server drops it once it is written.
struct Untaken {
    bytes: Bytes,
    _untaken: Arc<()>,
}

impl AsRef<[u8]> for Untaken {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The most that goes into one frame of the body. Between frames it can be seen whether the client takes anything.
const FRAME: usize = 128 << 10;

impl<S: Subscriber> Stream<S> {
    pub(crate) fn new(
        subscriber: Guest<S>,
        feed: Feed<S::Message>,
        pace: Pace,
        conn: Option<ConnCtrl>,
        seats: Seats,
    ) -> Self {
        let caller = feed.reader().waker_for(WakeSource::Timer);
        let mut stream = Self {
            rest: Bytes::new(),
            quiet_since: Instant::now(),
            open: Some(Open { subscriber, feed, seats }),
            timer: None,
            untaken: None,
            pace,
            conn,
            handover: None,
        };
        stream.timer = stream.deadline().map(|deadline| Timer::at(deadline, caller));
        stream
    }

    /// Has it take its socket over, if that is agreed on, behind what this begins with.
    pub(crate) fn may_take_over(&mut self, handover: StreamHandover) {
        self.handover = Some(handover);
    }

    fn deadline(&self) -> Option<Instant> {
        let keep_alive = self.pace.keep_alive.map(|after| self.quiet_since + after);
        keep_alive.into_iter().chain(self.pace.until).min()
    }

    #[cold]
    fn say_goodbye(&mut self, why: Why) -> Bytes {
        let bytes = frames::come_back(self.pace.return_after);
        let Some(Open { subscriber, feed, seats }) = self.open.take() else { return bytes };
        feed.closing().because(why, None);
        drop(subscriber);
        Bytes::from_owner(Goodbye { bytes, _feed: feed, _seats: seats })
    }

    /// Aborts the connection when a keep-alive lies untaken for too long. The body would be asked for more for a while yet, for
    /// the server keeps several frames; its end would be kept like them.
    fn abort_if_stalled(&mut self, now: Instant) {
        self.untaken = self.untaken.take().filter(|(untaken, _)| untaken.strong_count() > 0);
        if let Some((_, since)) = &self.untaken
            && now >= *since + self.pace.patience
            && let Some(conn) = &self.conn
        {
            if let Some(open) = &self.open {
                open.feed.closing().because(Why::Stalled, None);
            }
            conn.abort();
        }
    }

    /// Whether there is nothing to write and nothing due: every delivery is followed by this question, so it is answered
    /// without more ado.
    fn is_quiet(&mut self, waker: &Waker) -> bool {
        self.rest.is_empty()
            && self
                .open
                .as_mut()
                .is_some_and(|open| open.feed.rests(waker) && !open.feed.reader().was_woken_by(WakeSource::Timer))
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if !self.rest.is_empty() {
            if let Some(open) = &self.open {
                open.feed.reader().touch();
            }
            return Poll::Ready(Some(self.rest.split_to(FRAME.min(self.rest.len()))));
        }
        loop {
            let Some(open) = &mut self.open else { return Poll::Ready(None) };
            // A feed that is never quiet would not get as far as the timer.
            if open.feed.reader().was_woken_by(WakeSource::Timer)
                && self.pace.until.is_some_and(|until| self.quiet_since >= until)
            {
                return Poll::Ready(Some(self.say_goodbye(Why::MaxAge)));
            }
            // A panic of the filter ends this connection alone; on HTTP/2 it would take its neighbours with it.
            let fed = catch_unwind(AssertUnwindSafe(|| open.feed.next::<Sse>(&*open.subscriber, cx.waker())));
            match fed {
                Ok(Fed::Bytes(mut bytes)) => {
                    self.quiet_since = open.feed.reader().last_active();
                    if bytes.len() > FRAME {
                        self.rest = bytes.split_off(FRAME);
                    }
                    return Poll::Ready(Some(bytes));
                }
                Ok(Fed::Ended(end)) => return Poll::Ready(Some(self.say_goodbye(Why::Ended(end)))),
                Ok(Fed::Wait) => {}
                Err(_) => {
                    open.feed.visit().panics();
                    return Poll::Ready(Some(self.say_goodbye(Why::Panicked)));
                }
            }
            if !open.feed.reader().take_wake(WakeSource::Timer) {
                return Poll::Pending;
            }
            if let Some(bytes) = self.is_due() {
                return Poll::Ready(Some(bytes));
            }
        }
    }

    /// What a stream does that may take its socket over; nothing when it is to go on as it is.
    #[cold]
    fn poll_handover(&mut self, waker: &Waker) -> Option<Poll<Option<Bytes>>> {
        let mut step = self.handover.as_mut()?.poll(waker);
        // What ends the stream or is due meanwhile cannot wait for a client that takes nothing.
        if matches!(step, Step::Wait) && self.is_disturbed(waker) {
            step = self.handover.as_mut()?.stop_waiting();
        }
        match step {
            Step::First(bytes) => Some(Poll::Ready(Some(bytes))),
            Step::Wait => Some(Poll::Pending),
            Step::Detached(socket) => {
                self.handover = None;
                self.goes_on_by_itself(socket);
                Some(Poll::Ready(None))
            }
            Step::Attached => {
                self.handover = None;
                None
            }
        }
    }

    /// Whether the reader has ended or the timer has fired. Leaves the waker for either.
    fn is_disturbed(&self, waker: &Waker) -> bool {
        self.open.as_ref().is_some_and(|open| {
            let reader = open.feed.reader();
            reader.wait_for_end(waker).is_some() || reader.was_woken_by(WakeSource::Timer)
        })
    }

    /// The server is left behind, and told that the body has ended.
    fn goes_on_by_itself(&mut self, socket: Box<dyn Socket>) {
        let Some(Open { subscriber, feed, seats }) = self.open.take() else { return };
        let (reader, closing, places) = (feed.reader().handle(), feed.closing().clone(), seats.places());
        let link = Box::new(Link::new(socket, (), feed.reader().waker_for(WakeSource::Socket)).was_written_to());
        let direct = Box::new(Direct::new(subscriber, feed, self.pace, seats, self.quiet_since));
        let task = tokio::spawn(direct.run(link)).abort_handle();
        places.reached_by(OverTask { reader, closing, task });
    }

    #[inline(never)]
    fn poll_next_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, salvo::BoxedError>>> {
        let before = if self.handover.is_some() { self.poll_handover(cx.waker()) } else { None };
        let bytes = before.unwrap_or_else(|| self.poll_bytes(cx));
        bytes.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    /// What is to be written now that the timer has called; nothing when messages went out meanwhile.
    #[cold]
    fn is_due(&mut self) -> Option<Bytes> {
        if !self.timer.as_mut()?.is_due() {
            return None;
        }
        let now = Instant::now();
        if self.pace.until.is_some_and(|until| now >= until) {
            return Some(self.say_goodbye(Why::MaxAge));
        }
        let silent = self.pace.keep_alive.is_some_and(|after| now >= self.quiet_since + after);
        if silent {
            self.quiet_since = now;
        }
        let deadline = self.deadline();
        if let Some((timer, deadline)) = self.timer.as_mut().zip(deadline) {
            timer.reset(deadline);
        }
        if !silent {
            return None;
        }
        self.abort_if_stalled(now);
        let untaken = Arc::new(());
        self.untaken.get_or_insert_with(|| (Arc::downgrade(&untaken), now));
        let bytes = frames::keep_alive(&mut self.open.as_mut()?.feed).freeze();
        Some(Bytes::from_owner(Untaken { bytes, _untaken: untaken }))
    }
}

impl<S: Subscriber> Body for Stream<S> {
    type Data = Bytes;
    type Error = salvo::BoxedError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        // Nothing in it is pinned in place: the timer has its own box.
        let stream = self.get_mut();
        if stream.is_quiet(cx.waker()) { Poll::Pending } else { stream.poll_next_frame(cx) }
    }
}

impl<S: Subscriber> Unpin for Stream<S> {}
