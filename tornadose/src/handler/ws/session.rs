//! A connection over WebSocket (RFC 6455): a task that writes what its feed gives and takes what the client sends.
//!
//! # Ordering
//!
//! Replies to the client stand between messages, never inside one. Texts of the client are taken one at a time.
//!
//! # Lagging
//!
//! While the socket takes nothing, nothing is read off the log. A socket that takes nothing for too long is aborted.
//!
//! # Closing
//!
//! Whoever ends says so in a close frame; the other's answer is waited for, for a while. A client that leaves ends the task,
//! and with it the subscriber.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, timeout};

use crate::handler::connection::catch_drop::Guest;
use crate::handler::connection::io::{Gone, Link};
use crate::handler::connection::pump::{self, Stopped, Times};
use crate::handler::connection::registry::{LAST_WORDS, Seats};
use crate::handler::connection::span::Why;
use crate::handler::connection::timers::Timer;
use crate::handler::connection::wake_source::WakeSource;
use crate::handler::feed::Feed;
use crate::handler::feed::format::Ws;
use crate::message::Message;
use crate::store::Store;
use crate::store::registry::EndReason;
use crate::subscriber::Subscriber;
use crate::subscriber::close::{Close, CloseCode, ReceiveError};
use crate::wire::ws;
use crate::wire::ws::decoder::{Decoder, Inbound, Violation};

/// What a WebSocket needs to know of its handler.
pub(crate) struct Pace {
    pub(crate) keep_alive: Option<Duration>,
    pub(crate) patience: Duration,
    pub(crate) until: Option<Instant>,
}

#[repr(C)]
pub(crate) struct Session<S: Subscriber> {
    // An aborted session drops them in this order: its disconnect hook first, its seats last.
    subscriber: Guest<S>,
    store: Store<S::Message>,
    clock: Clock,
    feed: Feed<S::Message>,
    seats: Seats,
}

/// When what is due.
#[repr(C)]
struct Clock {
    pace: Pace,
    /// When the client was last pinged.
    pinged: Option<Instant>,
    /// When the socket took that ping, which stands behind all that was being written.
    asked: Option<Instant>,
    timer: Option<Timer>,
    /// Whether a ping is on its way to the socket.
    unasked: bool,
}

/// Why a session is over.
enum Over {
    /// The client is gone, or as good as.
    Gone(Why),
    /// The client has said goodbye, with this code.
    Left(Option<u16>),
    /// The client broke the protocol, so that nothing more can be read of it.
    Broken(Violation),
    /// We say goodbye.
    Close(Why, Close),
}

impl Over {
    /// What is logged of it; a reason that a hook or a client wrote is not.
    fn why(&self) -> (Why, Option<u16>) {
        match self {
            Self::Gone(why) => (*why, None),
            Self::Left(code) => (Why::Left, *code),
            Self::Broken(violation) => (Why::Violation, Some(violation.code)),
            Self::Close(why, close) => (*why, Some(close.code.as_u16())),
        }
    }
}

/// What a session does next.
enum Turn {
    Text(String),
    Over(Over),
}

fn close(why: Why, code: CloseCode, reason: &'static str) -> Over {
    Over::Close(why, Close::new(code, reason))
}

fn ended(end: EndReason) -> Over {
    let (code, reason) = match end {
        EndReason::Closed | EndReason::Stopping => (CloseCode::GOING_AWAY, ""),
        EndReason::Disconnected => (CloseCode::POLICY_VIOLATION, "disconnected"),
        EndReason::Lagged => (CloseCode::TRY_AGAIN_LATER, "lagged"),
    };
    close(Why::Ended(end), code, reason)
}

impl<S: Subscriber> Session<S> {
    pub(crate) fn new(
        subscriber: Guest<S>,
        store: Store<S::Message>,
        feed: Feed<S::Message>,
        pace: Pace,
        seats: Seats,
    ) -> Self {
        let clock = Clock { pace, pinged: None, asked: None, timer: None, unasked: false };
        Self { subscriber, store, clock, feed, seats }
    }

    /// Serves until one side ends it, then says goodbye.
    ///
    /// A task has room all its life for all that it may once hold, and once more for what is moved on the way. So the session
    /// and its link have boxes of their own, and so has what is rare: a hook that runs, a goodbye.
    pub(crate) async fn run(mut self: Box<Self>, mut link: Box<Link<Decoder>>) {
        let over = loop {
            match poll_fn(|cx| self.poll_turn(&mut link, cx)).await {
                Turn::Over(over) => break over,
                Turn::Text(text) => {
                    if let Err(over) = Box::pin(self.take(text, &mut link)).await {
                        break over;
                    }
                }
            }
        };
        Box::pin(self.ends(link, over)).await;
    }

