//! Frames of RFC 6455: it encodes the client's frames with a mask, and decodes and checks the server's frames.
//! The module `assembler` combines frames to messages and tracks the state of the connection.

use std::mem::take;

/// The masking key of every frame, so that the bytes are the same in every run.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) opcode: Opcode,
    pub(crate) last: bool,
    pub(crate) payload: Vec<u8>,
}

impl Opcode {
    const ALL: [(u8, Self); 6] = [
        (0x0, Self::Continuation),
        (0x1, Self::Text),
        (0x2, Self::Binary),
        (0x8, Self::Close),
        (0x9, Self::Ping),
        (0xa, Self::Pong),
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Continuation => "continuation",
            Self::Text => "text",
            Self::Binary => "binary",
            Self::Close => "close",
            Self::Ping => "ping",
            Self::Pong => "pong",
        }
    }

    fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }

    fn bits(self) -> u8 {
        Self::ALL.iter().find(|(_, opcode)| *opcode == self).map(|(bits, _)| *bits).expect("ALL lists every opcode")
    }
}

/// Encodes a complete, masked frame.
pub(crate) fn encode(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode.bits()];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | u8::try_from(length).expect("the length is below 126")),
        length @ 126..65_536 => {
            frame.push(0x80 | 0x7e);
            frame.extend(u16::try_from(length).expect("the length is below 65536").to_be_bytes());
        }
        length => {
            frame.push(0x80 | 0x7f);
            frame.extend(u64::try_from(length).expect("a length fits 64 bits").to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// Decodes the frames of the server.
#[derive(Debug, Default)]
pub(crate) struct FrameDecoder {
    buffer: Vec<u8>,
}

impl FrameDecoder {
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the next complete frame. An error is a violation by the server, and ends all reading.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, String> {
        let Some((&[first, second], rest)) = self.buffer.split_first_chunk::<2>() else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err("a frame has reserved bits set, though no extension was agreed".into());
        }
        let code = first & 0x0f;
        let known = Opcode::ALL.iter().find(|(bits, _)| *bits == code);
        let Some(&(_, opcode)) = known else { return Err(format!("a frame has the unknown opcode {code:#x}")) };
        let last = first & 0x80 != 0;
        if second & 0x80 != 0 {
            return Err("a frame is masked: only a client's are".into());
        }
        let (length, header): (u64, usize) = match second {
            126 => match rest.first_chunk::<2>() {
                None => return Ok(None),
                Some(length) => (u64::from(u16::from_be_bytes(*length)), 4),
            },
            127 => match rest.first_chunk::<8>() {
                None => return Ok(None),
                Some(length) => (u64::from_be_bytes(*length), 10),
            },
            short => (u64::from(short), 2),
        };
        if (header == 4 && length < 126) || (header == 10 && length < 65_536) {
            return Err(format!("a frame of {length} bytes does not write its length in the shortest form"));
        }
        if opcode.is_control() && (!last || length > 125) {
            return Err(format!("a {} frame is fragmented, or longer than 125 bytes", opcode.name()));
        }
        let Ok(length) = usize::try_from(length) else { return Err(format!("a frame claims to have {length} bytes")) };
        let Some(end) = header.checked_add(length) else {
            return Err(format!("a frame claims to have {length} bytes"));
        };
        if self.buffer.len() < end {
            return Ok(None);
        }
        let rest = self.buffer.split_off(end);
        let payload = take(&mut self.buffer).split_off(header);
        self.buffer = rest;
        Ok(Some(Frame { opcode, last, payload }))
    }
}
