//! Renders entries as the lines of a transcript, without the client's name.

use crate::entry::{CutPoint, Event, Happening, Peer};
use crate::text::{body, bytes, duration, hex, is_json, is_structured, one_line, quoted};
use crate::transcript::labels::Labels;

/// The delay in milliseconds before a browser reconnects, unless the server sends another.
const DEFAULT_RETRY: u64 = 3000;

/// The level of detail of a transcript.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    Plain,
    /// The exact bytes, and everything that a page never receives.
    Wire,
}

/// Returns the line of a happening, or `None` when this view does not show it.
pub(crate) fn render(happening: &Happening, view: View, labels: &mut Labels<'_>) -> Option<String> {
    match view {
        View::Plain => plain(happening, labels),
        View::Wire => wire(happening, labels),
    }
}

fn plain(happening: &Happening, labels: &mut Labels<'_>) -> Option<String> {
    let line = match happening {
        Happening::Request { method, target, http2, upgrade, last_event_id, .. } => {
            let mut line = format!("> {method} {}", one_line(&labels.text(target)));
            if *http2 {
                line += " http/2";
            }
            if *upgrade {
                line += " upgrade websocket";
            }
            if let Some(id) = last_event_id {
                line = append(line, "last-event-id");
                line = append(line, &labels.id(id));
            }
            line
        }
        Happening::Refused => "~ refused".into(),
        Happening::Open { status, media, retry } => match retry.filter(|retry| *retry != DEFAULT_RETRY) {
            Some(retry) => format!("~ open {status} {media}, retry {}", milliseconds(retry)),
            None => format!("~ open {status} {media}"),
        },
        Happening::Upgraded { protocol: None } => "~ open 101".into(),
        Happening::Upgraded { protocol: Some(protocol) } => format!("~ open 101, protocol {}", one_line(protocol)),
        Happening::Redirect { status, target } => format!("~ answer {status} to {}", one_line(&labels.text(target))),
        Happening::Response { status, body } => append(format!("~ answer {status}"), &response_body(body, labels)),
        Happening::Event(event) => event_line(event, labels),
        Happening::Retry(retry) => format!("< retry {}", milliseconds(*retry)),
        Happening::Comment { text, opening: false } => append("< :".into(), &one_line(&labels.text(text))),
        Happening::Text(text) => format!("< {}", message(text, labels)),
        Happening::Binary(payload) => append("< binary".into(), &hex(payload)),
        Happening::Ping => "< ping".into(),
        Happening::SentText(text) => format!("> {}", message(text, labels)),
        Happening::SentAsk { number, data, .. } => format!("> ask {number} {}", one_line(&labels.data(data))),
        Happening::SentBinary(payload) => append("> binary".into(), &hex(payload)),
        Happening::SentPing(_) => "> ping".into(),
        Happening::SentRaw(raw) => append("> raw".into(), &hex(raw)),
        Happening::Action(action) => format!("! {action}"),
        Happening::Cut(point) => cut_line(point, labels),
        Happening::End => "~ end".into(),
        Happening::Abort => "~ abort".into(),
        Happening::Close { code, reason, by } => close_line(*code, &one_line(&labels.text(reason)), *by),
        Happening::Violation(violation) => format!("! {violation}"),
        Happening::Panic(message) => format!("! panicked: {}", one_line(&labels.text(message))),
        Happening::Header { .. }
        | Happening::Position(_)
        | Happening::Comment { opening: true, .. }
        | Happening::Block(_)
        | Happening::Frame { .. }
        | Happening::Reply { .. } => return None,
    };
    Some(line)
}

/// The exact bytes instead of the values that were read from them.
fn wire(happening: &Happening, labels: &mut Labels<'_>) -> Option<String> {
    let line = match happening {
        Happening::Event(_)
        | Happening::Position(_)
        | Happening::Retry(_)
        | Happening::Comment { .. }
        | Happening::Text(_)
        | Happening::Binary(_)
        | Happening::Ping => return None,
        Happening::Open { status, media, .. } => format!("~ open {status} {media}"),
        Happening::Request { body, .. } => append(plain(happening, labels)?, &labels.text(&bytes(body))),
        Happening::Header { name, value } => append(format!("~ {name}:"), &labels.text(&bytes(value))),
        Happening::Block(block) => format!("< {}", labels.block(block)),
        Happening::Frame { kind, payload, last } => {
            let more = if *last { "" } else { " (more to come)" };
            append(format!("< {kind}{more}"), &payload_of(kind, payload, labels))
        }
        Happening::Reply { kind, payload } => append(format!("> {kind}"), &payload_of(kind, payload, labels)),
        Happening::SentPing(payload) => append("> ping".into(), &bytes(payload)),
        Happening::SentAsk { text, .. } => format!("> {}", message(text, labels)),
        _ => return plain(happening, labels),
    };
    Some(line)
}

fn event_line(event: &Event, labels: &mut Labels<'_>) -> String {
    let mut line = format!("< {}", one_line(&event.name));
    if let Some(id) = &event.id {
        line = append(line, &labels.id(id));
    }
    if let (Some(at), Some(key)) = (&event.at, &event.key) {
        line = append(line, &format!("at {} of {}", labels.id(at), one_line(&labels.data(key))));
    }
    if let Some(ask) = event.ask {
        line = append(line, &ask.to_string());
    }
    append(line, &one_line(&labels.data(&event.data)))
}

fn cut_line(point: &CutPoint, labels: &mut Labels<'_>) -> String {
    let mut event = |nth: &usize, id: &Option<String>| id.as_ref().map_or(nth.to_string(), |id| labels.id(id));
    match point {
        CutPoint::Now => "! cut".into(),
        CutPoint::Byte(byte) => format!("! cut at byte {byte}"),
        CutPoint::After { nth, id } => format!("! cut after event {}", event(nth, id)),
        CutPoint::Inside { nth, id, arrived, of } => {
            format!("! cut inside event {} ({arrived} of {of} bytes arrived)", event(nth, id))
        }
    }
}

fn close_line(code: Option<u16>, reason: &str, by: Peer) -> String {
    let code = code.map_or(String::new(), |code| format!(" {code}"));
    let by = match by {
        Peer::Client => "client",
        Peer::Server => "server",
    };
    append(format!("~ close{code} ({by})"), reason)
}

fn payload_of(kind: &str, payload: &[u8], labels: &mut Labels<'_>) -> String {
    match (kind, payload.split_first_chunk::<2>()) {
        ("close", Some((code, reason))) => append(u16::from_be_bytes(*code).to_string(), &bytes(reason)),
        ("text", _) => labels.frame(&bytes(payload)),
        ("binary", _) => hex(payload),
        _ => bytes(payload),
    }
}

/// A WebSocket text message: JSON as it is, any other text in quotes.
fn message(text: &str, labels: &mut Labels<'_>) -> String {
    if is_json(text) { one_line(&labels.data(text)) } else { quoted(&labels.text(text)) }
}

fn response_body(bytes: &[u8], labels: &mut Labels<'_>) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if is_structured(text) => body(labels.data(text).as_bytes()),
        _ => labels.text(&body(bytes)),
    }
}

/// Appends a text after a blank, unless the text is empty.
fn append(line: String, text: &str) -> String {
    if text.is_empty() { line } else { format!("{line} {text}") }
}

fn milliseconds(retry: u64) -> String {
    duration(std::time::Duration::from_millis(retry))
}