    async fn ends(self: Box<Self>, mut link: Box<Link<Decoder>>, over: Over) {
        let Self { subscriber, feed, seats: _seats, .. } = *self;
        // Its `Drop` is the disconnect hook, which need not wait for the goodbye. A reader that we end does, for `closed()`
        // waits for it.
        drop(subscriber);
        let (why, code) = over.why();
        feed.closing().because(why, code);
        let feed = matches!(over, Over::Close(..)).then_some(feed);
        // Nobody leaves a waker with the reader any more, through which the socket would call.
        link.wakes_who_asks();
        say_goodbye(link, over).await;
        drop(feed);
    }

    fn poll_turn(&mut self, link: &mut Link<Decoder>, cx: &mut Context<'_>) -> Poll<Turn> {
        loop {
            let Self { subscriber, feed, clock, .. } = self;
            match pump::poll::<Ws, S, _>(subscriber, feed, clock, link, cx) {
                Poll::Ready(Stopped::Gone) => return Poll::Ready(Turn::Over(Over::Gone(Why::Left))),
                Poll::Ready(Stopped::Ended(end)) => return Poll::Ready(Turn::Over(ended(end))),
                Poll::Ready(Stopped::Panicked) => return Poll::Ready(Turn::Over(panicked())),
                Poll::Pending => {}
            }
            if self.feed.reader().take_wake(WakeSource::Socket) {
                link.asks_again();
            }
            match link.poll_inbound(cx) {
                Poll::Ready(Err(Gone::Left)) => return Poll::Ready(Turn::Over(Over::Gone(Why::Left))),
                Poll::Ready(Ok(Err(violation))) => {
                    return Poll::Ready(Turn::Over(Over::Broken(violation)));
                }
                Poll::Ready(Ok(Ok(inbound))) => match inbound {
                    Inbound::Text(text) => return Poll::Ready(Turn::Text(text)),
                    Inbound::Ping(payload) => ws::pong(link.replies(), &payload),
                    Inbound::Pong => {}
                    Inbound::Close(code) => return Poll::Ready(Turn::Over(Over::Left(code))),
                },
                Poll::Pending => {
                    if let Some(over) = ready!(self.clock.poll(&mut self.feed, link)) {
                        return Poll::Ready(Turn::Over(over));
                    }
                }
            }
        }
    }

    /// Lets the subscriber take a text. Meanwhile what was written goes out, the line is watched, and the end is seen.
    async fn take(&mut self, text: String, link: &mut Link<Decoder>) -> Result<(), Over> {
        let Self { subscriber, store, feed, clock, .. } = self;
        // Called inside the future, so that a panic of the call itself is caught too.
        let mut hook = pin!(AssertUnwindSafe(async { subscriber.receive(&text, store).await }).catch_unwind());
        let outcome = poll_fn(|cx| {
            loop {
                if let Poll::Ready(outcome) = hook.as_mut().poll(cx) {
                    return Poll::Ready(outcome.map_err(|_| {
                        feed.visit().panics();
                        panicked()
                    }));
                }
                match feed.reader().wait_for_end(cx.waker()) {
                    None => {}
                    // What was appended before still goes out; the hook is not waited for.
                    Some(end) if end.drains() => return Poll::Ready(Ok(Ok(()))),
                    Some(end) => return Poll::Ready(Err(ended(end))),
                }
                match link.poll_written(cx) {
                    Poll::Ready(Ok(())) => clock.all_taken(link),
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Over::Gone(Why::Left))),
                    Poll::Pending => {}
                }
                if link.poll_heard(cx) == Poll::Ready(Gone::Left) {
                    return Poll::Ready(Err(Over::Gone(Why::Left)));
                }
                // Without an end there is a ping to write.
                if let Some(over) = ready!(clock.poll(feed, link)) {
                    return Poll::Ready(Err(over));
                }
            }
        });
        match outcome.await? {
            Ok(()) => Ok(()),
            Err(ReceiveError::Report(reason)) => {
                ws::error(link.replies(), &reason);
                Ok(())
            }
            Err(ReceiveError::Close(close)) => Err(Over::Close(Why::Refused, close)),
        }
    }
}

impl Times for Clock {
    /// A ping too.
    #[inline]
    fn all_taken<D>(&mut self, link: &mut Link<D>) {
        if std::mem::take(&mut self.unasked) {
            self.asked = Some(Instant::now());
            link.stirs();
        }
    }
}

