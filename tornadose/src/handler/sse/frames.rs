//! The frames of an SSE stream besides its messages.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::handler::feed::Feed;
use crate::handler::feed::format::Sse;
use crate::message::Message;
use crate::wire::sse;

/// Returns a keep-alive comment, in the block of a position frame if the position has moved.
pub(crate) fn keep_alive_frame<M: Message>(feed: &mut Feed<M>) -> BytesMut {
    let mut bytes = BytesMut::new();
    sse::comment(&mut bytes, "keep-alive");
    feed.write_moved_position::<Sse>(&mut bytes);
    bytes
}

/// Returns the first bytes of a stream: the reconnection delay, and a comment that makes proxies pass the response
/// head on.
pub(crate) fn prologue(retry: Duration) -> BytesMut {
    let mut bytes = BytesMut::new();
    sse::prologue(&mut bytes, retry);
    bytes
}

/// Returns a line that sets the reconnection delay. It is also the whole body for a client that is to retry later,
/// because any status but 200 would stop an `EventSource` for good.
pub(crate) fn retry_frame(after: Duration) -> Bytes {
    let mut bytes = BytesMut::new();
    sse::retry(&mut bytes, after);
    bytes.freeze()
}
