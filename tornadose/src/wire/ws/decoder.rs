//! WebSocket frames as a server reads them, in any chunks.

use crate::wire::ws::{BINARY, CLOSE, CONTINUATION, CONTROL_PAYLOAD, FIN, PING, PONG, TEXT, may_be_sent};

/// A message or control frame of a client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Inbound {
    Text(String),
    Ping(Vec<u8>),
    Pong,
    /// The client's close code, if it sent one.
    Close(Option<u16>),
}

/// A breach of the protocol, or input that is not accepted: the code to close with, and the reason.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
}

fn violation<T>(code: u16, reason: &'static str) -> Result<T, Violation> {
    Err(Violation { code, reason })
}

/// Reads the frames of a client, in any chunks.
///
/// It holds at most one message and one control frame. Between frames, where most connections wait, it holds nothing.
pub(crate) struct Decoder {
    /// How many frames are complete, of any kind.
    pub(crate) frames: u64,
    max_message: usize,
    partial: Option<Box<Partial>>,
}

/// An incomplete frame or message.
#[derive(Default)]
struct Partial {
    header: Header,
    frame: Option<Frame>,
    /// The incomplete text message, if there is one.
    message: Option<Vec<u8>>,
    /// How many of its bytes are known to be UTF-8.
    valid: usize,
    control: Vec<u8>,
}

/// The bytes of a frame's header so far.
#[derive(Default)]
struct Header {
    bytes: [u8; 14],
    length: usize,
}

struct Frame {
    opcode: u8,
    fin: bool,
    remaining: usize,
    mask: [u8; 4],
    /// The index of the mask's next byte.
    mask_index: usize,
}

impl Decoder {
    pub(crate) fn new(max_message: usize) -> Self {
        Self { frames: 0, max_message, partial: None }
    }

    /// Takes the next message or control frame off the front of `input`. `None` means that more bytes are needed.
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Inbound>, Violation> {
        let mut partial = self.partial.take().unwrap_or_default();
        let next = partial.next(input, self.max_message, &mut self.frames);
        self.partial = Some(partial).filter(|partial| !partial.is_empty());
        next
    }
}

impl Partial {
    fn is_empty(&self) -> bool {
        self.header.length == 0 && self.frame.is_none() && self.message.is_none()
    }

    fn next(&mut self, input: &mut &[u8], max_message: usize, frames: &mut u64) -> Result<Option<Inbound>, Violation> {
        loop {
            if self.frame.is_none() {
                let Some(header) = self.header.take(input)? else { return Ok(None) };
                self.check_header(&header, max_message)?;
                self.frame = Some(header);
            }
            let inbound = self.payload(input)?;
            if self.frame.is_some() {
                return Ok(None);
            }
            *frames += 1;
            if inbound.is_some() {
                return Ok(inbound);
            }
        }
    }

    /// Checks a frame by its header alone, so that nothing is kept of a frame that is refused.
    fn check_header(&mut self, frame: &Frame, max_message: usize) -> Result<(), Violation> {
        match (frame.opcode, &self.message) {
            // RFC 6455 §5.4: the frames of a message follow each other; only control frames may come between.
            (CONTINUATION, None) => return violation(1002, "continuation frame without a message"),
            (TEXT | BINARY, Some(_)) => return violation(1002, "a new message inside a fragmented one"),
            (BINARY, None) => return violation(1003, "only text is accepted"),
            (TEXT, None) => {
                self.message = Some(Vec::new());
                self.valid = 0;
            }
            _ => {}
        }
        let so_far = self.message.as_ref().map_or(0, Vec::len);
        if frame.opcode < CLOSE && frame.remaining > max_message - so_far {
            return violation(1009, "the message is too big");
        }
        Ok(())
    }

    fn payload(&mut self, input: &mut &[u8]) -> Result<Option<Inbound>, Violation> {
        let Some(frame) = &mut self.frame else { return Ok(None) };
        let (now, rest) = input.split_at(frame.remaining.min(input.len()));
        *input = rest;
        frame.remaining -= now.len();
        let target = match &mut self.message {
            Some(message) if frame.opcode < CLOSE => message,
            _ => &mut self.control,
        };
        // RFC 6455 §5.3: byte i is masked with byte i mod 4 of the mask.
        target.extend(now.iter().zip(frame.mask_index..).map(|(byte, index)| byte ^ frame.mask[index % 4]));
        frame.mask_index = (frame.mask_index + now.len()) % 4;
        let complete = frame.remaining == 0;
        let (opcode, last) = (frame.opcode, complete && frame.fin);
        if complete {
            self.frame = None;
        }
        match opcode {
            CLOSE | PING | PONG => {
                if complete {
                    self.control(opcode).map(Some)
                } else {
                    Ok(None)
                }
            }
            _ => self.text(last),
        }
    }

