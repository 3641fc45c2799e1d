//! What a connection over Server-Sent Events says besides its messages, and when. Who writes it is `stream`'s and `direct`'s affair.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use crate::handler::feed::Feed;
use crate::handler::feed::format::Sse;
use crate::message::Message;
use crate::wire::sse;

/// What an SSE connection needs to know of its handler.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) keep_alive: Option<Duration>,
    pub(crate) until: Option<Instant>,
    pub(crate) return_after: Duration,
    /// When a client that takes nothing is given up.
    pub(crate) patience: Duration,
}

/// What a keep-alive writes, and the position that moved meanwhile.
pub(crate) fn keep_alive<M: Message>(feed: &mut Feed<M>) -> BytesMut {
    let mut bytes = BytesMut::new();
    sse::comment(&mut bytes, "keep-alive");
    feed.bookmark::<Sse>(&mut bytes);
    bytes
}

/// What stands before all else: when to come back, and a comment that makes proxies pass the head on.
pub(crate) fn prologue(retry: Duration) -> BytesMut {
    let mut bytes = BytesMut::new();
    sse::prologue(&mut bytes, retry);
    bytes
}

/// The whole body for a client that is to come back later: any status but 200 would stop an `EventSource` for good.
pub(crate) fn come_back(after: Duration) -> Bytes {
    let mut bytes = BytesMut::new();
    sse::retry(&mut bytes, after);
    bytes.freeze()
}
