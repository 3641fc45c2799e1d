//! Server-Sent Events as a server writes them. A block is written whole or not at all.
//!
//! Comments and `retry` are lines without a blank line, so they belong to the block that follows. Some clients
//! dispatch a block without data as an empty event.

use std::time::Duration;

use bytes::{BufMut, BytesMut};

use crate::event::Event;
use crate::id::{Id, IdText};

/// Returns roughly how many bytes an event takes.
pub(crate) fn length(event: &Event) -> usize {
    event.data().len() + event.name().map_or(0, str::len) + 64
}

/// Writes an event: `id` if it has one, `event`, `data`, and the blank line that dispatches it.
pub(crate) fn event(bytes: &mut BytesMut, id: Option<&IdText<'_>>, event: &Event) {
    if let Some(id) = id {
        field(bytes, "id", id.as_str());
    }
    if let Some(name) = event.name() {
        field(bytes, "event", name);
    }
    // WHATWG HTML §9.2.6: a client joins `data` lines with line feeds, so each line of the data is a field of its
    // own.
    for line in lines(event.data()) {
        field(bytes, "data", line);
    }
    bytes.put_u8(b'\n');
}

/// Returns the same event without its id.
pub(crate) fn without_id(event: &[u8]) -> &[u8] {
    let end = event.iter().position(|&byte| byte == b'\n').map_or(event.len(), |end| end + 1);
    &event[end..]
}

/// Writes a position frame: it moves the client's position and dispatches nothing.
// WHATWG HTML §9.2.6: a block with an empty data buffer sets the last event id and dispatches no event.
pub(crate) fn position(bytes: &mut BytesMut, id: Id) {
    field(bytes, "id", IdText::from(id).as_str());
    bytes.put_u8(b'\n');
}

/// Writes an event of the library, whose name no message can have. Without an id it moves no position.
pub(crate) fn notice(bytes: &mut BytesMut, id: Option<Id>, name: &str, json: &str) {
    if let Some(id) = id {
        field(bytes, "id", IdText::from(id).as_str());
    }
    field(bytes, "event", name);
    field(bytes, "data", json);
    bytes.put_u8(b'\n');
}

/// Writes the reconnection delay, in whole milliseconds. A client applies it at the end of the line.
pub(crate) fn retry(bytes: &mut BytesMut, after: Duration) {
    // WHATWG HTML §9.2.6: `retry` takes ASCII digits alone.
    field(bytes, "retry", &after.as_millis().to_string());
}

/// Writes the first lines of a stream.
pub(crate) fn prologue(bytes: &mut BytesMut, after: Duration) {
    retry(bytes, after);
    comment(bytes, "tornadose");
}

/// Writes a comment, which no client dispatches. It keeps the connection open.
// WHATWG HTML §9.2.6: a line that starts with a colon is ignored.
pub(crate) fn comment(bytes: &mut BytesMut, text: &str) {
    for line in lines(text) {
        field(bytes, "", line);
    }
}

fn field(bytes: &mut BytesMut, name: &str, value: &str) {
    bytes.put_slice(name.as_bytes());
    // WHATWG HTML §9.2.6: a client strips one space after the colon, so a value's own leading space survives.
    bytes.put_slice(b": ");
    bytes.put_slice(value.as_bytes());
    bytes.put_u8(b'\n');
}