    /// Checks the UTF-8 of a text as it arrives, and returns the text when it is complete.
    // RFC 6455 §8.1: text that is not UTF-8 fails the connection.
    fn text(&mut self, last: bool) -> Result<Option<Inbound>, Violation> {
        let not_utf8 = violation(1007, "the text is not UTF-8");
        let message = self.message.as_deref().unwrap_or_default();
        match std::str::from_utf8(&message[self.valid..]) {
            Ok(text) => self.valid += text.len(),
            Err(error) if error.error_len().is_none() && !last => self.valid += error.valid_up_to(),
            Err(_) => return not_utf8,
        }
        if !last {
            return Ok(None);
        }
        match String::from_utf8(self.message.take().unwrap_or_default()) {
            Ok(text) => Ok(Some(Inbound::Text(text))),
            Err(_) => not_utf8,
        }
    }

    fn control(&mut self, opcode: u8) -> Result<Inbound, Violation> {
        let payload = std::mem::take(&mut self.control);
        match opcode {
            PING => Ok(Inbound::Ping(payload)),
            PONG => Ok(Inbound::Pong),
            // RFC 6455 §5.5.1: a payload, if there is one, begins with a code of two bytes.
            _ => match *payload {
                [] => Ok(Inbound::Close(None)),
                [_] => violation(1002, "a close code of one byte"),
                [high, low, ref reason @ ..] => {
                    let code = u16::from_be_bytes([high, low]);
                    if !may_be_sent(code) {
                        violation(1002, "a close code that must not be sent")
                    } else if std::str::from_utf8(reason).is_err() {
                        violation(1007, "the close reason is not UTF-8")
                    } else {
                        Ok(Inbound::Close(Some(code)))
                    }
                }
            },
        }
    }
}

