//! A client that is cut at any byte and resumes.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use serde_json::Value;

use super::history::{History, summary};
use super::passes_filter;

#[derive(Clone, Debug)]
pub(crate) struct ReadOptions {
    pub(crate) websocket: bool,
    /// All rooms if empty.
    pub(crate) rooms: Vec<u8>,
    pub(crate) filtered: bool,
    pub(crate) replay: usize,
}

/// A gap, until the next id says where it ends.
struct Gap {
    missed: Option<u64>,
}

/// A client that parses the bytes it receives as the standards say, and checks them against the history.
pub(crate) struct Client {
    pub(crate) options: ReadOptions,
    /// The newest id.
    position: Option<(String, u64)>,
    /// The notes up to `position`.
    pub(crate) confirmed: BTreeSet<u64>,
    /// The notes that came later, without an id.
    unconfirmed: BTreeSet<u64>,
    /// The newest note of this connection.
    last: u64,
    gap: Option<Gap>,
    pub(crate) gaps: u64,
    pub(crate) connections: u64,
    bytes: Vec<u8>,
    chunk_left: usize,
    /// The text of a stream without its HTTP chunks.
    text: String,
    has_head: bool,
}

impl Client {
    pub(crate) fn new(options: &ReadOptions) -> Self {
        Self {
            options: options.clone(),
            position: None,
            confirmed: BTreeSet::new(),
            unconfirmed: BTreeSet::new(),
            last: 0,
            gap: None,
            gaps: 0,
            connections: 0,
            bytes: Vec::new(),
            chunk_left: 0,
            text: String::new(),
            has_head: false,
        }
    }

    /// Returns the request of a new connection. An incomplete event and the unconfirmed notes are forgotten.
    pub(crate) fn request(&mut self) -> String {
        self.connections += 1;
        self.unconfirmed.clear();
        self.gap = None;
        self.bytes.clear();
        self.chunk_left = 0;
        self.text.clear();
        self.has_head = false;
        self.last = self.offset();
        let ReadOptions { websocket, rooms, filtered, replay } = &self.options;
        let rooms: Vec<String> = rooms.iter().map(u8::to_string).collect();
        let mut path = format!("/{replay}?rooms={}{}", rooms.join(","), if *filtered { "&filtered" } else { "" });
        let mut headers = String::from("host: x\r\n");
        if *websocket {
            headers += "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
        }
        if let Some((id, _)) = &self.position {
            // In turns as an `EventSource` sends it, and as a page does.
            if *websocket || self.connections.is_multiple_of(2) {
                path = format!("{path}&last_event_id={id}");
            } else {
                headers = format!("{headers}last-event-id: {id}\r\n");
            }
        }
        format!("GET {path} HTTP/1.1\r\n{headers}\r\n")
    }

    fn offset(&self) -> u64 {
        self.position.as_ref().map_or(0, |(_, offset)| *offset)
    }

