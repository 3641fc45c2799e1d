//! The server's frames put together: messages over their fragments, pings, the close; and what may not come when.

use std::mem::take;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::ws::frame::{Frame, Opcode};
use crate::entry::{Event, What};

/// What the frames of a server amount to.
#[derive(Debug)]
pub(crate) enum Heard {
    Message(What),
    Ping(Vec<u8>),
    Pong,
    /// A close frame: `None` when it carried no code.
    Close(Option<u16>, String),
}

#[derive(Debug, Default)]
pub(crate) struct Inbound {
    /// The message whose last fragment has not come.
    begun: Option<(Opcode, Vec<u8>)>,
    closed: bool,
}

impl Inbound {
    /// What this frame completes; an error is a sentence about the server.
    pub(crate) fn take(&mut self, frame: Frame) -> Result<Option<Heard>, String> {
        if self.closed {
            return Err(format!("a {} frame came behind the close frame", frame.opcode.name()));
        }
        match (frame.opcode, &mut self.begun) {
            (Opcode::Ping, _) => Ok(Some(Heard::Ping(frame.payload))),
            (Opcode::Pong, _) => Ok(Some(Heard::Pong)),
            (Opcode::Close, _) => {
                self.closed = true;
                close(&frame.payload).map(Some)
            }
            (Opcode::Continuation, None) => Err("a continuation frame came without a message to continue".into()),
            (Opcode::Text | Opcode::Binary, Some(_)) => {
                Err(format!("a {} frame came before the last message was complete", frame.opcode.name()))
            }
            (Opcode::Continuation, Some((_, message))) => {
                message.extend(frame.payload);
                if frame.last { self.complete() } else { Ok(None) }
            }
            (opcode, begun @ None) => {
                *begun = Some((opcode, frame.payload));
                if frame.last { self.complete() } else { Ok(None) }
            }
        }
    }

    fn complete(&mut self) -> Result<Option<Heard>, String> {
        let Some((opcode, message)) = take(&mut self.begun) else { return Ok(None) };
        if opcode == Opcode::Binary {
            return Ok(Some(Heard::Message(What::Binary(message))));
        }
        match String::from_utf8(message) {
            Ok(text) => Ok(Some(Heard::Message(read(text)))),
            Err(_) => Err("a text message is not UTF-8".into()),
        }
    }
}

/// A text message: an event when it is written as one.
fn read(text: String) -> What {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Envelope<'text> {
        id: Option<String>,
        event: Option<String>,
        // Not an `Option`, which would take the data `null` for none.
        #[serde(borrow)]
        data: &'text RawValue,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Position {
        id: String,
    }
    if let Ok(Envelope { id, event, data }) = serde_json::from_str(&text) {
        What::Event(Event::new(event, id, data.get().to_owned()))
    } else if let Ok(Position { id }) = serde_json::from_str(&text) {
        What::Position(id)
    } else {
        What::Text(text)
    }
}

