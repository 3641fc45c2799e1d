//! What a feed writes on each transport, in the terms of `wire`.

use bytes::{Bytes, BytesMut};

use crate::event::Event;
use crate::store::entry::{Encoding, Entry};
use crate::store::id::{Id, IdText};
use crate::store::reader::Gap;
use crate::wire::{sse, ws};

/// A transport's way to write what a reader is given.
pub(crate) trait Format: Encoding {
    fn without_id<M>(out: &mut BytesMut, entry: &Entry<M>);
    fn position(out: &mut BytesMut, id: Id);
    fn gap(out: &mut BytesMut, gap: Gap);
}

pub(crate) struct Sse;

impl Encoding for Sse {
    const SLOT: usize = 0;

    fn encode(id: Id, event: &Event) -> Bytes {
        sse::event(&IdText::from(id), event)
    }
}

impl Format for Sse {
    fn without_id<M>(out: &mut BytesMut, entry: &Entry<M>) {
        out.extend_from_slice(&sse::without_id(entry.encoded::<Self>()));
    }

    fn position(out: &mut BytesMut, id: Id) {
        sse::position(out, id);
    }

    fn gap(out: &mut BytesMut, gap: Gap) {
        sse::notice(out, "tornadose:gap", &gap_data(gap));
    }
}

pub(crate) struct Ws;

impl Encoding for Ws {
    const SLOT: usize = 1;

    fn encode(id: Id, event: &Event) -> Bytes {
        ws::event(id, event)
    }
}

impl Format for Ws {
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
