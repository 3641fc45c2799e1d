//! A detached SSE stream: a task that owns the socket and writes chunks (RFC 9112 §7.1) after the response head. See
//! [`detach`](crate::handler::sse::detach) for how it got the socket.
//!
//! # Ordering
//!
//! Events that are ready together are one chunk, or chunks that are written together. An event is never split over
//! two chunks.
//!
//! # Lagging
//!
//! While the socket takes no bytes, nothing is read from the log. A socket that takes none for too long is aborted.
//!
//! # Closing
//!
//! A last `retry:` spreads the reconnections, then the body and the connection end. When the client leaves, the task
//! ends, and the subscriber is dropped.

use std::future::poll_fn;
use std::mem::offset_of;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::handler::connection::catch_drop::CatchDrop;
use crate::handler::connection::io::SocketIo;
use crate::handler::connection::pump::{self, PumpEnd, WriteObserver};
use crate::handler::connection::record::CloseReason;
use crate::handler::connection::registry::{CLOSE_TIMEOUT, Permits};
use crate::handler::connection::timers::{Timeouts, Timer, earliest};
use crate::handler::connection::wake_source::WakeSource;
use crate::handler::feed::Feed;
use crate::handler::feed::format::ChunkedSse;
use crate::handler::served::Served;
use crate::handler::sse::frames;
use crate::message::Message;
use crate::wire::chunk;

/// Input of the client has no meaning, so it has no decoder.
type SseSocket = SocketIo<()>;

/// How many bytes are read from a client, whose input has no meaning.
const MAX_DISCARDED_BYTES: usize = 16 << 10;

/// A detached SSE stream.
#[repr(C)]
pub(crate) struct SseTask<M: Message> {
    // An aborted task drops its fields in this order: the subscriber is dropped first, and the permits are released
    // last.
    subscriber: CatchDrop<dyn Served<M>>,
    timers: SseTimers,
    feed: Feed<M>,
    /// How many more bytes are read from the client.
    discard_limit: usize,
    retry_after: Duration,
    permits: Permits,
}

/// When a keep-alive or an end is due.
///
/// The field that each message touches is first.
#[repr(C)]
struct SseTimers {
    last_written: Instant,
    timer: Option<Timer>,
    timeouts: Timeouts,
}

/// How a task ends.
enum TaskEnd {
    /// Without a last frame: the client has left, or takes no bytes.
    Dropped(CloseReason),
    /// With a last frame.
    LastFrame(CloseReason),
}

impl<M: Message> SseTask<M> {
    pub(crate) fn new(
        subscriber: CatchDrop<dyn Served<M>>,
        feed: Feed<M>,
        (timeouts, retry_after): (Timeouts, Duration),
        permits: Permits,
        last_written: Instant,
    ) -> Self {
        const { assert!(offset_of!(SseTimers, last_written) == 0) }
        Self {
            subscriber,
            timers: SseTimers { last_written, timer: None, timeouts },
            feed,
            discard_limit: MAX_DISCARDED_BYTES,
            retry_after,
            permits,
        }
    }

    /// Serves until one side ends it, then shuts down. The size of a task is that of its largest state, so this is
    /// boxed, as in [`WsSession::run`](crate::handler::ws::session::WsSession::run).
    pub(crate) async fn run(mut self: Box<Self>, mut io: Box<SseSocket>) {
        let end = poll_fn(|cx| self.poll_end(&mut io, cx)).await;
        Box::pin(self.shut_down(io, end)).await;
    }