fn close(payload: &[u8]) -> Result<Heard, String> {
    match payload.split_first_chunk::<2>() {
        None if payload.is_empty() => Ok(Heard::Close(None, String::new())),
        None => Err("a close frame has half a code".into()),
        Some((code, reason)) => {
            let code = u16::from_be_bytes(*code);
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(format!("the close code {code} may not be sent"));
            }
            let reason = std::str::from_utf8(reason).map_err(|_| "the reason of a close frame is not UTF-8")?;
            Ok(Heard::Close(Some(code), reason.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Heard, Inbound, read};
    use crate::client::ws::frame::{Frames, Opcode, encode};
    use crate::entry::What;

    /// What a server's bytes amount to, in words: the whole at once, and byte by byte.
    fn check(bytes: &[u8]) -> Vec<String> {
        let whole = hear(bytes, bytes.len().max(1));
        assert_eq!(whole, hear(bytes, 1), "chunks change what is heard");
        whole
    }

    fn hear(bytes: &[u8], chunk: usize) -> Vec<String> {
        let (mut frames, mut inbound, mut heard) = (Frames::default(), Inbound::default(), Vec::new());
        for chunk in bytes.chunks(chunk) {
            frames.feed(chunk);
            loop {
                match frames.next().and_then(|frame| frame.map(|frame| inbound.take(frame)).transpose()) {
                    Ok(None) => break,
                    Ok(Some(None)) => {}
                    Ok(Some(Some(one))) => heard.push(said(one)),
                    Err(violation) => {
                        heard.push(violation);
                        return heard;
                    }
                }
            }
        }
        heard
    }

    fn said(heard: Heard) -> String {
        match heard {
            Heard::Message(What::Text(text)) => format!("text {text}"),
            Heard::Message(What::Binary(bytes)) => format!("binary {}", bytes.len()),
            Heard::Message(what) => format!("{what:?}"),
            Heard::Ping(payload) => format!("ping {}", payload.len()),
            Heard::Pong => "pong".into(),
            Heard::Close(code, reason) => format!("close {code:?} {reason}"),
        }
    }

    #[test]
    fn messages_come_whole_over_their_fragments() {
        assert_eq!(check(b"\x81\x02hi\x82\x01\x00\x88\x00"), ["text hi", "binary 1", "close None "]);
        assert_eq!(check(b"\x01\x02\xe2\x82\x89\x01p\x80\x01\xac"), ["ping 1", "text €"]);
        let long = [b"\x82\x7e\x01\x00".as_slice(), &[0; 256]].concat();
        assert_eq!(check(&long), ["binary 256"]);
        let longer = [b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00".as_slice(), &vec![0; 65_536]].concat();
        assert_eq!(check(&longer), ["binary 65536"]);
        assert_eq!(check(b"\x88\x06\x03\xe9gone"), ["close Some(1001) gone"]);
    }

    #[test]
    fn a_server_that_breaks_the_protocol_is_found_out() {
        for (bytes, violation) in [
            (b"\x81\x80\x00\x00\x00\x00".as_slice(), "a frame is masked: only a client's are"),
            (b"\xc1\x00", "a frame has reserved bits set, though no extension was agreed"),
            (b"\x83\x00", "a frame has the unknown opcode 0x3"),
            (b"\x81\x7e\x00\x02hi", "a frame of 2 bytes does not write its length in the shortest form"),
            (b"\x09\x00", "a ping frame is fragmented, or longer than 125 bytes"),
            (b"\x80\x00", "a continuation frame came without a message to continue"),
            (b"\x01\x00\x81\x00", "a text frame came before the last message was complete"),
            (b"\x81\x01\xff", "a text message is not UTF-8"),
            (b"\x88\x01\x03", "a close frame has half a code"),
            (b"\x88\x02\x03\xed", "the close code 1005 may not be sent"),
        ] {
            assert_eq!(check(bytes), [violation]);
        }
        assert_eq!(check(b"\x88\x00\x89\x00"), ["close None ", "a ping frame came behind the close frame"]);
    }

    #[test]
    fn events_and_positions_are_told_from_other_json() {
        let said = |text: &str| format!("{:?}", read(text.to_owned()));
        assert_eq!(
            said(r#"{"id":"a-1","event":"said","data":{"z":1,"a":2}}"#),
            r#"Event(Event { name: "said", id: Some("a-1"), data: "{\"z\":1,\"a\":2}" })"#
        );
        assert_eq!(said(r#"{"data":1}"#), r#"Event(Event { name: "message", id: None, data: "1" })"#);
        assert_eq!(said(r#"{"event":"left","data":null}"#), r#"Event(Event { name: "left", id: None, data: "null" })"#);
        assert_eq!(said(r#"{"id":"a-1"}"#), r#"Position("a-1")"#);
        assert_eq!(said(r#"{"data":1,"more":2}"#), r#"Text("{\"data\":1,\"more\":2}")"#);
        assert_eq!(said("hello"), r#"Text("hello")"#);
    }

    #[test]
    fn a_frame_of_the_client_is_masked_and_no_longer_than_needed() {
        let frame = encode(Opcode::Text, b"Hello");
        assert_eq!(frame, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "the example of the RFC");
        assert_eq!(encode(Opcode::Binary, &[0; 126])[..4], *b"\x82\xfe\x00\x7e");
    }
}
