//! What a transcript says of each thing that can happen: the grammar of a line, behind the client's name.

use crate::entry::{Event, Severed, Side, What};
use crate::text::{answer, bytes, duration, hex, is_structured, one_line, quoted};
use crate::transcript::View;
use crate::transcript::labels::Labels;

/// What a browser waits before it reconnects when nothing else was said.
const DEFAULT_RETRY: u64 = 3000;

/// The sentence of one happening, `None` when this view does not show it.
pub(crate) fn of(what: &What, view: View, labels: &mut Labels<'_>) -> Option<String> {
    match view {
        View::Plain => plain(what, labels),
        View::Wire => wire(what, labels),
    }
}

fn plain(what: &What, labels: &mut Labels<'_>) -> Option<String> {
    let said = match what {
        What::Request { method, target, http2, upgrade, last_event_id, .. } => {
            let mut said = format!("> {method} {}", one_line(&labels.text(target)));
            if *http2 {
                said += " http/2";
            }
            if *upgrade {
                said += " upgrade websocket";
            }
            if let Some(id) = last_event_id {
                said = with_text(said, "last-event-id");
                said = with_text(said, &labels.id(id));
            }
            said
        }
        What::Refused => "~ refused".into(),
        What::Open { status, media, retry } => match retry.filter(|retry| *retry != DEFAULT_RETRY) {
            Some(retry) => format!("~ open {status} {media}, retry {}", milliseconds(retry)),
            None => format!("~ open {status} {media}"),
        },
        What::Upgraded { protocol: None } => "~ open 101".into(),
        What::Upgraded { protocol: Some(protocol) } => format!("~ open 101, protocol {}", one_line(protocol)),
        What::Moved { status, target } => format!("~ answer {status} to {}", one_line(&labels.text(target))),
        What::Answer { status, body } => with_text(format!("~ answer {status}"), &answered(body, labels)),
        What::Event(event) => spoken(event, labels),
        What::Retry(retry) => format!("< retry {}", milliseconds(*retry)),
        What::Comment { text, opening: false } => with_text("< :".into(), &one_line(&labels.text(text))),
        What::Text(text) => format!("< {}", message(text, labels)),
        What::Binary(payload) => with_text("< binary".into(), &hex(payload)),
        What::Ping => "< ping".into(),
        What::SentText(text) => format!("> {}", message(text, labels)),
        What::SentBinary(payload) => with_text("> binary".into(), &hex(payload)),
        What::SentPing(_) => "> ping".into(),
        What::SentRaw(raw) => with_text("> raw".into(), &hex(raw)),
        What::Deed(deed) => format!("! {deed}"),
        What::Cut(severed) => cut(severed, labels),
        What::End => "~ end".into(),
        What::Abort => "~ abort".into(),
        What::Close { code, reason, by } => closed(*code, &one_line(&labels.text(reason)), *by),
        What::Violation(violation) => format!("! {violation}"),
        What::Panic(message) => format!("! panicked: {}", one_line(&labels.text(message))),
        What::Header { .. }
        | What::Position(_)
        | What::Comment { opening: true, .. }
        | What::Block(_)
        | What::Frame { .. }
        | What::Reply { .. } => return None,
    };
    Some(said)
}

/// The exact bytes in place of what was read from them.
fn wire(what: &What, labels: &mut Labels<'_>) -> Option<String> {
    let said = match what {
        What::Event(_)
        | What::Position(_)
        | What::Retry(_)
        | What::Comment { .. }
        | What::Text(_)
        | What::Binary(_)
        | What::Ping => return None,
        What::Open { status, media, .. } => format!("~ open {status} {media}"),
        What::Request { body, .. } => with_text(plain(what, labels)?, &labels.text(&bytes(body))),
        What::Header { name, value } => with_text(format!("~ {name}:"), &labels.text(&bytes(value))),
        What::Block(block) => format!("< {}", labels.block(block)),
        What::Frame { kind, payload, last } => {
            let more = if *last { "" } else { " (more to come)" };
            with_text(format!("< {kind}{more}"), &payload_of(kind, payload, labels))
        }
        What::Reply { kind, payload } => with_text(format!("> {kind}"), &payload_of(kind, payload, labels)),
        What::SentPing(payload) => with_text("> ping".into(), &bytes(payload)),
        _ => return plain(what, labels),
    };
    Some(said)
}

fn spoken(event: &Event, labels: &mut Labels<'_>) -> String {
    let mut said = format!("< {}", one_line(&event.name));
    if let Some(id) = &event.id {
        said = with_text(said, &labels.id(id));
    }
    with_text(said, &one_line(&labels.data(&event.data)))
}

fn cut(severed: &Severed, labels: &mut Labels<'_>) -> String {
    let mut event = |nth: &usize, id: &Option<String>| id.as_ref().map_or(nth.to_string(), |id| labels.id(id));
    match severed {
        Severed::Now => "! cut".into(),
        Severed::Byte(byte) => format!("! cut at byte {byte}"),
        Severed::After { nth, id } => format!("! cut after event {}", event(nth, id)),
        Severed::Inside { nth, id, arrived, of } => {
            format!("! cut inside event {} ({arrived} of {of} bytes arrived)", event(nth, id))
        }
    }
}

fn closed(code: Option<u16>, reason: &str, by: Side) -> String {
    let code = code.map_or(String::new(), |code| format!(" {code}"));
    let by = match by {
        Side::Client => "client",
        Side::Server => "server",
    };
    with_text(format!("~ close{code} ({by})"), reason)
}

fn payload_of(kind: &str, payload: &[u8], labels: &mut Labels<'_>) -> String {
    match (kind, payload.split_first_chunk::<2>()) {
        ("close", Some((code, reason))) => with_text(u16::from_be_bytes(*code).to_string(), &bytes(reason)),
        ("text", _) => labels.frame(&bytes(payload)),
        ("binary", _) => hex(payload),
        _ => bytes(payload),
    }
}

/// A WebSocket's text: JSON objects and lists as they are, anything else in quotes.
fn message(text: &str, labels: &mut Labels<'_>) -> String {
    if is_structured(text) { one_line(&labels.data(text)) } else { quoted(&labels.text(text)) }
}

fn answered(body: &[u8], labels: &mut Labels<'_>) -> String {
    match std::str::from_utf8(body) {
        Ok(text) if is_structured(text) => answer(labels.data(text).as_bytes()),
        _ => labels.text(&answer(body)),
    }
}

fn with_text(said: String, text: &str) -> String {
    if text.is_empty() { said } else { format!("{said} {text}") }
}

fn milliseconds(retry: u64) -> String {
    duration(std::time::Duration::from_millis(retry))
}
