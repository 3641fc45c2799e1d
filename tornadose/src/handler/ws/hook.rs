//! Runs a hook of a WebSocket session.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::task::{Poll, ready};

use futures_util::FutureExt;

use crate::handler::connection::io::{Disconnected, SocketIo};
use crate::handler::connection::pump::WriteObserver;
use crate::handler::connection::record::CloseReason;
use crate::handler::feed::Feed;
use crate::handler::ws::end::{SessionEnd, ended, panicked};
use crate::handler::ws::timers::WsTimers;
use crate::message::Message;
use crate::store::end::EndState;
use crate::wire::ws::decoder::Decoder;

/// Runs a hook. Meanwhile writes what is queued, reads ahead, and watches for an end. Returns `None` when the session is to
/// end and still has messages to write: the hook is not waited for then.
pub(super) async fn run<M: Message, T>(
    hook: impl Future<Output = T>,
    feed: &mut Feed<M>,
    timers: &mut WsTimers,
    io: &mut SocketIo<Decoder>,
) -> Result<Option<T>, SessionEnd> {
    let mut hook = pin!(AssertUnwindSafe(hook).catch_unwind());
    let outcome = poll_fn(|cx| {
        loop {
            if let Poll::Ready(outcome) = hook.as_mut().poll(cx) {
                return Poll::Ready(outcome.map(Some).map_err(|_| {
                    feed.record().log_panic();
                    panicked()
                }));
            }
            match feed.poll_ended(cx.waker()) {
                None => {}
                // Messages that were appended before are still written. The hook is not waited for.
                Some(EndState::Draining(_)) => return Poll::Ready(Ok(None)),
                Some(EndState::Due(end)) => return Poll::Ready(Err(ended(end))),
            }
            match io.poll_written(cx) {
                Poll::Ready(Ok(())) => timers.on_flushed(io),
                Poll::Ready(Err(_)) => return Poll::Ready(Err(SessionEnd::Dropped(CloseReason::Left))),
                Poll::Pending => {}
            }
            if io.poll_read_ahead(cx) == Poll::Ready(Disconnected) {
                return Poll::Ready(Err(SessionEnd::Dropped(CloseReason::Left)));
            }
            // If there is no end, there is something to write.
            if let Some(end) = ready!(timers.poll(feed, io)) {
                return Poll::Ready(Err(end));
            }
        }
    });
    outcome.await
}
