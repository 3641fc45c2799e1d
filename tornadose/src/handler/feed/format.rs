//! The bytes of a feed on each transport, made by `wire`.

use bytes::{Bytes, BytesMut};

use crate::event::Event;
use crate::id::{Id, IdText};
use crate::store::entry::{Encoding, Entry};
use crate::store::gap::Gap;
use crate::wire::{chunk, sse, ws};

/// A transport's encoding of messages, position frames and gaps.
pub(crate) trait Format: Encoding {
    /// Returns the encoded bytes as they are written. All readers share them.
    fn share(encoded: &Bytes) -> Bytes;
    /// Appends encoded bytes to those that are written to one reader only.
    fn append(out: &mut BytesMut, encoded: &Bytes);
    fn without_id<M>(out: &mut BytesMut, entry: &Entry<M>);
    fn position(out: &mut BytesMut, id: Id);
    fn gap(out: &mut BytesMut, gap: Gap);
    /// Appends a message that is not of the log.
    fn loaded(out: &mut BytesMut, event: &Event);
    /// Appends an event of the library's own, with this data.
    fn notice(out: &mut BytesMut, id: Option<Id>, name: &str, json: &str);
    /// Appends a message of the past of a key, with the key and its position in it. Only a client of a WebSocket can watch a
    /// key.
    fn past<M>(out: &mut BytesMut, entry: &Entry<M>, _key: &str) {
        Self::without_id(out, entry);
    }
    /// As [`past`](Self::past), for an event of the library's own.
    fn past_notice(out: &mut BytesMut, _at: Id, _key: &str, name: &str, json: &str) {
        Self::notice(out, None, name, json);
    }
    /// Returns the bytes for one reader as they are written.
    fn take_bytes(out: BytesMut) -> Bytes {
        out.freeze()
    }
}

/// Server-Sent Events for [`SseBody`](crate::handler::sse::body::SseBody), whose server writes the chunks of HTTP/1.1
/// itself. Without `CHUNKED`, which is the default, an encoding is returned without its chunk.
///
/// The store keeps one encoding for both forms, with its chunk, so that it is encoded once.
pub(crate) struct Sse<const CHUNKED: bool = false>;

/// Server-Sent Events for [`SseTask`](crate::handler::sse::task::SseTask), which writes to its own socket: an
/// encoding is returned with its chunk.
pub(crate) type ChunkedSse = Sse<true>;

impl<const CHUNKED: bool> Encoding for Sse<CHUNKED> {
    const SLOT: usize = 0;

    fn encode(id: Option<Id>, event: &Event) -> Bytes {
        let mut bytes = chunk::begin(sse::length(event));
        sse::event(&mut bytes, id.map(IdText::from).as_ref(), event);
        chunk::end(bytes)
    }

    fn join<'a>(pieces: impl Iterator<Item = &'a Bytes> + Clone) -> Bytes {
        let mut bytes = chunk::begin(pieces.clone().map(Bytes::len).sum());
        pieces.for_each(|piece| bytes.extend_from_slice(chunk::content(piece)));
        chunk::end(bytes)
    }
}

impl<const CHUNKED: bool> Format for Sse<CHUNKED> {
    #[inline]
    fn share(encoded: &Bytes) -> Bytes {
        if CHUNKED { encoded.clone() } else { encoded.slice_ref(chunk::content(encoded)) }
    }

    fn append(out: &mut BytesMut, encoded: &Bytes) {
        out.extend_from_slice(chunk::content(encoded));
    }

    fn without_id<M>(out: &mut BytesMut, entry: &Entry<M>) {
        let encoded = chunk::content(entry.encoded::<Self>());
        out.extend_from_slice(if entry.is_ephemeral() { encoded } else { sse::without_id(encoded) });
    }

    fn position(out: &mut BytesMut, id: Id) {
        sse::position(out, id);
    }

    fn gap(out: &mut BytesMut, gap: Gap) {
        sse::notice(out, None, "tornadose:gap", &gap_data(gap));
    }

    fn loaded(out: &mut BytesMut, event: &Event) {
        sse::event(out, None, event);
    }

    fn notice(out: &mut BytesMut, id: Option<Id>, name: &str, json: &str) {
        sse::notice(out, id, name, json);
    }

    fn take_bytes(out: BytesMut) -> Bytes {
        if CHUNKED { chunk::of(&out) } else { out.freeze() }
    }
}

pub(crate) struct Ws;

impl Encoding for Ws {
    const SLOT: usize = 1;

    fn encode(id: Option<Id>, event: &Event) -> Bytes {
        ws::event(id, event)
    }

    fn join<'a>(pieces: impl Iterator<Item = &'a Bytes> + Clone) -> Bytes {
        let mut bytes = BytesMut::with_capacity(pieces.clone().map(Bytes::len).sum());
        pieces.for_each(|piece| bytes.extend_from_slice(piece));
        bytes.freeze()
    }
}

impl Format for Ws {
    #[inline]
    fn share(encoded: &Bytes) -> Bytes {
        encoded.clone()
    }

    fn append(out: &mut BytesMut, encoded: &Bytes) {
        out.extend_from_slice(encoded);
    }

    fn without_id<M>(out: &mut BytesMut, entry: &Entry<M>) {
        let encoded = entry.encoded::<Self>();
        if entry.is_ephemeral() {
            out.extend_from_slice(encoded);
        } else {
            ws::without_id(out, encoded, entry.id);
        }
    }

    fn position(out: &mut BytesMut, id: Id) {
        ws::position(out, id);
    }

    fn gap(out: &mut BytesMut, gap: Gap) {
        ws::notice(out, None, "tornadose:gap", &gap_data(gap));
    }

    fn loaded(out: &mut BytesMut, event: &Event) {
        out.extend_from_slice(&ws::event(None, event));
    }

    fn notice(out: &mut BytesMut, id: Option<Id>, name: &str, json: &str) {
        ws::notice(out, id, name, json);
    }

    fn past<M>(out: &mut BytesMut, entry: &Entry<M>, key: &str) {
        ws::watch::past(out, entry.encoded::<Self>(), entry.id, key);
    }

    fn past_notice(out: &mut BytesMut, at: Id, key: &str, name: &str, json: &str) {
        ws::watch::past_notice(out, at, key, name, json);
    }
}

fn gap_data(Gap { reason, missed }: Gap) -> String {
    match missed {
        Some(missed) => format!(r#"{{"reason":"{reason}","missed":{missed}}}"#),
        None => format!(r#"{{"reason":"{reason}","missed":null}}"#),
    }
}
