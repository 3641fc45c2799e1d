//! An SSE stream as a response body, which its server polls and writes. If the stream detaches, it goes on as an
//! [`SseTask`](crate::handler::sse::task::SseTask).
//!
//! # Ordering
//!
//! Events that are ready together are one frame of the body, so they are written together.
//!
//! # Lagging
//!
//! A body that is not polled reads nothing from the log.
//!
//! # Closing
//!
//! A last `retry:` spreads the reconnections, then the body ends. When the client leaves, the server drops the body,
//! and the subscriber with it.

use std::mem::offset_of;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use salvo::conn::ConnCtrl;
use tokio::time::Instant;

use crate::handler::connection::catch_drop::CatchDrop;
use crate::handler::connection::control::TaskControl;
use crate::handler::connection::io::{Socket, SocketIo};
use crate::handler::connection::record::CloseReason;
use crate::handler::connection::registry::Permits;
use crate::handler::connection::timers::{Timeouts, Timer, earliest};
use crate::handler::connection::wake_source::WakeSource;
use crate::handler::feed::format::Sse;
use crate::handler::feed::{Feed, FeedItem};
use crate::handler::served::Served;
use crate::handler::sse::detach::{Step, StreamHandover};
use crate::handler::sse::frames;
use crate::handler::sse::task::SseTask;
use crate::message::Message;

/// An SSE stream that its server writes.
///
/// The fields that each message touches are first, in few cache lines.
#[repr(C)]
pub(crate) struct SseBody<M: Message> {
    /// The rest of a piece that is too big for one frame.
    remainder: Bytes,
    last_written: Instant,
    /// `None` once the stream has detached, or returned its last frame.
    open: Option<Open<M>>,
    timer: Option<Timer>,
    /// The oldest keep-alive that may not have been written, and when it was returned.
    pending_probe: Option<(Weak<()>, Instant)>,
    timeouts: Timeouts,
    retry_after: Duration,
    /// Aborts the connection of a client that takes no bytes.
    conn_ctrl: Option<ConnCtrl>,
    /// Until it is decided whether the stream detaches.
    handover: Option<StreamHandover>,
}

#[repr(C)]
struct Open<M: Message> {
    // Fields are dropped in this order: the subscriber is dropped first, and the permits are released last.
    subscriber: CatchDrop<dyn Served<M>>,
    feed: Feed<M>,
    permits: Permits,
}

/// The last frame of a stream. It keeps the reader and the permits until the socket has taken it or is closed. Until
/// then the connection is counted, is waited for, and can be aborted.
struct LastFrame<M: Message> {
    bytes: Bytes,
    _feed: Feed<M>,
    _permits: Permits,
}

impl<M: Message> AsRef<[u8]> for LastFrame<M> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A keep-alive frame that shows whether the client takes bytes: the server drops it once it is written.
struct KeepAliveProbe {
    bytes: Bytes,
    _unwritten: Arc<()>,
}

impl AsRef<[u8]> for KeepAliveProbe {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Cap on one frame of the body. Between frames it shows whether the client takes bytes.
const MAX_FRAME: usize = 128 << 10;

impl<M: Message> SseBody<M> {
    pub(crate) fn new(
        subscriber: CatchDrop<dyn Served<M>>,
        feed: Feed<M>,
        timeouts: Timeouts,
        retry_after: Duration,
        conn_ctrl: Option<ConnCtrl>,
        permits: Permits,
    ) -> Self {
        const { assert!(offset_of!(Self, open) <= 64) }
        let waker = feed.reader().waker_for(WakeSource::Timer);
        let mut stream = Self {
            remainder: Bytes::new(),
            last_written: Instant::now(),
            open: Some(Open { subscriber, feed, permits }),
            timer: None,
            pending_probe: None,
            timeouts,
            retry_after,
            conn_ctrl,
            handover: None,
        };
        stream.timer = stream.deadline().map(|deadline| Timer::at(deadline, waker));
        stream
    }

