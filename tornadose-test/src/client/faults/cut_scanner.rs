//! Scans the bytes of a connection on their way to the client, and stops where the connection is to be cut.

use crate::client::faults::armed_cuts::ArmedCuts;
use crate::client::faults::cut::CutTarget;
use crate::client::sse::parser::{Parser, SseItem};
use crate::client::ws::assembler::{Assembler, WsItem};
use crate::client::ws::frame::FrameDecoder;
use crate::entry::{CutPoint, Happening};

/// The scanner of one connection.
pub(crate) struct CutScanner {
    cuts: ArmedCuts,
    decoder: Decoder,
    /// The bytes of an event that is to be cut, held back until its length is known.
    held: Vec<u8>,
    bytes: usize,
    events: usize,
    /// The byte at which the present block or frame began.
    unit_start: usize,
}

enum Decoder {
    Sse(Box<Parser>),
    Ws(FrameDecoder, Assembler),
}

/// A complete block or frame.
enum Unit {
    Event { id: Option<String> },
    Other,
}

impl CutScanner {
    pub(crate) fn for_sse(cuts: &ArmedCuts) -> Self {
        Self::new(cuts, Decoder::Sse(Box::default()))
    }

    pub(crate) fn for_ws(cuts: &ArmedCuts) -> Self {
        Self::new(cuts, Decoder::Ws(FrameDecoder::default(), Assembler::default()))
    }

    fn new(cuts: &ArmedCuts, decoder: Decoder) -> Self {
        cuts.set_progress(0, 0);
        Self { cuts: cuts.clone(), decoder, held: Vec::new(), bytes: 0, events: 0, unit_start: 0 }
    }

    /// Returns the bytes that pass, and the point of the cut, if there is one. Without bytes, it reports a cut before
    /// the first byte.
    pub(crate) fn pass(&mut self, bytes: &[u8]) -> (Vec<u8>, Option<CutPoint>) {
        let mut passed = Vec::with_capacity(bytes.len());
        let mut cut = (self.bytes == 0).then(|| self.take_byte_cut()).flatten();
        for byte in bytes {
            if cut.is_some() {
                break;
            }
            cut = self.pass_byte(*byte, &mut passed);
        }
        self.cuts.set_progress(self.bytes, self.events);
        (passed, cut)
    }

    fn pass_byte(&mut self, byte: u8, passed: &mut Vec<u8>) -> Option<CutPoint> {
        self.bytes += 1;
        self.held.push(byte);
        let unit = self.decoder.feed(byte);
        let mut cut = None;
        if let Some(Unit::Event { id }) = &unit {
            self.events += 1;
            if self.cuts.take(CutTarget::Inside(self.events)) {
                return Some(self.cut_inside(id.clone(), passed));
            }
            let after = self.cuts.take(CutTarget::After(self.events));
            cut = after.then(|| CutPoint::After { nth: self.events, id: id.clone() });
        }
        if unit.is_some() {
            self.unit_start = self.bytes;
        }
        if unit.is_some() || !self.cuts.is_armed(CutTarget::Inside(self.events + 1)) {
            passed.append(&mut self.held);
        }
        cut.or_else(|| self.take_byte_cut())
    }

    fn take_byte_cut(&self) -> Option<CutPoint> {
        self.cuts.take(CutTarget::Byte(self.bytes)).then_some(CutPoint::Byte(self.bytes))
    }

    /// Lets a quarter of the event pass.
    fn cut_inside(&mut self, id: Option<String>, passed: &mut Vec<u8>) -> CutPoint {
        let of = self.bytes - self.unit_start;
        // The bytes before the cut was armed have passed already.
        let passed_before = of - self.held.len();
        let arrived = of.div_ceil(4).clamp(passed_before, of - 1);
        passed.extend(&self.held[..arrived - passed_before]);
        CutPoint::Inside { nth: self.events, id, arrived, of }
    }
}

impl Decoder {
    fn feed(&mut self, byte: u8) -> Option<Unit> {
        match self {
            Self::Sse(parser) => {
                let items = parser.feed(&[byte]);
                let event = items.iter().find_map(|item| match item {
                    SseItem::Event { id, .. } => Some(Unit::Event { id: id.clone() }),
                    _ => None,
                });
                event.or_else(|| items.iter().any(|item| matches!(item, SseItem::Block(_))).then_some(Unit::Other))
            }
            Self::Ws(decoder, assembler) => {
                decoder.feed(&[byte]);
                // The connection's own reader reports violations.
                let item = assembler.push(decoder.next().ok()??).ok()?;
                Some(match item? {
                    WsItem::Message(Happening::Event(event)) => Unit::Event { id: event.id },
                    WsItem::Message(Happening::Text(_) | Happening::Binary(_)) => Unit::Event { id: None },
                    _ => Unit::Other,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::CutScanner;
    use crate::client::faults::armed_cuts::ArmedCuts;
    use crate::client::faults::cut::Cut;
    use crate::entry::CutPoint;

    const STREAM: &[u8] = b"retry: 1\n\nid: 1\ndata: a\n\n: b\n\ndata: c\n\n";

    /// Passes the stream in chunks of this size; returns the bytes before the cut, and its point.
    fn pass(cut: Cut, chunk: usize) -> (String, Option<CutPoint>) {
        let cuts = ArmedCuts::default();
        cuts.arm(cut).expect("no byte has arrived yet");
        let mut scanner = CutScanner::for_sse(&cuts);
        let mut passed = Vec::new();
        for chunk in [&[][..]].into_iter().chain(STREAM.chunks(chunk)) {
            let (bytes, point) = scanner.pass(chunk);
            passed.extend(bytes);
            if point.is_some() {
                assert!(cuts.unused().is_empty(), "the cut is made once");
                return (String::from_utf8(passed).expect("the stream is ASCII"), point);
            }
        }
        assert_eq!(passed, STREAM);
        (String::new(), None)
    }

    #[test]
    fn a_cut_is_made_at_its_place_for_any_chunks() {
        for chunk in [1, 2, 3, 7, 100] {
            for byte in 0..=STREAM.len() {
                let (passed, point) = pass(Cut::at_byte(byte), chunk);
                assert_eq!((passed.len(), point), (byte, Some(CutPoint::Byte(byte))));
            }
            assert_eq!(pass(Cut::at_byte(STREAM.len() + 1), chunk), (String::new(), None));
            let inside = CutPoint::Inside { nth: 1, id: Some("1".into()), arrived: 4, of: 15 };
            assert_eq!(pass(Cut::inside_event(1), chunk), ("retry: 1\n\nid: ".into(), Some(inside)));
            let inside = CutPoint::Inside { nth: 2, id: None, arrived: 3, of: 9 };
            assert_eq!(pass(Cut::inside_event(2), chunk).1, Some(inside));
            let after = CutPoint::After { nth: 1, id: Some("1".into()) };
            assert_eq!(pass(Cut::after_event(1), chunk), ("retry: 1\n\nid: 1\ndata: a\n\n".into(), Some(after)));
            assert_eq!(pass(Cut::after_event(3), chunk), (String::new(), None));
        }
    }
}