/// Splits at CRLF, CR and LF. The text after the last line end is a line too.
// WHATWG HTML §9.2.5: these three end a line.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = memchr::memchr2(b'\r', b'\n', text.as_bytes()) else { return rest.take() };
        let width = if text[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = Some(&text[end + width..]);
        Some(&text[..end])
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use salvo::{Depot, FlowCtrl, Request, Response, Router, async_trait};
    use serde_json::Value;
    use tornadose_test::Harness;

    use super::*;
    use crate::event::name::EventName;

    fn encode_event(id: &IdText<'_>, written: &Event) -> Bytes {
        let mut bytes = BytesMut::new();
        event(&mut bytes, Some(id), written);
        bytes.freeze()
    }

    /// Encodes the fields of a row. The error says why they are refused.
    fn encode(fields: &Value) -> Result<Bytes, String> {
        let mut bytes = BytesMut::new();
        if let Some(text) = fields["comment"].as_str() {
            comment(&mut bytes, text);
        }
        let micros = fields["retry_ms"].as_u64().map(|millis| millis * 1000).or(fields["retry_us"].as_u64());
        if let Some(micros) = micros {
            retry(&mut bytes, Duration::from_micros(micros));
        }
        let name = fields["event"].as_str().map(EventName::try_from).transpose();
        let name = name.map_err(|error| error.to_string())?;
        let id = fields["id"].as_str().map(IdText::try_from).transpose().map_err(str::to_owned)?;
        // An event always has data, if only an empty line: without it a client never sees the name.
        if let Some(data) = fields["data"].as_str().or(name.as_ref().map(|_| "")) {
            let plain = Event::text(data);
            let named = name.into_iter().fold(plain, Event::with_name);
            match id {
                Some(id) => event(&mut bytes, Some(&id), &named),
                None => bytes.put_slice(without_id(&encode_event(&IdText::try_from("1").unwrap(), &named))),
            }
        }
        Ok(bytes.freeze())
    }

    struct Serves(Bytes);

    #[async_trait]
    impl salvo::Handler for Serves {
        async fn handle(&self, _: &mut Request, _: &mut Depot, res: &mut Response, _: &mut FlowCtrl) {
            res.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
            res.body(self.0.clone());
        }
    }

    /// Compares the bytes with what the fake client reads, which shares no code with this module.
    async fn check(name: &str, bytes: Bytes, expected: &Value) {
        // Miri sees the row encoded. A whole server would take an hour.
        if cfg!(miri) {
            return;
        }
        // A first event goes ahead, because comments of the first frame are not shown.
        let bytes = [b"data: first\n\n".as_slice(), &bytes].concat().into();
        let app = Harness::new(Router::with_path("feed").get(Serves(bytes)));
        let feed = app.sse("/feed").await;
        feed.skip(1).await;
        for event in expected["events"].as_array().unwrap() {
            let got = feed.next_event().await;
            assert_eq!(event["event"], *got.name, "{name}");
            assert_eq!(event["data"], *got.data, "{name}");
            assert_eq!(event["id"], *feed.last_event_id().unwrap_or_default(), "{name}");
        }
        feed.closed().await;
        let transcript = feed.recording().to_string();
        let comments: Vec<&str> = transcript.lines().filter_map(|line| line.strip_prefix("feed < :")).collect();
        let expected_comments = expected["comments"].as_array().unwrap();
        assert_eq!(comments.len(), expected_comments.len(), "{name}: {transcript}");
        for (comment, expected) in comments.iter().zip(expected_comments) {
            assert_eq!(*expected, *comment.trim(), "{name}");
        }
        let retry =
            expected["retry"].as_u64().map(|millis| format!("retry {}s", Duration::from_millis(millis).as_secs_f64()));
        let retry_in_millis = expected["retry"].as_u64().map(|millis| format!("retry {millis}ms"));
        let retries = [retry, retry_in_millis].into_iter().flatten().any(|retry| transcript.contains(&retry));
        assert!(retries || expected["retry"].is_null(), "{name}: {transcript}");
    }

    #[tornadose_test::test]
    async fn every_row_of_the_table_holds() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/sse_encode.json");
        let rows: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for row in &rows {
            let name = row["name"].as_str().unwrap();
            match (row["outcome"].as_str().unwrap(), encode(&row["fields"])) {
                ("encode", Ok(bytes)) => check(name, bytes, &row["decodes_to"]).await,
                ("reject", Ok(bytes)) if row["also_allowed"].is_object() => {
                    let mut allowed = row["also_allowed"].clone();
                    allowed["comments"] = Value::Array(Vec::new());
                    check(name, bytes, &allowed).await;
                }
                ("reject", outcome) => assert!(outcome.is_err(), "{name}: {outcome:?}"),
                // The next two tests show it.
                ("property", _) => {}
                (outcome, encoded) => panic!("{name}: {outcome}, {encoded:?}"),
            }
        }
        assert!(rows.len() > 30);
    }

    #[test]
    fn one_event_is_one_block() {
        for data in ["", "a", "a\nb", "\n\n", "a\r\n\rb\r", "\u{feff}\0:x\ndata: y\n\nevent: z"] {
            let bytes = encode_event(&IdText::try_from("1").unwrap(), &Event::text(data));
            let text = std::str::from_utf8(&bytes).unwrap();
            assert!(text.ends_with("\n\n") && !text.contains('\r'), "{text:?}");
            assert_eq!(text.find("\n\n"), Some(text.len() - 2), "{text:?}");
            assert!(text.lines().all(|line| line.is_empty() || line.starts_with("id: ") || line.starts_with("data: ")));
        }
    }

    #[tornadose_test::test]
    #[cfg_attr(miri, ignore = "takes an hour when interpreted")]
    async fn any_sequence_of_events_reads_as_it_was_written() {
        let pieces = ["", "a", "\n", "\r", "\r\n", ": ", "data: x", "\n\n", "é", "\0", "id: 9"];
        let texts: Vec<String> =
            pieces.iter().flat_map(|one| pieces.map(|other| format!("{one}{other}{one}"))).collect();
        let bytes: Vec<u8> =
            texts.iter().flat_map(|text| encode_event(&IdText::try_from("1").unwrap(), &Event::text(text))).collect();
        let app = Harness::new(Router::with_path("feed").get(Serves(bytes.into())));
        let feed = app.client("feed").buffer_size(16).sse("/feed").await;
        for text in texts {
            let read = text.replace("\r\n", "\n").replace('\r', "\n");
            assert_eq!(feed.next_event().await.data, read, "{text:?}");
        }
        feed.closed().await;
    }
}