    /// Enables the handover, which has the first frame.
    pub(crate) fn enable_handover(&mut self, handover: StreamHandover) {
        self.handover = Some(handover);
    }

    fn deadline(&self) -> Option<Instant> {
        earliest([self.keep_alive_at(), self.timeouts.expires_at])
    }

    fn keep_alive_at(&self) -> Option<Instant> {
        self.timeouts.keep_alive.map(|after| self.last_written + after)
    }

    #[cold]
    fn end_with_last_frame(&mut self, reason: CloseReason) -> Bytes {
        let bytes = frames::retry_frame(self.retry_after);
        let Some(Open { subscriber, feed, permits }) = self.open.take() else { return bytes };
        feed.close_reason().set(reason, None);
        drop(subscriber);
        Bytes::from_owner(LastFrame { bytes, _feed: feed, _permits: permits })
    }

    /// Aborts the connection when a keep-alive has not been written for too long. An end of the body would not reach
    /// the client either: the server buffers several frames, and would buffer that too.
    fn abort_if_stalled(&mut self, now: Instant) {
        self.pending_probe = self.pending_probe.take().filter(|(unwritten, _)| unwritten.strong_count() > 0);
        if let Some((_, since)) = &self.pending_probe
            && now >= *since + self.timeouts.stall
            && let Some(conn_ctrl) = &self.conn_ctrl
        {
            if let Some(open) = &self.open {
                open.feed.close_reason().set(CloseReason::Stalled, None);
            }
            conn_ctrl.abort();
        }
    }

    /// Parks the reader and returns `true` when nothing is to be written and nothing is due. The server polls again
    /// after every delivery, so this is fast.
    fn park_if_quiet(&mut self, waker: &Waker) -> bool {
        self.remainder.is_empty()
            && self
                .open
                .as_mut()
                .is_some_and(|open| open.feed.try_park(waker) && !open.feed.reader().was_woken_by(WakeSource::Timer))
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if !self.remainder.is_empty() {
            if let Some(open) = &self.open {
                open.feed.reader().mark_active();
            }
            return Poll::Ready(Some(self.remainder.split_to(MAX_FRAME.min(self.remainder.len()))));
        }
        loop {
            let Some(open) = &mut self.open else { return Poll::Ready(None) };
            // A feed that always has messages would not get as far as the timer. The last write is recent then, so the
            // clock is not read.
            if open.feed.reader().was_woken_by(WakeSource::Timer) && self.timeouts.is_expired(self.last_written) {
                return Poll::Ready(Some(self.end_with_last_frame(CloseReason::MaxAge)));
            }
            // A panic of the filter ends this stream only. On HTTP/2 it would end the connection's other streams too.
            let item = catch_unwind(AssertUnwindSafe(|| open.feed.next::<Sse>(&mut *open.subscriber, cx.waker())));
            match item {
                Ok(FeedItem::Bytes(mut bytes)) => {
                    self.last_written = open.feed.reader().last_active();
                    if bytes.len() > MAX_FRAME {
                        self.remainder = bytes.split_off(MAX_FRAME);
                    }
                    return Poll::Ready(Some(bytes));
                }
                Ok(FeedItem::Ended(end)) => {
                    return Poll::Ready(Some(self.end_with_last_frame(CloseReason::Ended(end))));
                }
                Ok(FeedItem::NotLoaded(reason)) => return Poll::Ready(Some(self.end_with_last_frame(reason))),
                Ok(FeedItem::Pending) => {}
                Err(_) => {
                    open.feed.record().log_panic();
                    return Poll::Ready(Some(self.end_with_last_frame(CloseReason::Panicked)));
                }
            }
            if !open.feed.reader().take_wake(WakeSource::Timer) {
                return Poll::Pending;
            }
            if let Some(bytes) = self.take_due_frame() {
                return Poll::Ready(Some(bytes));
            }
        }
    }