impl Clock {
    /// Pings, and ends what is silent, blocked or too old. Ready with nothing when there is something new to write.
    #[inline]
    fn poll<M: Message>(&mut self, feed: &mut Feed<M>, link: &mut Link<Decoder>) -> Poll<Option<Over>> {
        if !feed.reader().take_wake(WakeSource::Timer) && !link.has_stirred() {
            return Poll::Pending;
        }
        self.looks(feed, link)
    }

    fn looks<M: Message>(&mut self, feed: &mut Feed<M>, link: &mut Link<Decoder>) -> Poll<Option<Over>> {
        let now = Instant::now();
        if let Some(over) = self.due(now, link) {
            return Poll::Ready(Some(over));
        }
        if self.ping_at(link).is_some_and(|at| now >= at) {
            self.pinged = Some(now);
            self.asked = None;
            self.unasked = true;
            feed.position_again::<Ws>(link.replies());
            ws::ping(link.replies());
            link.stirs();
            return Poll::Ready(None);
        }
        if let Some(deadline) = self.deadline(link) {
            Timer::calls_by(&mut self.timer, deadline, || feed.reader().waker_for(WakeSource::Timer));
        }
        Poll::Pending
    }

    /// Why the session is over by now, if it is.
    fn due(&self, now: Instant, link: &Link<Decoder>) -> Option<Over> {
        if self.silent_at(link).is_some_and(|at| now >= at) {
            return Some(Over::Gone(Why::Silent));
        }
        if link.blocked.is_some_and(|since| now >= since + self.pace.patience) {
            return Some(Over::Gone(Why::Stalled));
        }
        self.pace.until.filter(|until| now >= *until).map(|_| close(Why::MaxAge, CloseCode::GOING_AWAY, "max age"))
    }

    /// When a client that was asked whether it is there is given up. One that is still busy with a long message has not been
    /// asked yet: what takes nothing at all is `blocked`.
    fn silent_at(&self, link: &Link<Decoder>) -> Option<Instant> {
        let asked = self.asked.filter(|_| self.waits_for_pong(link.heard) && !link.is_full())?;
        self.pace.keep_alive.map(|after| (link.heard + self.pace.patience).max(asked + after))
    }

    /// Whether the client was pinged since it was last heard.
    fn waits_for_pong(&self, heard: Instant) -> bool {
        self.pinged.is_some_and(|pinged| pinged > heard)
    }

    /// When the client is pinged next. One whose answers are not read is pinged on: that it has left shows in the writing.
    fn ping_at(&self, link: &Link<Decoder>) -> Option<Instant> {
        let since = match self.pinged.filter(|pinged| *pinged > link.heard) {
            None => link.heard,
            Some(pinged) if link.is_full() => pinged,
            Some(_) => return None,
        };
        self.pace.keep_alive.map(|after| since + after)
    }

    fn deadline(&self, link: &Link<Decoder>) -> Option<Instant> {
        let blocked = link.blocked.map(|since| since + self.pace.patience);
        [self.ping_at(link), self.silent_at(link), blocked, self.pace.until].into_iter().flatten().min()
    }
}

fn panicked() -> Over {
    close(Why::Panicked, CloseCode::INTERNAL_ERROR, "internal error")
}

/// Writes the close frame behind what is being written, and hangs up once the client has answered; what does not is hung up
/// on after a while.
async fn say_goodbye(mut link: Box<Link<Decoder>>, over: Over) {
    match &over {
        Over::Gone(_) => return,
        Over::Left(code) => ws::close(link.replies(), *code, ""),
        Over::Broken(Violation { code, reason }) => ws::close(link.replies(), Some(*code), reason),
        Over::Close(_, Close { code, reason }) => ws::close(link.replies(), Some(code.as_u16()), reason),
    }
    let goodbye = async {
        if poll_fn(|cx| link.poll_written(cx)).await.is_err() {
            return;
        }
        if matches!(over, Over::Close(..)) {
            poll_fn(|cx| link.poll_close(cx)).await;
        }
        if poll_fn(|cx| link.poll_shutdown(cx)).await.is_ok() && matches!(over, Over::Broken(_)) {
            // What it sent behind the violation is read away: unread bytes would reset the line, and the close with it.
            let mut all = usize::MAX;
            poll_fn(|cx| link.poll_left(&mut all, cx)).await;
        }
    };
    if timeout(LAST_WORDS, goodbye).await.is_err() {
        tracing::debug!(target: "tornadose", transport = "ws", "aborted: the client did not answer the end");
    }
}
