//! Parses the event stream format of the WHATWG HTML standard, section 9.2.6, from chunks of any size.

use std::mem::take;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// An item of an event stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SseItem {
    /// An event: `id` is the field of its own block, and `last_event_id` is the value that a page would see.
    Event {
        name: Option<String>,
        id: Option<String>,
        last_event_id: String,
        data: String,
    },
    /// A block with an id and no event.
    Position(String),
    Retry(u64),
    Comment(String),
    /// The bytes of a block, including its blank line. Comments and `retry` before the first field of a block are
    /// pieces of their own: a client reacts to them before the block ends.
    Block(Vec<u8>),
}

/// The byte before the present one.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum LastByte {
    #[default]
    Other,
    /// A CR has ended a line: an LF directly after it belongs to it.
    Cr,
    /// The same, and a piece ends with that LF.
    CrOfPiece,
}

#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// The incomplete line.
    line: Vec<u8>,
    /// The bytes since the last piece.
    block: Vec<u8>,
    /// Whether a field of the present block has arrived.
    has_field: bool,
    last_byte: LastByte,
    /// Whether the first line has ended: only that line may begin with a BOM.
    past_first_line: bool,
    data: Option<String>,
    name: String,
    /// The `id` field of this block.
    id: Option<String>,
    last_event_id: String,
}

impl Parser {
    /// Makes a parser for a stream that resumes after this id.
    pub(crate) fn resuming_after(last_event_id: &str) -> Self {
        Self { last_event_id: last_event_id.to_owned(), ..Self::default() }
    }