    /// Polls the handover. Returns `None` when the stream goes on as a body.
    #[cold]
    fn poll_handover(&mut self, waker: &Waker) -> Option<Poll<Option<Bytes>>> {
        let mut step = self.handover.as_mut()?.poll(waker);
        // An end of the reader and the timer cannot wait for a client that takes no bytes.
        if matches!(step, Step::Wait) {
            let feed = &mut self.open.as_mut()?.feed;
            let (has_ended, is_due) = (feed.poll_ended(waker).is_some(), feed.reader().was_woken_by(WakeSource::Timer));
            if has_ended || is_due {
                step = match self.handover.as_mut()?.stop_waiting() {
                    Ok(socket) => Step::Detached(socket),
                    Err(reason) => {
                        if !has_ended {
                            reason.log_once("sse");
                        }
                        Step::Attached
                    }
                };
            }
        }
        match step {
            Step::First(bytes) => Some(Poll::Ready(Some(bytes))),
            Step::Wait => Some(Poll::Pending),
            Step::Detached(socket) => {
                self.handover = None;
                self.detach(socket);
                Some(Poll::Ready(None))
            }
            Step::Attached => {
                self.handover = None;
                None
            }
        }
    }

    /// Goes on as a task. The server sees the body end.
    fn detach(&mut self, socket: Box<dyn Socket>) {
        let Some(Open { subscriber, mut feed, permits }) = self.open.take() else { return };
        feed.mark_detached();
        let (reader, close_reason, registration) =
            (feed.reader().handle(), feed.close_reason().clone(), permits.registration());
        let io = Box::new(SocketIo::new(socket, (), feed.reader().waker_for(WakeSource::Socket)).with_pending_flush());
        let session =
            Box::new(SseTask::new(subscriber, feed, (self.timeouts, self.retry_after), permits, self.last_written));
        let task = tokio::spawn(session.run(io)).abort_handle();
        registration.set_control(TaskControl { reader, close_reason, task });
    }

    #[inline(never)]
    fn poll_next_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, salvo::BoxedError>>> {
        let handover = if self.handover.is_some() { self.poll_handover(cx.waker()) } else { None };
        let bytes = handover.unwrap_or_else(|| self.poll_bytes(cx));
        bytes.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    /// Returns what is due now that the timer has woken the task. `None` when messages were written meanwhile.
    #[cold]
    fn take_due_frame(&mut self) -> Option<Bytes> {
        if !self.timer.as_mut()?.rearm_unless_due() {
            return None;
        }
        let now = Instant::now();
        if self.timeouts.is_expired(now) {
            if self.open.as_mut()?.feed.end_throttle() {
                // The timer is due at once, and ends the stream after what waited.
                self.timer.as_mut()?.reset(now);
                return None;
            }
            return Some(self.end_with_last_frame(CloseReason::MaxAge));
        }
        let is_silent = self.keep_alive_at().is_some_and(|at| now >= at);
        if is_silent {
            self.last_written = now;
        }
        let deadline = self.deadline();
        if let Some((timer, deadline)) = self.timer.as_mut().zip(deadline) {
            timer.reset(deadline);
        }
        if !is_silent {
            return None;
        }
        self.abort_if_stalled(now);
        let unwritten = Arc::new(());
        self.pending_probe.get_or_insert_with(|| (Arc::downgrade(&unwritten), now));
        let bytes = frames::keep_alive_frame(&mut self.open.as_mut()?.feed).freeze();
        Some(Bytes::from_owner(KeepAliveProbe { bytes, _unwritten: unwritten }))
    }
}

impl<M: Message> Body for SseBody<M> {
    type Data = Bytes;
    type Error = salvo::BoxedError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        // No field is pinned in place. The timer is boxed.
        let stream = self.get_mut();
        if stream.park_if_quiet(cx.waker()) { Poll::Pending } else { stream.poll_next_frame(cx) }
    }
}

impl<M: Message> Unpin for SseBody<M> {}