    pub(crate) fn read(&mut self, history: &History, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if !self.has_head {
            let Some(end) = self.bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return };
            let head: Vec<u8> = self.bytes.drain(..end + 4).collect();
            let status: &[u8] = if self.options.websocket { b"HTTP/1.1 101" } else { b"HTTP/1.1 200" };
            assert!(head.starts_with(status), "{}", String::from_utf8_lossy(&head));
            self.has_head = true;
        }
        let bytes = std::mem::take(&mut self.bytes);
        let mut rest = &bytes[..];
        if self.options.websocket {
            while let Some((opcode, payload)) = frame(&mut rest) {
                match opcode {
                    0x81 => self.read_frame(history, payload),
                    0x88 | 0x89 => {}
                    other => panic!("frame {other:x}"),
                }
            }
        } else {
            while let Some(chunk) = chunk(&mut rest, &mut self.chunk_left) {
                self.text += std::str::from_utf8(chunk).unwrap();
            }
            self.read_events(history);
        }
        self.bytes = rest.to_vec();
    }

    /// Handles each complete event. What follows the last blank line is incomplete.
    fn read_events(&mut self, history: &History) {
        let text = std::mem::take(&mut self.text);
        let (whole, rest) = text.rsplit_once("\n\n").unwrap_or(("", &text));
        for block in whole.split("\n\n").filter(|block| !block.is_empty()) {
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            self.handle_event(history, field("id"), field("event"), field("data"));
        }
        rest.clone_into(&mut self.text);
    }

    fn read_frame(&mut self, history: &History, payload: &[u8]) {
        let value: Value = serde_json::from_slice(payload).unwrap();
        let data = value.get("data").map(Value::to_string);
        self.handle_event(history, value["id"].as_str(), value["event"].as_str(), data.as_deref());
    }

    fn handle_event(&mut self, history: &History, id: Option<&str>, name: Option<&str>, data: Option<&str>) {
        let data: Option<Value> = data.map(|data| serde_json::from_str(data).unwrap());
        match (name, data) {
            (Some("tornadose:gap"), Some(data)) => {
                assert_eq!(id, None, "a gap carries no id");
                self.handle_gap(history, &data);
            }
            (Some("said" | "topic"), Some(data)) => self.handle_message(history, data.as_u64().unwrap()),
            (None, None) => {}
            other => panic!("{other:?}"),
        }
        if let Some(id) = id {
            self.handle_id(history, id);
        }
    }

    fn handle_message(&mut self, history: &History, number: u64) {
        assert!(number > self.last, "{number} after {}", self.last);
        let submitted = history.at(number);
        assert!(
            self.options.rooms.is_empty() || self.options.rooms.contains(&submitted.room),
            "{number} is of another room"
        );
        assert!(passes_filter(self.options.filtered, number), "{number} does not pass the filter");
        assert!(!self.confirmed.contains(&number), "{number} came twice, and had its id");
        self.unconfirmed.insert(number);
        self.last = number;
    }

    fn handle_gap(&mut self, history: &History, data: &Value) {
        self.gaps += 1;
        let missed = data["missed"].as_u64();
        let seen = match data["reason"].as_str() {
            Some("trimmed") => {
                assert!(missed.is_none() && self.gap.is_none(), "{data}");
                self.offset()
            }
            Some("lagged") => {
                assert!(missed.is_some_and(|missed| missed > 0), "{data}");
                self.offset().max(self.last)
            }
            _ => panic!("{data}"),
        };
        let mut trimmed =
            self.owed(history, seen + 1..=history.head(), false).filter(|number| !history.is_kept(*number));
        assert!(
            history.kept.is_none() || trimmed.next().is_some(),
            "a gap after {seen}, where nothing was trimmed: {data}"
        );
        drop(trimmed);
        let before = self.gap.take().map_or(Some(0), |gap| gap.missed);
        // The sum of two gaps is unknown if one of them is.
        let missed = before.zip(missed).map(|(before, missed)| before + missed);
        self.gap = Some(Gap { missed });
    }

    /// Returns the queue notes of its rooms in a range of offsets: all of them, or those that pass the filter.
    fn owed<'a>(
        &'a self,
        history: &'a History,
        range: RangeInclusive<u64>,
        filtered: bool,
    ) -> impl Iterator<Item = u64> + use<'a> {
        range.filter(move |number| {
            let submitted = history.at(*number);
            let has = self.options.rooms.is_empty() || self.options.rooms.contains(&submitted.room);
            has && !submitted.latest && (!filtered || passes_filter(self.options.filtered, *number))
        })
    }

    fn missing(&self, history: &History, range: RangeInclusive<u64>) -> Vec<u64> {
        let has = |number: &u64| self.confirmed.contains(number) || self.unconfirmed.contains(number);
        self.owed(history, range, true).filter(|number| !has(number)).collect()
    }

    /// Checks that everything owed up to the id has come, or is covered by a gap.
    fn handle_id(&mut self, history: &History, id: &str) {
        let offset = id.split_once('-').unwrap().1.parse().unwrap();
        let first = self.position.is_none();
        assert!(first || offset >= self.offset(), "the position went back from {:?} to {id}", self.position);
        let missing = if first { vec![] } else { self.missing(history, self.offset() + 1..=offset) };
        match self.gap.take() {
            None => assert!(missing.is_empty(), "{} did not come, and there was no gap", summary(&missing)),
            Some(gap) => {
                let kept: Vec<u64> = missing.iter().copied().filter(|number| history.is_kept(*number)).collect();
                assert!(kept.is_empty(), "{} are kept, and did not come", summary(&kept));
                if let Some(missed) = gap.missed.filter(|_| !first && !self.options.filtered) {
                    assert_eq!(missed, missing.len() as u64, "{}", summary(&missing));
                }
            }
        }
        // `append` would iterate over both sets.
        self.confirmed.extend(std::mem::take(&mut self.unconfirmed));
        self.position = Some((id.to_owned(), offset));
    }

    /// Returns what the client has not received of all that is kept for it.
    pub(crate) fn missing_summary(&self, history: &History) -> Option<String> {
        if self.position.is_none() || self.gap.is_some() {
            return Some("a position".to_owned());
        }
        let missing = self.missing(history, self.offset() + 1..=history.head());
        if !missing.is_empty() {
            return Some(summary(&missing));
        }
        history.topics().into_iter().find_map(|(room, number)| {
            let wants = self.options.rooms.is_empty() || self.options.rooms.contains(&room);
            let has = self.confirmed.contains(&number) || self.unconfirmed.contains(&number);
            (wants && !has && passes_filter(self.options.filtered, number))
                .then(|| format!("the newest topic of {room}, {number}"))
        })
    }
}

/// Takes what has arrived of a chunk. `left` bytes of it, with its line end, have not (RFC 9112 §7.1).
fn chunk<'a>(bytes: &mut &'a [u8], left: &mut usize) -> Option<&'a [u8]> {
    if *left == 0 {
        let line = bytes.windows(2).position(|window| window == b"\r\n")?;
        *left = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).unwrap(), 16).unwrap() + 2;
        *bytes = &bytes[line + 2..];
    }
    let (part, rest) = bytes.split_at_checked(bytes.len().min(*left)).filter(|(part, _)| !part.is_empty())?;
    *bytes = rest;
    let data = part.len().min(left.saturating_sub(2));
    *left -= part.len();
    Some(&part[..data])
}

/// Takes a complete frame of a server. No frame has 64 KiB (RFC 6455 §5.2).
fn frame<'a>(bytes: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (start, length) = match bytes[..] {
        [_, length @ 0..126, ..] => (2, usize::from(length)),
        [_, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([high, low]))),
        [_, 126, ..] | [_] | [] => return None,
        _ => panic!("a frame of 64 KiB or more"),
    };
    let (frame, rest) = bytes.split_at_checked(start + length)?;
    *bytes = rest;
    Some((frame[0], &frame[start..]))
}
