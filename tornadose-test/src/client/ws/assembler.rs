//! Assembles the server's frames to messages, pings and closes, and checks their order.

use std::mem::take;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::ws::frame::{Frame, Opcode};
use crate::entry::{Event, Happening};

/// A message or control frame of the server.
#[derive(Debug)]
pub(crate) enum WsItem {
    Message(Happening),
    Ping(Vec<u8>),
    Pong,
    /// A close frame; `None` for one without a code.
    Close(Option<u16>, String),
}

#[derive(Debug, Default)]
pub(crate) struct Assembler {
    /// The message whose last fragment has not arrived.
    incomplete: Option<(Opcode, Vec<u8>)>,
    closed: bool,
}

impl Assembler {
    /// Adds a frame, and returns the item that it completes. An error is a violation by the server.
    pub(crate) fn push(&mut self, frame: Frame) -> Result<Option<WsItem>, String> {
        if self.closed {
            return Err(format!("a {} frame arrived after the close frame", frame.opcode.name()));
        }
        match (frame.opcode, &mut self.incomplete) {
            (Opcode::Ping, _) => Ok(Some(WsItem::Ping(frame.payload))),
            (Opcode::Pong, _) => Ok(Some(WsItem::Pong)),
            (Opcode::Close, _) => {
                self.closed = true;
                parse_close(&frame.payload).map(Some)
            }
            (Opcode::Continuation, None) => Err("a continuation frame arrived without a message to continue".into()),
            (Opcode::Text | Opcode::Binary, Some(_)) => {
                Err(format!("a {} frame arrived before the last message was complete", frame.opcode.name()))
            }
            (Opcode::Continuation, Some((_, message))) => {
                message.extend(frame.payload);
                if frame.last { self.complete() } else { Ok(None) }
            }
            (opcode, incomplete @ None) => {
                *incomplete = Some((opcode, frame.payload));
                if frame.last { self.complete() } else { Ok(None) }
            }
        }
    }

    fn complete(&mut self) -> Result<Option<WsItem>, String> {
        let Some((opcode, message)) = take(&mut self.incomplete) else { return Ok(None) };
        if opcode == Opcode::Binary {
            return Ok(Some(WsItem::Message(Happening::Binary(message))));
        }
        match String::from_utf8(message) {
            Ok(text) => Ok(Some(WsItem::Message(parse_text(text)))),
            Err(_) => Err("a text message is not UTF-8".into()),
        }
    }
}

/// Parses a text message: an event, the answer to an ask, a position frame, or plain text.
fn parse_text(text: String) -> Happening {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Envelope<'text> {
        id: Option<String>,
        at: Option<String>,
        #[serde(borrow)]
        key: Option<&'text RawValue>,
        event: Option<String>,
        ask: Option<u64>,
        // An `Option` would read the data `null` as no data.
        #[serde(borrow)]
        data: &'text RawValue,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Position {
        id: String,
    }
    let is_answer = |event: &Option<String>| matches!(event.as_deref(), Some("tornadose:reply" | "tornadose:error"));
    if let Ok(Envelope { id, at, key, event, ask, data }) = serde_json::from_str(&text)
        && (ask.is_none() || is_answer(&event))
        // Only the position of a past has a key beside it.
        && at.is_some() == key.is_some()
        && (at.is_none() || id.is_none())
    {
        let key = key.map(|key| key.get().to_owned());
        Happening::Event(Event { at, key, ask, ..Event::new(event, id, data.get().to_owned()) })
    } else if let Ok(Position { id }) = serde_json::from_str(&text) {
        Happening::Position(id)
    } else {
        Happening::Text(text)
    }
}

