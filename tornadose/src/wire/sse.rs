//! Server-Sent Events (WHATWG HTML §9.2): fields to bytes. Reading them is a client's affair.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use crate::event::Event;
use crate::store::id::{Id, IdText};

/// One event in one piece, in the order `id`, `event`, `data`, and the blank line that dispatches it.
pub(crate) fn event(id: Option<&IdText<'_>>, event: &Event) -> Bytes {
    let data = event.data();
    let mut bytes = BytesMut::with_capacity(data.len() + event.name().map_or(0, str::len) + 64);
    if let Some(id) = id {
        field(&mut bytes, "id", id.as_str());
    }
    if let Some(name) = event.name() {
        field(&mut bytes, "event", name);
    }
    for line in lines(data) {
        field(&mut bytes, "data", line);
    }
    bytes.put_u8(b'\n');
    bytes.freeze()
}

/// The same event without its id.
pub(crate) fn without_id(event: &Bytes) -> Bytes {
    if !event.starts_with(b"id: ") {
        return event.clone();
    }
    let end = event.iter().position(|&byte| byte == b'\n').map_or(event.len(), |end| end + 1);
    event.slice(end..)
}

/// An id-only frame: it moves the client's position and dispatches nothing (§9.2.6: an empty data buffer).
pub(crate) fn position(bytes: &mut BytesMut, id: Id) {
    field(bytes, "id", IdText::from(id).as_str());
    bytes.put_u8(b'\n');
}

/// An event of our own, whose name no message can have. It moves no position.
pub(crate) fn notice(bytes: &mut BytesMut, name: &str, json: &str) {
    field(bytes, "event", name);
    field(bytes, "data", json);
    bytes.put_u8(b'\n');
}

/// When the client is to come back, in whole milliseconds.
pub(crate) fn retry(bytes: &mut BytesMut, after: Duration) {
    field(bytes, "retry", &after.as_millis().to_string());
    bytes.put_u8(b'\n');
}

/// The first frame of a stream.
pub(crate) fn prologue(bytes: &mut BytesMut, retry: Duration) {
    field(bytes, "retry", &retry.as_millis().to_string());
    comment(bytes, "tornadose");
}

/// Text that no client dispatches; it keeps the line open.
pub(crate) fn comment(bytes: &mut BytesMut, text: &str) {
    for line in lines(text) {
        field(bytes, "", line);
    }
    bytes.put_u8(b'\n');
}

fn field(bytes: &mut BytesMut, name: &str, value: &str) {
    bytes.put_slice(name.as_bytes());
    // Always a space: a client strips one, so a value's own leading space survives.
    bytes.put_slice(b": ");
    bytes.put_slice(value.as_bytes());
    bytes.put_u8(b'\n');
}

/// Splits at CRLF, CR and LF; the text after the last line's end is a line too.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\r', '\n']) else { return rest.take() };
        let width = if text[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = Some(&text[end + width..]);
        Some(&text[..end])
    })
}
