//! WebSocket frames (RFC 6455 §5) as a server reads them, whatever the chunks they come in.

use crate::wire::ws::{BINARY, CLOSE, CONTINUATION, CONTROL_PAYLOAD, FIN, PING, PONG, TEXT, may_be_sent};

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Inbound {
    Text(String),
    Ping(Vec<u8>),
    Pong,
    /// The client's own code, none when it gave none.
    Close(Option<u16>),
}

/// What a client may not send: the code to close with, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
}

fn violation<T>(code: u16, reason: &'static str) -> Result<T, Violation> {
    Err(Violation { code, reason })
}

/// Reads the frames of a client, whatever the chunks they come in. It holds no more than one message and one control frame, and
/// nothing between them: that is what most connections are waiting in.
pub(crate) struct Decoder {
    /// How many frames have come whole, of any kind.
    pub(crate) frames: u64,
    max_message: usize,
    part: Option<Box<Part>>,
}

/// What has come of a frame, or of a message.
#[derive(Default)]
struct Part {
    header: Header,
    frame: Option<Frame>,
    /// The text message that is under way, when one is.
    message: Option<Vec<u8>>,
    /// How much of it is known to be UTF-8.
    valid: usize,
    control: Vec<u8>,
}

/// The bytes of a frame's header that have come.
#[derive(Default)]
struct Header {
    bytes: [u8; 14],
    length: usize,
}

struct Frame {
    opcode: u8,
    fin: bool,
    left: usize,
    mask: [u8; 4],
    /// Which byte of the mask comes next.
    turn: usize,
}

impl Decoder {
    pub(crate) fn new(max_message: usize) -> Self {
        Self { frames: 0, max_message, part: None }
    }

    /// The next thing the client sent, taken off the front of `input`; `None` when more bytes are needed.
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Inbound>, Violation> {
        let mut part = self.part.take().unwrap_or_default();
        let next = part.next(input, self.max_message, &mut self.frames);
        self.part = Some(part).filter(|part| !part.is_nothing());
        next
    }
}

impl Part {
    fn is_nothing(&self) -> bool {
        self.header.length == 0 && self.frame.is_none() && self.message.is_none()
    }

    fn next(&mut self, input: &mut &[u8], max_message: usize, frames: &mut u64) -> Result<Option<Inbound>, Violation> {
        loop {
            if self.frame.is_none() {
                let Some(header) = self.header.take(input)? else { return Ok(None) };
                self.admit(&header, max_message)?;
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

    /// Judges a frame by its header alone, so that nothing is kept of one that is refused.
    fn admit(&mut self, frame: &Frame, max_message: usize) -> Result<(), Violation> {
        match (frame.opcode, &self.message) {
            (CONTINUATION, None) => return violation(1002, "a continuation of nothing"),
            (TEXT | BINARY, Some(_)) => return violation(1002, "a new message inside a fragmented one"),
            (BINARY, None) => return violation(1003, "only text is taken"),
            (TEXT, None) => {
                self.message = Some(Vec::new());
                self.valid = 0;
            }
            _ => {}
        }
        let so_far = self.message.as_ref().map_or(0, Vec::len);
        if frame.opcode < CLOSE && frame.left > max_message - so_far {
            return violation(1009, "the message is too big");
        }
        Ok(())
    }

    fn payload(&mut self, input: &mut &[u8]) -> Result<Option<Inbound>, Violation> {
        let Some(frame) = &mut self.frame else { return Ok(None) };
        let (now, rest) = input.split_at(frame.left.min(input.len()));
        *input = rest;
        frame.left -= now.len();
        let target = match &mut self.message {
            Some(message) if frame.opcode < CLOSE => message,
            _ => &mut self.control,
        };
        target.extend(now.iter().zip(frame.turn..).map(|(byte, turn)| byte ^ frame.mask[turn % 4]));
        frame.turn = (frame.turn + now.len()) % 4;
        let (opcode, whole, last) = (frame.opcode, frame.left == 0, frame.left == 0 && frame.fin);
        if whole {
            self.frame = None;
        }
        match opcode {
            CLOSE | PING | PONG => {
                if whole {
                    self.control(opcode).map(Some)
                } else {
                    Ok(None)
                }
            }
            _ => self.text(last),
        }
    }

    /// Checks the UTF-8 of a text as it comes (RFC 6455 §8.1), and gives it out when it is whole.
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
            _ => match *payload {
                [] => Ok(Inbound::Close(None)),
                [_] => violation(1002, "a close code of one byte"),
                [high, low, ref reason @ ..] => {
                    let code = u16::from_be_bytes([high, low]);
                    if !may_be_sent(code) {
                        violation(1002, "a close code that must not be sent")
                    } else if std::str::from_utf8(reason).is_err() {
                        violation(1007, "the reason of the close is not UTF-8")
                    } else {
                        Ok(Inbound::Close(Some(code)))
                    }
                }
            },
        }
    }
}

impl Header {
    /// The header, when it is whole. What is wrong with it is said as soon as it can be seen.
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
        if matches!(extended.len(), 2 if length < 126)
            || matches!(extended.len(), 8 if length < 65_536 || length >> 63 == 1)
        {
            return violation(1002, "a length that is not minimal");
        }
        let frame = Frame {
            opcode: self.bytes[0] & 0x0F,
            fin: self.bytes[0] & FIN != 0,
            left: usize::try_from(length).unwrap_or(usize::MAX),
            mask: mask.try_into().expect("a mask has four bytes"),
            turn: 0,
        };
        self.length = 0;
        Ok(Some(frame))
    }

    /// How many bytes the header has, as far as those that have come can tell.
    fn needed(&self) -> Result<usize, Violation> {
        let (first, second) = (self.bytes[0], self.bytes[1]);
        if self.length >= 1 {
            let opcode = first & 0x0F;
            if first & 0x70 != 0 {
                return violation(1002, "a reserved bit is set");
            }
            if !matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG) {
                return violation(1002, "a reserved opcode");
            }
            if opcode >= CLOSE && first & FIN == 0 {
                return violation(1002, "a fragmented control frame");
            }
        }
        if self.length < 2 {
            return Ok(2);
        }
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
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../cases/ws.json");
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

    /// What a server makes of bytes in chunks: what it takes, and the code it closes with; 0 for an empty close.
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

    /// The close codes that a row admits. We take only text, so a message of binary is refused before all else.
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
            let chunks: Vec<usize> = if whole < 4096 { (1..=whole).collect() } else { vec![1, 1460, whole] };
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
