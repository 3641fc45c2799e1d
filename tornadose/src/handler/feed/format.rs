//! What a feed writes on each transport, in the terms of `wire`.

use bytes::{Bytes, BytesMut};

use crate::event::Event;
use crate::id::{Id, IdText};
use crate::store::entry::{Encoding, Entry};
use crate::store::gap::Gap;
use crate::wire::{chunk, sse, ws};

/// A transport's way to write what a reader is given.
pub(crate) trait Format: Encoding {
    /// What all readers share of something encoded, as it is written.
    fn shared(encoded: &Bytes) -> Bytes;
    /// Something encoded, among what is written to one reader alone.
    fn append(out: &mut BytesMut, encoded: &Bytes);
    fn without_id<M>(out: &mut BytesMut, entry: &Entry<M>);
    fn position(out: &mut BytesMut, id: Id);
    fn gap(out: &mut BytesMut, gap: Gap);
    /// What is written to one reader alone, as it is written.
    fn own(out: BytesMut) -> Bytes {
        out.freeze()
    }
}

/// Server-Sent Events: for a body that the server writes, or as the chunks of an HTTP/1.1 body, for a socket of our own. They are kept as
/// chunks.
pub(crate) struct Sse<const CHUNKED: bool = false>;

pub(crate) type Chunks = Sse<true>;

impl<const CHUNKED: bool> Encoding for Sse<CHUNKED> {
    const SLOT: usize = 0;

    fn encode(id: Id, event: &Event) -> Bytes {
        let mut bytes = chunk::begin(sse::length(event));
        sse::event(&mut bytes, &IdText::from(id), event);
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
    fn shared(encoded: &Bytes) -> Bytes {
        if CHUNKED { encoded.clone() } else { encoded.slice_ref(chunk::content(encoded)) }
    }

    fn append(out: &mut BytesMut, encoded: &Bytes) {
        out.extend_from_slice(chunk::content(encoded));
    }

    fn without_id<M>(out: &mut BytesMut, entry: &Entry<M>) {
        out.extend_from_slice(sse::without_id(chunk::content(entry.encoded::<Self>())));
    }

    fn position(out: &mut BytesMut, id: Id) {
        sse::position(out, id);
    }

    fn gap(out: &mut BytesMut, gap: Gap) {
        sse::notice(out, "tornadose:gap", &gap_data(gap));
    }

    fn own(out: BytesMut) -> Bytes {
        if CHUNKED { chunk::of(&out) } else { out.freeze() }
    }
}

pub(crate) struct Ws;

impl Encoding for Ws {
    const SLOT: usize = 1;

    fn encode(id: Id, event: &Event) -> Bytes {
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
    fn shared(encoded: &Bytes) -> Bytes {
        encoded.clone()
    }

    fn append(out: &mut BytesMut, encoded: &Bytes) {
        out.extend_from_slice(encoded);
    }

    fn without_id<M>(out: &mut BytesMut, entry: &Entry<M>) {
        ws::without_id(out, entry.encoded::<Self>(), entry.id);
    }

    fn position(out: &mut BytesMut, id: Id) {
        ws::position(out, id);
    }

    fn gap(out: &mut BytesMut, gap: Gap) {
        ws::notice(out, "tornadose:gap", &gap_data(gap));
    }
}

fn gap_data(Gap { reason, missed }: Gap) -> String {
    match missed {
        Some(missed) => format!(r#"{{"reason":"{reason}","missed":{missed}}}"#),
        None => format!(r#"{{"reason":"{reason}","missed":null}}"#),
    }
}
