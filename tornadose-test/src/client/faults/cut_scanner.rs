//! The place of a connection where it is cut: bytes pass here on their way to the client, and are counted as events.

use crate::client::faults::{Cuts, Place};
use crate::client::sse::parser::{Heard, Parser};
use crate::client::ws::frame::Frames;
use crate::client::ws::inbound::{self, Inbound};
use crate::entry::{Severed, What};

/// Looks ahead of the client, at one connection.
pub(crate) struct Screen {
    cuts: Cuts,
    look: Look,
    /// Bytes of an event that is to be cut when it is known whole.
    held: Vec<u8>,
    bytes: usize,
    messages: usize,
    /// Where the block or frame that is under way began.
    start: usize,
}

enum Look {
    Sse(Box<Parser>),
    Ws(Frames, Inbound),
}

/// A block or frame that is complete.
enum Piece {
    Message { id: Option<String> },
    Other,
}

impl Screen {
    pub(crate) fn of_sse(cuts: &Cuts) -> Self {
        Self::new(cuts, Look::Sse(Box::default()))
    }

    pub(crate) fn of_ws(cuts: &Cuts) -> Self {
        Self::new(cuts, Look::Ws(Frames::default(), Inbound::default()))
    }

    fn new(cuts: &Cuts, look: Look) -> Self {
        cuts.come(0, 0);
        Self { cuts: cuts.clone(), look, held: Vec::new(), bytes: 0, messages: 0, start: 0 }
    }

    /// What of these bytes gets through, and where the connection is cut, if it is. With no bytes it tells whether it is
    /// cut before the first.
    pub(crate) fn pass(&mut self, bytes: &[u8]) -> (Vec<u8>, Option<Severed>) {
        let mut through = Vec::with_capacity(bytes.len());
        let mut severed = (self.bytes == 0).then(|| self.severed_here()).flatten();
        for byte in bytes {
            if severed.is_some() {
                break;
            }
            severed = self.step(*byte, &mut through);
        }
        self.cuts.come(self.bytes, self.messages);
        (through, severed)
    }

    fn step(&mut self, byte: u8, through: &mut Vec<u8>) -> Option<Severed> {
        self.bytes += 1;
        self.held.push(byte);
        let piece = self.look.feed(byte);
        let mut severed = None;
        if let Some(Piece::Message { id }) = &piece {
            self.messages += 1;
            if self.cuts.take(Place::Inside(self.messages)) {
                return Some(self.sever(id.clone(), through));
            }
            let after = self.cuts.take(Place::After(self.messages));
            severed = after.then(|| Severed::After { nth: self.messages, id: id.clone() });
        }
        if piece.is_some() {
            self.start = self.bytes;
        }
        if piece.is_some() || !self.cuts.is_armed(Place::Inside(self.messages + 1)) {
            through.append(&mut self.held);
        }
        severed.or_else(|| self.severed_here())
    }

    fn severed_here(&self) -> Option<Severed> {
        self.cuts.take(Place::Byte(self.bytes)).then_some(Severed::Byte(self.bytes))
    }

    /// Lets a quarter of the event through.
    fn sever(&mut self, id: Option<String>, through: &mut Vec<u8>) -> Severed {
        let of = self.bytes - self.start;
        // What came before the cut was armed has gone through already.
        let gone = of - self.held.len();
        let arrived = of.div_ceil(4).clamp(gone, of - 1);
        through.extend(&self.held[..arrived - gone]);
        Severed::Inside { nth: self.messages, id, arrived, of }
    }
}

impl Look {
    fn feed(&mut self, byte: u8) -> Option<Piece> {
        match self {
            Self::Sse(parser) => {
                let heard = parser.feed(&[byte]);
                let message = heard.iter().find_map(|heard| match heard {
                    Heard::Event { id, .. } => Some(Piece::Message { id: id.clone() }),
                    _ => None,
                });
                message.or_else(|| heard.iter().any(|heard| matches!(heard, Heard::Block(_))).then_some(Piece::Other))
            }
            Self::Ws(frames, inbound) => {
                frames.feed(&[byte]);
                // A breach of the protocol is the reader's to tell.
                let heard = inbound.take(frames.next().ok()??).ok()?;
                Some(match heard? {
                    inbound::Heard::Message(What::Event(event)) => Piece::Message { id: event.id },
                    inbound::Heard::Message(What::Text(_) | What::Binary(_)) => Piece::Message { id: None },
                    _ => Piece::Other,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Screen;
    use crate::client::faults::{Cut, Cuts};
    use crate::entry::Severed;

    const STREAM: &[u8] = b"retry: 1\n\nid: 1\ndata: a\n\n: b\n\ndata: c\n\n";

    /// What gets through of the stream, in chunks of this size, and where it is cut.
    fn pass(cut: Cut, chunk: usize) -> (String, Option<Severed>) {
        let cuts = Cuts::default();
        cuts.arm(cut).expect("nothing has come yet");
        let mut screen = Screen::of_sse(&cuts);
        let mut through = Vec::new();
        for chunk in [&[][..]].into_iter().chain(STREAM.chunks(chunk)) {
            let (passed, severed) = screen.pass(chunk);
            through.extend(passed);
            if severed.is_some() {
                assert!(cuts.unused().is_empty(), "it is made once");
                return (String::from_utf8(through).expect("it is ASCII"), severed);
            }
        }
        assert_eq!(through, STREAM);
        (String::new(), None)
    }

    #[test]
    fn a_cut_is_made_at_its_place_whatever_the_chunks() {
        for chunk in [1, 2, 3, 7, 100] {
            for byte in 0..=STREAM.len() {
                let (through, severed) = pass(Cut::at_byte(byte), chunk);
                assert_eq!((through.len(), severed), (byte, Some(Severed::Byte(byte))));
            }
            assert_eq!(pass(Cut::at_byte(STREAM.len() + 1), chunk), (String::new(), None));
            let inside = Severed::Inside { nth: 1, id: Some("1".into()), arrived: 4, of: 15 };
            assert_eq!(pass(Cut::inside_event(1), chunk), ("retry: 1\n\nid: ".into(), Some(inside)));
            let inside = Severed::Inside { nth: 2, id: None, arrived: 3, of: 9 };
            assert_eq!(pass(Cut::inside_event(2), chunk).1, Some(inside));
            let after = Severed::After { nth: 1, id: Some("1".into()) };
            assert_eq!(pass(Cut::after_event(1), chunk), ("retry: 1\n\nid: 1\ndata: a\n\n".into(), Some(after)));
            assert_eq!(pass(Cut::after_event(3), chunk), (String::new(), None));
        }
    }
}
