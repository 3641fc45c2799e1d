//! WebSocket frames as a server writes them. [`decoder`] reads what a client sends, and [`control`] its control texts.

pub(crate) mod decoder;
pub(crate) mod control;
pub(crate) mod watch;

use std::io::Write;

use bytes::{BufMut, Bytes, BytesMut};

use crate::event::Event;
use crate::id::Id;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;
const FIN: u8 = 0x80;

/// The longest payload of a control frame.
// RFC 6455 §5.5: at most 125 bytes, not fragmented.
const CONTROL_PAYLOAD: usize = 125;

/// Encodes an event as one text frame, `{"id":"…","event":"…","data":…}`; `id` is left out when it has none, and `event` when
/// it has no name.
pub(crate) fn event(id: Option<Id>, event: &Event) -> Bytes {
    let data = event.data();
    let mut text = Vec::with_capacity(data.len() + event.name().map_or(0, str::len) + 64);
    text.push(b'{');
    if let Some(id) = id {
        write!(text, "\"id\":\"{id}\",").expect("a vector takes all");
    }
    put_content(&mut text, event);
    let mut bytes = BytesMut::with_capacity(text.len() + 10);
    frame(&mut bytes, TEXT, &text);
    bytes.freeze()
}

/// Writes the same event without its id, from its frame.
pub(crate) fn without_id(bytes: &mut BytesMut, event: &[u8], id: Id) {
    let mut text = Vec::with_capacity(event.len());
    text.push(b'{');
    text.extend_from_slice(after_id(event, id));
    frame(bytes, TEXT, &text);
}

/// Returns what follows the id in the text of an event's frame.
fn after_id(event: &[u8], id: Id) -> &[u8] {
    let header = match event[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    &event[header + format!("{{\"id\":\"{id}\",").len()..]
}

fn put_content(text: &mut Vec<u8>, event: &Event) {
    if let Some(name) = event.name() {
        text.extend_from_slice(b"\"event\":");
        put_json(text, name);
        text.push(b',');
    }
    text.extend_from_slice(b"\"data\":");
    if event.is_json() {
        text.extend_from_slice(event.data().as_bytes());
    } else {
        put_json(text, event.data());
    }
    text.push(b'}');
}

fn put_json(text: &mut Vec<u8>, value: &str) {
    serde_json::to_writer(text, value).expect("a string is JSON, and a vector takes it");
}

/// Writes a position frame: `{"id":"…"}`.
pub(crate) fn position(bytes: &mut BytesMut, id: Id) {
    frame(bytes, TEXT, format!("{{\"id\":\"{id}\"}}").as_bytes());
}

/// Writes an event of the library, whose name no message can have.
pub(crate) fn notice(bytes: &mut BytesMut, id: Option<Id>, name: &str, json: &str) {
    let id = id.map_or_else(String::new, |id| format!("\"id\":\"{id}\","));
    frame(bytes, TEXT, format!("{{{id}\"event\":\"{name}\",\"data\":{json}}}").as_bytes());
}

/// Writes the reply to the ask with this number.
pub(crate) fn reply(bytes: &mut BytesMut, ask: u64, json: &str) {
    frame(bytes, TEXT, format!("{{\"event\":\"tornadose:reply\",\"ask\":{ask},\"data\":{json}}}").as_bytes());
}

/// Writes the event that tells a client why its text was not accepted. It has the number of the ask that it answers.
pub(crate) fn error(bytes: &mut BytesMut, ask: Option<u64>, reason: &str) {
    let mut text = b"{\"event\":\"tornadose:error\",".to_vec();
    if let Some(ask) = ask {
        write!(text, "\"ask\":{ask},").expect("a vector takes all");
    }
    text.extend_from_slice(b"\"data\":{\"reason\":");
    put_json(&mut text, reason);
    text.extend_from_slice(b"}}");
    frame(bytes, TEXT, &text);
}

pub(crate) fn ping(bytes: &mut BytesMut) {
    frame(bytes, PING, b"");
}

pub(crate) fn pong(bytes: &mut BytesMut, payload: &[u8]) {
    frame(bytes, PONG, payload);
}

/// Writes a close frame. A code that must not be sent becomes 1011. A reason that is too long for a control frame is
/// cut at a character.
// RFC 6455 §5.5.1: the code in network byte order, then the reason in UTF-8.
pub(crate) fn close(bytes: &mut BytesMut, code: Option<u16>, reason: &str) {
    let Some(code) = code else { return frame(bytes, CLOSE, b"") };
    let code = if may_be_sent(code) { code } else { 1011 };
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(&reason.as_bytes()[..reason.floor_char_boundary(CONTROL_PAYLOAD - 2)]);
    frame(bytes, CLOSE, &payload);
}

/// Whether an endpoint may send this close code.
// RFC 6455 §7.4: 1004 to 1006 and 1015 are reserved; IANA has registered 1012 to 1014 since.
pub(crate) const fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

// RFC 6455 §5.1: a server does not mask. RFC 6455 §5.2: the length takes the fewest bytes that hold it.
fn frame(bytes: &mut BytesMut, opcode: u8, payload: &[u8]) {
    bytes.put_u8(FIN | opcode);
    let length = payload.len();
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ 0..126), _) => bytes.put_u8(length),
        (_, Ok(length)) => {
            bytes.put_u8(126);
            bytes.put_u16(length);
        }
        _ => {
            bytes.put_u8(127);
            bytes.put_u64(length as u64);
        }
    }
    bytes.put_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .filter_map(|half| char::from_digit(half.into(), 16))
            .collect()
    }

    #[test]
    fn lengths_are_written_minimally() {
        for (length, header) in
            [(0, "8100"), (125, "817d"), (126, "817e007e"), (65_535, "817effff"), (65_536, "817f0000000000010000")]
        {
            let mut bytes = BytesMut::new();
            frame(&mut bytes, TEXT, &vec![b'x'; length]);
            assert_eq!(hex(&bytes[..header.len() / 2]), header);
            assert_eq!(bytes.len(), header.len() / 2 + length);
        }
    }

    #[test]
    fn a_close_frame_has_only_codes_that_may_be_sent() {
        let closed = |code, reason: &str| {
            let mut bytes = BytesMut::new();
            close(&mut bytes, code, reason);
            bytes.to_vec()
        };
        assert_eq!(closed(None, ""), [0x88, 0]);
        assert_eq!(closed(Some(1001), "bye"), *b"\x88\x05\x03\xE9bye");
        assert_eq!(closed(Some(1005), ""), *b"\x88\x02\x03\xF3");
        let long = "é".repeat(100);
        assert_eq!(closed(Some(1000), &long)[1], 2 + 122);
    }

    #[test]
    fn an_event_has_its_id_and_its_data() {
        let id: Id = "k3v0q8zd-7".parse().unwrap();
        let text = |event: &Event| String::from_utf8(super::event(Some(id), event)[2..].to_vec()).unwrap();
        assert_eq!(text(&Event::json(&0.5).unwrap()), r#"{"id":"k3v0q8zd-7","data":0.5}"#);
        let html = Event::text("<b>\"hi\"</b>\n").with_name("list".try_into().unwrap());
        assert_eq!(text(&html), r#"{"id":"k3v0q8zd-7","event":"list","data":"<b>\"hi\"</b>\n"}"#);
        for event in [html, Event::text("x".repeat(200)), Event::text("x".repeat(70_000))] {
            let framed = super::event(Some(id), &event);
            let mut bytes = BytesMut::new();
            without_id(&mut bytes, &framed, id);
            assert_eq!(bytes, super::event(None, &event));
        }
    }
}