fn parse_close(payload: &[u8]) -> Result<WsItem, String> {
    match payload.split_first_chunk::<2>() {
        None if payload.is_empty() => Ok(WsItem::Close(None, String::new())),
        None => Err("a close frame has half a code".into()),
        Some((code, reason)) => {
            let code = u16::from_be_bytes(*code);
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(format!("the close code {code} may not be sent"));
            }
            let reason = std::str::from_utf8(reason).map_err(|_| "the reason of a close frame is not UTF-8")?;
            Ok(WsItem::Close(Some(code), reason.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Assembler, WsItem, parse_text};
    use crate::client::ws::frame::{FrameDecoder, Opcode, encode};
    use crate::entry::Happening;

    /// Describes the items in a server's bytes, which are the same at once and byte by byte.
    fn check(bytes: &[u8]) -> Vec<String> {
        let at_once = describe(bytes, bytes.len().max(1));
        assert_eq!(at_once, describe(bytes, 1), "chunks change the items");
        at_once
    }

    fn describe(bytes: &[u8], chunk: usize) -> Vec<String> {
        let (mut decoder, mut assembler, mut items) = (FrameDecoder::default(), Assembler::default(), Vec::new());
        for chunk in bytes.chunks(chunk) {
            decoder.feed(chunk);
            loop {
                match decoder.next().and_then(|frame| frame.map(|frame| assembler.push(frame)).transpose()) {
                    Ok(None) => break,
                    Ok(Some(None)) => {}
                    Ok(Some(Some(item))) => items.push(text_of(item)),
                    Err(violation) => {
                        items.push(violation);
                        return items;
                    }
                }
            }
        }
        items
    }

    fn text_of(item: WsItem) -> String {
        match item {
            WsItem::Message(Happening::Text(text)) => format!("text {text}"),
            WsItem::Message(Happening::Binary(bytes)) => format!("binary {}", bytes.len()),
            WsItem::Message(message) => format!("{message:?}"),
            WsItem::Ping(payload) => format!("ping {}", payload.len()),
            WsItem::Pong => "pong".into(),
            WsItem::Close(code, reason) => format!("close {code:?} {reason}"),
        }
    }

    #[test]
    fn fragments_are_assembled_to_messages() {
        assert_eq!(check(b"\x81\x02hi\x82\x01\x00\x88\x00"), ["text hi", "binary 1", "close None "]);
        assert_eq!(check(b"\x01\x02\xe2\x82\x89\x01p\x80\x01\xac"), ["ping 1", "text €"]);
        let long = [b"\x82\x7e\x01\x00".as_slice(), &[0; 256]].concat();
        assert_eq!(check(&long), ["binary 256"]);
        let longer = [b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00".as_slice(), &vec![0; 65_536]].concat();
        assert_eq!(check(&longer), ["binary 65536"]);
        assert_eq!(check(b"\x88\x06\x03\xe9gone"), ["close Some(1001) gone"]);
    }

    #[test]
    fn a_violation_by_the_server_is_reported() {
        for (bytes, violation) in [
            (b"\x81\x80\x00\x00\x00\x00".as_slice(), "a frame is masked: only a client's are"),
            (b"\xc1\x00", "a frame has reserved bits set, though no extension was agreed"),
            (b"\x83\x00", "a frame has the unknown opcode 0x3"),
            (b"\x81\x7e\x00\x02hi", "a frame of 2 bytes does not write its length in the shortest form"),
            (b"\x09\x00", "a ping frame is fragmented, or longer than 125 bytes"),
            (b"\x80\x00", "a continuation frame arrived without a message to continue"),
            (b"\x01\x00\x81\x00", "a text frame arrived before the last message was complete"),
            (b"\x81\x01\xff", "a text message is not UTF-8"),
            (b"\x88\x01\x03", "a close frame has half a code"),
            (b"\x88\x02\x03\xed", "the close code 1005 may not be sent"),
        ] {
            assert_eq!(check(bytes), [violation]);
        }
        assert_eq!(check(b"\x88\x00\x89\x00"), ["close None ", "a ping frame arrived after the close frame"]);
    }

    #[test]
    fn events_and_positions_are_distinguished_from_other_json() {
        let parsed = |text: &str| format!("{:?}", parse_text(text.to_owned()));
        assert_eq!(
            parsed(r#"{"id":"a-1","event":"said","data":{"z":1,"a":2}}"#),
            r#"Event(Event { name: "said", id: Some("a-1"), data: "{\"z\":1,\"a\":2}", at: None, key: None, ask: None })"#
        );
        assert_eq!(
            parsed(r#"{"data":1}"#),
            r#"Event(Event { name: "message", id: None, data: "1", at: None, key: None, ask: None })"#
        );
        assert_eq!(
            parsed(r#"{"at":"a-1","key":{"k":1},"event":"said","data":2}"#),
            r#"Event(Event { name: "said", id: None, data: "2", at: Some("a-1"), key: Some("{\"k\":1}"), ask: None })"#
        );
        assert_eq!(parsed(r#"{"at":"a-1","data":2}"#), r#"Text("{\"at\":\"a-1\",\"data\":2}")"#);
        assert_eq!(
            parsed(r#"{"event":"left","data":null}"#),
            r#"Event(Event { name: "left", id: None, data: "null", at: None, key: None, ask: None })"#
        );
        assert_eq!(parsed(r#"{"id":"a-1"}"#), r#"Position("a-1")"#);
        assert_eq!(parsed(r#"{"data":1,"more":2}"#), r#"Text("{\"data\":1,\"more\":2}")"#);
        assert_eq!(parsed("hello"), r#"Text("hello")"#);
    }

    #[test]
    fn a_client_frame_is_masked_and_has_the_shortest_length() {
        let frame = encode(Opcode::Text, b"Hello");
        assert_eq!(frame, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "the example of the RFC");
        assert_eq!(encode(Opcode::Binary, &[0; 126])[..4], *b"\x82\xfe\x00\x7e");
    }
}