    fn poll_end(&mut self, io: &mut SseSocket, cx: &mut Context<'_>) -> Poll<TaskEnd> {
        loop {
            let Self { subscriber, timers, feed, discard_limit, .. } = self;
            match pump::poll::<ChunkedSse, M, _>(&mut **subscriber, feed, timers, io, cx) {
                Poll::Ready(PumpEnd::Disconnected) => return Poll::Ready(TaskEnd::Dropped(CloseReason::Left)),
                Poll::Ready(PumpEnd::Ended(end)) => return Poll::Ready(TaskEnd::LastFrame(CloseReason::Ended(end))),
                Poll::Ready(PumpEnd::NotLoaded(reason)) => return Poll::Ready(TaskEnd::LastFrame(reason)),
                Poll::Ready(PumpEnd::Panicked) => return Poll::Ready(TaskEnd::LastFrame(CloseReason::Panicked)),
                Poll::Pending => {}
            }
            if feed.reader().take_wake(WakeSource::Socket) {
                io.allow_read();
            }
            if io.poll_drain(discard_limit, cx).is_ready() {
                return Poll::Ready(TaskEnd::Dropped(CloseReason::Left));
            }
            if !feed.reader().take_wake(WakeSource::Timer) && !io.take_timers_dirty() {
                return Poll::Pending;
            }
            if let Some(end) = timers.due_end(io) {
                if matches!(end, TaskEnd::LastFrame(_)) && feed.end_throttle() {
                    // The messages that waited are written first.
                    io.mark_timers_dirty();
                    continue;
                }
                return Poll::Ready(end);
            }
            if !timers.write_keep_alive_if_due(feed, io) {
                timers.arm_timer(feed, io);
                return Poll::Pending;
            }
        }
    }

    async fn shut_down(self: Box<Self>, mut io: Box<SseSocket>, end: TaskEnd) {
        let Self { subscriber, retry_after, feed, permits, .. } = *self;
        // The subscriber's `closed` hook does not wait for the last frame. The reader and the permits do: until then the
        // connection is counted, is waited for, and can be aborted.
        drop(subscriber);
        let (TaskEnd::Dropped(reason) | TaskEnd::LastFrame(reason)) = end;
        feed.close_reason().set(reason, None);
        // The reader has no waker registered any more, through which the socket could wake this task.
        io.use_task_waker();
        if let TaskEnd::LastFrame(_) = end {
            io.control_bytes().extend_from_slice(&chunk::of(&frames::retry_frame(retry_after)));
            io.control_bytes().extend_from_slice(chunk::END);
            let written = async {
                poll_fn(|cx| io.poll_written(cx)).await?;
                poll_fn(|cx| io.poll_shutdown(cx)).await
            };
            if timeout(CLOSE_TIMEOUT, written).await.is_err() {
                tracing::debug!(target: "tornadose", transport = "sse", "close timed out");
            }
        }
        drop((feed, permits));
    }
}

impl WriteObserver for SseTimers {
    #[inline]
    fn on_write(&mut self, at: Instant) {
        self.last_written = at;
    }
}

impl SseTimers {
    /// Returns how the task ends if that is due.
    fn due_end(&self, io: &SseSocket) -> Option<TaskEnd> {
        let now = Instant::now();
        if self.timeouts.stalled_at(io.write_blocked_since).is_some_and(|at| now >= at) {
            return Some(TaskEnd::Dropped(CloseReason::Stalled));
        }
        self.timeouts.is_expired(now).then_some(TaskEnd::LastFrame(CloseReason::MaxAge))
    }

    /// Queues a keep-alive, and the position if it has moved, if that is due. Returns whether it was. A
    /// blocked connection needs no keep-alive.
    fn write_keep_alive_if_due<M: Message>(&mut self, feed: &mut Feed<M>, io: &mut SseSocket) -> bool {
        let now = Instant::now();
        let is_silent = self.keep_alive_at(io).is_some_and(|at| now >= at);
        if is_silent {
            self.last_written = now;
            let keep_alive = frames::keep_alive_frame(feed);
            io.control_bytes().extend_from_slice(&chunk::of(&keep_alive));
            io.mark_timers_dirty();
        }
        is_silent
    }

    fn keep_alive_at(&self, io: &SseSocket) -> Option<Instant> {
        self.timeouts.keep_alive.filter(|_| io.write_blocked_since.is_none()).map(|after| self.last_written + after)
    }

    /// Arms the timer for what is due next.
    fn arm_timer<M: Message>(&mut self, feed: &Feed<M>, io: &SseSocket) {
        let stalled_at = self.timeouts.stalled_at(io.write_blocked_since);
        if let Some(deadline) = earliest([self.keep_alive_at(io), stalled_at, self.timeouts.expires_at]) {
            Timer::arm_by(&mut self.timer, deadline, || feed.reader().waker_for(WakeSource::Timer));
        }
    }
}