impl Header {
    /// Returns the header when it is complete. An error in it is reported as soon as its bytes are there.
    fn take(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, Violation> {
        loop {
            let needed = self.needed()?;
            if self.length == needed {
                break;
            }
            let Some((byte, rest)) = input.split_first() else { return Ok(None) };
            self.bytes[self.length] = *byte;
            self.length += 1;
            *input = rest;
        }
        let (extended, mask) = self.bytes[2..self.length].split_at(self.length - 6);
        let length = match *extended {
            [] => u64::from(self.bytes[1] & 0x7F),
            _ => extended.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        // RFC 6455 §5.2: the length takes the fewest bytes that hold it, and its highest bit is 0.
        if matches!(extended.len(), 2 if length < 126)
            || matches!(extended.len(), 8 if length < 65_536 || length >> 63 == 1)
        {
            return violation(1002, "a length that is not minimal");
        }
        let frame = Frame {
            opcode: self.bytes[0] & 0x0F,
            fin: self.bytes[0] & FIN != 0,
            remaining: usize::try_from(length).unwrap_or(usize::MAX),
            mask: mask.try_into().expect("a mask has four bytes"),
            mask_index: 0,
        };
        self.length = 0;
        Ok(Some(frame))
    }

    /// Returns how many bytes the header has, as far as those so far show.
    fn needed(&self) -> Result<usize, Violation> {
        let (first, second) = (self.bytes[0], self.bytes[1]);
        if self.length >= 1 {
            let opcode = first & 0x0F;
            // RFC 6455 §5.2: a reserved bit or opcode fails the connection, because no extension gives it a meaning.
            if first & 0x70 != 0 {
                return violation(1002, "a reserved bit is set");
            }
            if !matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG) {
                return violation(1002, "a reserved opcode");
            }
            // RFC 6455 §5.5: control frames are not fragmented.
            if opcode >= CLOSE && first & FIN == 0 {
                return violation(1002, "a fragmented control frame");
            }
        }
        if self.length < 2 {
            return Ok(2);
        }
        // RFC 6455 §5.1: a client masks every frame.
        if second & 0x80 == 0 {
            return violation(1002, "a frame without a mask");
        }
        if first & 0x0F >= CLOSE && usize::from(second & 0x7F) > CONTROL_PAYLOAD {
            return violation(1002, "a control frame of more than 125 bytes");
        }
        Ok(match second & 0x7F {
            126 => 8,
            127 => 14,
            _ => 6,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const MAX_MESSAGE: usize = 1 << 20;

    fn cases() -> Vec<Value> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/ws.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    fn unhex(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|place| u8::from_str_radix(&hex[place..place + 2], 16).unwrap()).collect()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .filter_map(|half| char::from_digit(half.into(), 16))
            .collect()
    }

    /// Decodes bytes in chunks. Returns what a server accepts, and the code that it closes with; 0 for an empty
    /// close.
    fn decode(bytes: &[u8], chunk: usize, max_message: usize) -> (Vec<Inbound>, Option<u16>) {
        let mut decoder = Decoder::new(max_message);
        let mut taken = Vec::new();
        for mut input in bytes.chunks(chunk) {
            loop {
                match decoder.next(&mut input) {
                    Ok(None) => break,
                    Ok(Some(Inbound::Close(code))) => return (taken, Some(code.unwrap_or(0))),
                    Ok(Some(inbound)) => taken.push(inbound),
                    Err(violation) => return (taken, Some(violation.code)),
                }
            }
        }
        (taken, None)
    }

    /// Returns the close codes that a row allows. Only text is accepted, so a binary message is refused first.
    fn codes(case: &Value, bytes: &[u8]) -> Vec<Option<u16>> {
        if bytes[0] == FIN | BINARY {
            return vec![Some(1003)];
        }
        let code = match &case["expect"]["close"] {
            Value::String(_) => Some(0),
            code => code.as_u64().map(|code| u16::try_from(code).unwrap()),
        };
        let note = case["note"].as_str().unwrap_or_default();
        if note.contains("or 1002") || note.contains("1002 is also seen") { vec![code, Some(1002)] } else { vec![code] }
    }

    fn check(taken: &Inbound, expected: &Value) {
        match taken {
            Inbound::Text(text) if expected["text"].is_string() => assert_eq!(expected["text"], **text),
            Inbound::Text(text) => assert_eq!(expected["text_len"], text.len()),
            Inbound::Ping(payload) => assert_eq!(expected["pong_hex"], hex(payload)),
            other => panic!("{other:?} instead of {expected}"),
        }
    }

    #[test]
    fn every_row_of_the_table_holds_at_any_chunking() {
        for case in cases() {
            let (name, bytes) = (case["name"].as_str().unwrap(), unhex(case["send_hex"].as_str().unwrap()));
            let max =
                case["server"]["max_message_size"].as_u64().map_or(MAX_MESSAGE, |max| usize::try_from(max).unwrap());
            let whole = bytes.len();
            // Miri takes some 1000 times as long.
            let chunks = match (whole < 4096, cfg!(miri)) {
                (true, false) => (1..=whole).collect(),
                (false, false) => vec![1, 1460, whole],
                (true, true) => vec![1, whole],
                (false, true) => vec![whole],
            };
            for chunk in chunks {
                let (mut taken, close) = decode(&bytes, chunk, max);
                assert!(codes(&case, &bytes).contains(&close), "{name} by {chunk}: {close:?}");
                if let Some(last) = case["expect"]["recv_last_pong_hex"].as_str() {
                    taken.drain(..taken.len() - 1);
                    check(&taken[0], &serde_json::json!({ "pong_hex": last }));
                    continue;
                }
                let expected = case["expect"]["recv"].as_array().unwrap();
                let refused = close == Some(1002);
                assert!(taken.len() == expected.len() || refused, "{name} by {chunk}: {taken:?}");
                taken.iter().zip(expected).for_each(|(taken, expected)| check(taken, expected));
            }
        }
    }

    #[test]
    fn a_huge_length_is_refused_by_its_header_alone() {
        let (_, close) = decode(&unhex("81ff7fffffffffffffff00000000"), 14, MAX_MESSAGE);
        assert_eq!(close, Some(1009));
    }
}
