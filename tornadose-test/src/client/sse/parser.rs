//! The event stream format of the WHATWG HTML standard, section 9.2.6, read in pieces of any size.

use std::mem::take;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// What the bytes of a stream say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// An event: `id` is the field of its own block; `last_event_id` is what a page would see.
    Event {
        name: Option<String>,
        id: Option<String>,
        last_event_id: String,
        data: String,
    },
    /// A block that carried an id and no event.
    Position(String),
    Retry(u64),
    Comment(String),
    /// The bytes of a block, its blank line included.
    Block(Vec<u8>),
}

#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// The line that has begun, without its end.
    line: Vec<u8>,
    /// The bytes since the last blank line.
    block: Vec<u8>,
    /// A CR has ended a line: an LF right behind it belongs to it.
    after_cr: bool,
    /// The first line has been seen: only before it may a BOM stand.
    begun: bool,
    data: Option<String>,
    name: String,
    /// The `id` field of this block.
    id: Option<String>,
    last_event_id: String,
}

impl Parser {
    /// A parser whose stream continues after this id.
    pub(crate) fn after(last_event_id: &str) -> Self {
        Self { last_event_id: last_event_id.to_owned(), ..Self::default() }
    }

    /// Reads the next bytes, and tells what they complete.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<Heard> {
        let mut heard = Vec::new();
        for (at, &byte) in bytes.iter().enumerate() {
            self.block.push(byte);
            let after_cr = take(&mut self.after_cr);
            match byte {
                b'\n' if after_cr => self.close_block_after_crlf(&mut heard),
                b'\n' => self.end_line(true, &mut heard),
                b'\r' => {
                    self.after_cr = true;
                    // The LF of a CRLF that is here already stays in its own block.
                    self.end_line(bytes.get(at + 1) != Some(&b'\n'), &mut heard);
                }
                byte => self.line.push(byte),
            }
        }
        heard
    }

    /// The bytes behind the last blank line, at the end of the stream: an event that they began is never heard.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        take(&mut self.block)
    }

    fn end_line(&mut self, whole: bool, heard: &mut Vec<Heard>) {
        let line = take(&mut self.line);
        let line = if take(&mut self.begun) { &line[..] } else { line.strip_prefix(BOM).unwrap_or(&line) };
        self.begun = true;
        if line.is_empty() {
            self.dispatch(heard);
            if whole {
                heard.push(Heard::Block(take(&mut self.block)));
            }
            return;
        }
        let line = String::from_utf8_lossy(line);
        match line.split_once(':') {
            Some(("", comment)) => heard.push(Heard::Comment(comment.strip_prefix(' ').unwrap_or(comment).to_owned())),
            Some((field, value)) => self.field(field, value.strip_prefix(' ').unwrap_or(value), heard),
            None => self.field(&line, "", heard),
        }
    }

    fn field(&mut self, field: &str, value: &str, heard: &mut Vec<Heard>) {
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
                heard.push(Heard::Retry(value.parse().unwrap_or(u64::MAX)));
            }
            _ => {}
        }
    }

    /// A blank line: an event is out if there is data, and the id holds in any case.
    fn dispatch(&mut self, heard: &mut Vec<Heard>) {
        let (name, id, data) = (take(&mut self.name), self.id.take(), self.data.take());
        if let Some(id) = &id {
            id.clone_into(&mut self.last_event_id);
        }
        match (data, id) {
            (Some(data), id) => {
                let name = Some(name).filter(|name| !name.is_empty());
                heard.push(Heard::Event { name, id, last_event_id: self.last_event_id.clone(), data });
            }
            (None, Some(id)) => heard.push(Heard::Position(id)),
            (None, None) => {}
        }
    }

    /// The LF of a CRLF: when the CR was a blank line, its block ends here.
    fn close_block_after_crlf(&mut self, heard: &mut Vec<Heard>) {
        if matches!(&self.block[..], [.., b'\n' | b'\r', b'\r', b'\n'] | b"\r\n") {
            heard.push(Heard::Block(take(&mut self.block)));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde::Deserialize;

    use super::{Heard, Parser};

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
    struct Outcome {
        events: Vec<Expected>,
        offsets: Vec<usize>,
        comments: Vec<String>,
        retry: Option<u64>,
        last_event_id: String,
        bytes: Vec<u8>,
    }

    /// Reads the bytes in chunks that end at these borders.
    fn read(bytes: &[u8], borders: &[usize], last_event_id: &str) -> Outcome {
        let mut parser = Parser::after(last_event_id);
        let mut outcome = Outcome::default();
        let mut start = 0;
        for &end in borders.iter().chain([&bytes.len()]) {
            for heard in parser.feed(&bytes[start..end]) {
                match heard {
                    Heard::Event { name, last_event_id, data, .. } => {
                        let event = name.unwrap_or_else(|| "message".into());
                        outcome.events.push(Expected { event, data, id: last_event_id });
                        outcome.offsets.push(end);
                    }
                    Heard::Comment(comment) => outcome.comments.push(comment),
                    Heard::Retry(retry) => outcome.retry = Some(retry),
                    Heard::Block(block) => outcome.bytes.extend(block),
                    Heard::Position(_) => {}
                }
            }
            start = end;
        }
        outcome.last_event_id.clone_from(&parser.last_event_id);
        outcome.bytes.extend(parser.rest());
        outcome
    }

    fn check(row: &Row, bytes: &[u8], borders: &[usize]) -> Outcome {
        let outcome = read(bytes, borders, &row.initial_last_event_id);
        let name = format!("{} split at {borders:?}", row.name);
        assert_eq!(outcome.events, row.expect, "{name}");
        assert_eq!(outcome.last_event_id, row.final_last_event_id, "{name}");
        assert_eq!(outcome.bytes, bytes, "{name}: the wire view loses nothing");
        if row.level == "must" {
            assert_eq!(outcome.retry, row.final_retry, "{name}");
        }
        if let Some(comments) = &row.comments {
            assert_eq!(&outcome.comments, comments, "{name}");
        }
        outcome
    }

    #[test]
    fn every_row_of_the_cases_holds_at_any_chunking() {
        let rows = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/sse.json");
        let rows: Vec<Row> = serde_json::from_str(&std::fs::read_to_string(rows).unwrap()).unwrap();
        assert!(rows.len() > 90, "the table is there");
        for row in &rows {
            let hex = row.input_hex.as_bytes().chunks(2);
            let bytes: Vec<u8> =
                hex.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect();
            check(row, &bytes, &[]);
            check(row, &bytes, &row.splits.iter().copied().filter(|at| *at <= bytes.len()).collect::<Vec<_>>());
            let single: Vec<usize> = (1..bytes.len()).collect();
            let outcome = check(row, &bytes, &single);
            assert_eq!(outcome.offsets, row.dispatch_offsets, "{}: each event is out with its last byte", row.name);
            for border in 1..bytes.len() {
                check(row, &bytes, &[border]);
            }
        }
    }

    #[test]
    fn a_block_is_its_bytes_up_to_the_blank_line() {
        let blocks = |bytes: &[u8]| {
            let heard = Parser::default().feed(bytes).into_iter();
            heard
                .filter_map(|heard| match heard {
                    Heard::Block(block) => Some(String::from_utf8(block).unwrap()),
                    _ => None,
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(blocks(b"data: a\r\n\r\ndata: b\r\n\r\n"), ["data: a\r\n\r\n", "data: b\r\n\r\n"]);
        assert_eq!(blocks(b"data: a\r\r: b\r\r"), ["data: a\r\r", ": b\r\r"]);
        assert_eq!(blocks(b"retry: 1\n: x\n\nid: 1\n\n"), ["retry: 1\n: x\n\n", "id: 1\n\n"]);
    }
}