    /// Reads the next bytes, and returns the items that they complete.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<SseItem> {
        let mut items = Vec::new();
        for (at, &byte) in bytes.iter().enumerate() {
            self.block.push(byte);
            let last_byte = take(&mut self.last_byte);
            match byte {
                b'\n' if last_byte == LastByte::CrOfPiece => self.end_piece(&mut items),
                b'\n' if last_byte == LastByte::Cr => {}
                b'\n' => {
                    if self.end_line(&mut items) {
                        self.end_piece(&mut items);
                    }
                }
                b'\r' => {
                    let ends_piece = self.end_line(&mut items);
                    self.last_byte = LastByte::Cr;
                    // If the LF of a CRLF is in this chunk, it belongs to the same piece.
                    if ends_piece && bytes.get(at + 1) == Some(&b'\n') {
                        self.last_byte = LastByte::CrOfPiece;
                    } else if ends_piece {
                        self.end_piece(&mut items);
                    }
                }
                byte => self.line.push(byte),
            }
        }
        items
    }

    /// Takes the bytes after the last piece at the end of the stream. An incomplete event in them is never
    /// dispatched.
    pub(crate) fn take_remainder(&mut self) -> Vec<u8> {
        take(&mut self.block)
    }

    fn end_piece(&mut self, items: &mut Vec<SseItem>) {
        items.push(SseItem::Block(take(&mut self.block)));
    }

    /// Handles a complete line. Returns whether a piece ends with it.
    fn end_line(&mut self, items: &mut Vec<SseItem>) -> bool {
        let line = take(&mut self.line);
        let line = if take(&mut self.past_first_line) { &line[..] } else { line.strip_prefix(BOM).unwrap_or(&line) };
        self.past_first_line = true;
        if line.is_empty() {
            self.dispatch(items);
            self.has_field = false;
            return true;
        }
        let line = String::from_utf8_lossy(line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        if field.is_empty() {
            items.push(SseItem::Comment(value.to_owned()));
        } else {
            self.field(field, value, items);
        }
        self.has_field |= !matches!(field, "" | "retry");
        !self.has_field
    }

    fn field(&mut self, field: &str, value: &str, items: &mut Vec<SseItem>) {
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                items.push(SseItem::Retry(value.parse().unwrap_or(u64::MAX)));
            }
            _ => {}
        }
    }

    /// Handles a blank line: dispatches an event if there is data, and keeps the id in any case.
    fn dispatch(&mut self, items: &mut Vec<SseItem>) {
        let (name, id, data) = (take(&mut self.name), self.id.take(), self.data.take());
        if let Some(id) = &id {
            id.clone_into(&mut self.last_event_id);
        }
        match (data, id) {
            (Some(data), id) => {
                let name = Some(name).filter(|name| !name.is_empty());
                items.push(SseItem::Event { name, id, last_event_id: self.last_event_id.clone(), data });
            }
            (None, Some(id)) => items.push(SseItem::Position(id)),
            (None, None) => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde::Deserialize;

    use super::{Parser, SseItem};

    /// A row of `tests/cases/sse.json`.
    #[derive(Deserialize)]
    struct Row {
        name: String,
        level: String,
        input_hex: String,
        expect: Vec<Expected>,
        final_last_event_id: String,
        final_retry: Option<u64>,
        dispatch_offsets: Vec<usize>,
        #[serde(default)]
        comments: Option<Vec<String>>,
        #[serde(default)]
        splits: Vec<usize>,
        #[serde(default)]
        initial_last_event_id: String,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Expected {
        event: String,
        data: String,
        id: String,
    }

    #[derive(Default)]
    struct Parsed {
        events: Vec<Expected>,
        offsets: Vec<usize>,
        comments: Vec<String>,
        retry: Option<u64>,
        last_event_id: String,
        bytes: Vec<u8>,
    }

    /// Parses the bytes in chunks that end at these offsets.
    fn parse(bytes: &[u8], chunk_ends: &[usize], last_event_id: &str) -> Parsed {
        let mut parser = Parser::resuming_after(last_event_id);
        let mut parsed = Parsed::default();
        let mut start = 0;
        for &end in chunk_ends.iter().chain([&bytes.len()]) {
            for item in parser.feed(&bytes[start..end]) {
                match item {
                    SseItem::Event { name, last_event_id, data, .. } => {
                        let event = name.unwrap_or_else(|| "message".into());
                        parsed.events.push(Expected { event, data, id: last_event_id });
                        parsed.offsets.push(end);
                    }
                    SseItem::Comment(comment) => parsed.comments.push(comment),
                    SseItem::Retry(retry) => parsed.retry = Some(retry),
                    SseItem::Block(block) => parsed.bytes.extend(block),
                    SseItem::Position(_) => {}
                }
            }
            start = end;
        }
        parsed.last_event_id.clone_from(&parser.last_event_id);
        parsed.bytes.extend(parser.take_remainder());
        parsed
    }

    fn check(row: &Row, bytes: &[u8], chunk_ends: &[usize]) -> Parsed {
        let parsed = parse(bytes, chunk_ends, &row.initial_last_event_id);
        let name = format!("{} split at {chunk_ends:?}", row.name);
        assert_eq!(parsed.events, row.expect, "{name}");
        assert_eq!(parsed.last_event_id, row.final_last_event_id, "{name}");
        assert_eq!(parsed.bytes, bytes, "{name}: the blocks contain every byte");
        if row.level == "must" {
            assert_eq!(parsed.retry, row.final_retry, "{name}");
        }
        if let Some(comments) = &row.comments {
            assert_eq!(&parsed.comments, comments, "{name}");
        }
        parsed
    }

    #[test]
    fn every_case_holds_for_any_chunks() {
        let rows = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/sse.json");
        let rows: Vec<Row> = serde_json::from_str(&std::fs::read_to_string(rows).unwrap()).unwrap();
        assert!(rows.len() > 90, "the table is complete");
        for row in &rows {
            let hex = row.input_hex.as_bytes().chunks(2);
            let bytes: Vec<u8> =
                hex.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect();
            check(row, &bytes, &[]);
            check(row, &bytes, &row.splits.iter().copied().filter(|at| *at <= bytes.len()).collect::<Vec<_>>());
            let single: Vec<usize> = (1..bytes.len()).collect();
            let parsed = check(row, &bytes, &single);
            assert_eq!(
                parsed.offsets, row.dispatch_offsets,
                "{}: each event is dispatched with its last byte",
                row.name
            );
            for border in 1..bytes.len() {
                check(row, &bytes, &[border]);
            }
        }
    }

    #[test]
    fn a_block_contains_its_bytes_after_leading_comments_and_up_to_the_blank_line() {
        let blocks = |bytes: &[u8]| {
            let items = Parser::default().feed(bytes).into_iter();
            items
                .filter_map(|item| match item {
                    SseItem::Block(block) => Some(String::from_utf8(block).unwrap()),
                    _ => None,
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(blocks(b"data: a\r\n\r\ndata: b\r\n\r\n"), ["data: a\r\n\r\n", "data: b\r\n\r\n"]);
        assert_eq!(blocks(b"data: a\r\r: b\r\r"), ["data: a\r\r", ": b\r", "\r"]);
        assert_eq!(blocks(b": a\r\ndata: b\r\n: c\r\n\r\n"), [": a\r\n", "data: b\r\n: c\r\n\r\n"]);
        assert_eq!(blocks(b"retry: 1\n: x\n\nid: 1\n\n"), ["retry: 1\n", ": x\n", "\n", "id: 1\n\n"]);
    }
}
