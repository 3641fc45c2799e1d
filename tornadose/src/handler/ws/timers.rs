//! When a WebSocket session sends a ping, and when it gives its client up.

use std::task::Poll;

use tokio::time::Instant;

use crate::handler::connection::io::SocketIo;
use crate::handler::connection::pump::WriteObserver;
use crate::handler::connection::record::CloseReason;
use crate::handler::connection::timers::{Timeouts, Timer, earliest};
use crate::handler::connection::wake_source::WakeSource;
use crate::handler::feed::Feed;
use crate::handler::feed::format::Ws;
use crate::handler::ws::end::{SessionEnd, close};
use crate::message::Message;
use crate::subscriber::close::CloseCode;
use crate::wire::ws;
use crate::wire::ws::decoder::Decoder;

/// When a ping or an end is due.
#[repr(C)]
pub(super) struct WsTimers {
    timeouts: Timeouts,
    /// When the last ping was queued.
    ping_queued_at: Option<Instant>,
    /// When the socket took that ping, which is written after everything that was queued before.
    ping_sent_at: Option<Instant>,
    timer: Option<Timer>,
    /// Whether a ping is queued that the socket has not taken.
    ping_unsent: bool,
}

impl WriteObserver for WsTimers {
    /// Records when a ping was taken.
    #[inline]
    fn on_flushed<D>(&mut self, io: &mut SocketIo<D>) {
        if std::mem::take(&mut self.ping_unsent) {
            self.ping_sent_at = Some(Instant::now());
            io.mark_timers_dirty();
        }
    }
}

impl WsTimers {
    pub(super) fn new(timeouts: Timeouts) -> Self {
        Self { timeouts, ping_queued_at: None, ping_sent_at: None, timer: None, ping_unsent: false }
    }

    /// Returns how the session ends, if that is due. Ready with `None` when there is something to write before.
    #[inline]
    pub(super) fn poll<M: Message>(
        &mut self,
        feed: &mut Feed<M>,
        io: &mut SocketIo<Decoder>,
    ) -> Poll<Option<SessionEnd>> {
        if !feed.reader().take_wake(WakeSource::Timer) && !io.take_timers_dirty() {
            return Poll::Pending;
        }
        self.check_timers(feed, io)
    }

    fn check_timers<M: Message>(&mut self, feed: &mut Feed<M>, io: &mut SocketIo<Decoder>) -> Poll<Option<SessionEnd>> {
        let now = Instant::now();
        if let Some(end) = self.due_end(now, io) {
            if matches!(end, SessionEnd::Close(..)) && feed.end_throttle() {
                // The messages that waited are written first.
                io.mark_timers_dirty();
                return Poll::Ready(None);
            }
            return Poll::Ready(Some(end));
        }
        if self.ping_at(io).is_some_and(|at| now >= at) {
            self.ping_queued_at = Some(now);
            self.ping_sent_at = None;
            self.ping_unsent = true;
            feed.repeat_position::<Ws>(io.control_bytes());
            ws::ping(io.control_bytes());
            io.mark_timers_dirty();
            return Poll::Ready(None);
        }
        if let Some(deadline) = self.deadline(io) {
            Timer::arm_by(&mut self.timer, deadline, || feed.reader().waker_for(WakeSource::Timer));
        }
        Poll::Pending
    }

    /// Returns how the session ends if that is due.
    fn due_end(&self, now: Instant, io: &SocketIo<Decoder>) -> Option<SessionEnd> {
        if self.silent_at(io).is_some_and(|at| now >= at) {
            return Some(SessionEnd::Dropped(CloseReason::Silent));
        }
        if self.timeouts.stalled_at(io.write_blocked_since).is_some_and(|at| now >= at) {
            return Some(SessionEnd::Dropped(CloseReason::Stalled));
        }
        self.timeouts.is_expired(now).then(|| close(CloseReason::MaxAge, CloseCode::GOING_AWAY, "max age"))
    }

    /// Returns when a client is given up that does not answer a ping. The time counts from when the ping was sent: a
    /// client that is still reading a long message before it cannot answer. A client that takes no bytes at all is
    /// stalled instead.
    fn silent_at(&self, io: &SocketIo<Decoder>) -> Option<Instant> {
        let ping_sent_at = self.ping_sent_at.filter(|_| self.awaits_pong(io.last_received) && !io.is_input_full())?;
        self.timeouts.keep_alive.map(|after| (io.last_received + self.timeouts.stall).max(ping_sent_at + after))
    }

    /// Returns whether a ping was queued since the client last sent anything.
    fn awaits_pong(&self, last_received: Instant) -> bool {
        self.ping_queued_at.is_some_and(|queued_at| queued_at > last_received)
    }

    /// Returns when the next ping is due. A client whose input is not read is pinged again and again, because only a
    /// write then shows that it has left.
    fn ping_at(&self, io: &SocketIo<Decoder>) -> Option<Instant> {
        let since = match self.ping_queued_at.filter(|queued_at| *queued_at > io.last_received) {
            None => io.last_received,
            Some(queued_at) if io.is_input_full() => queued_at,
            Some(_) => return None,
        };
        self.timeouts.keep_alive.map(|after| since + after)
    }

    fn deadline(&self, io: &SocketIo<Decoder>) -> Option<Instant> {
        let stalled_at = self.timeouts.stalled_at(io.write_blocked_since);
        earliest([self.ping_at(io), self.silent_at(io), stalled_at, self.timeouts.expires_at])
    }
}
