//! Serializes a recording: one object for each line of the transcript, in the same order and with the same labels.

use serde::ser::{Serialize, SerializeStruct, Serializer};
use serde_json::{Map, Value, json};

use crate::entry::{Entry, Happening, Peer};
use crate::text::duration;
use crate::transcript::Recording;
use crate::transcript::labels::Labels;
use crate::transcript::render::{View, render};

impl Serialize for Recording {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut labels = self.json_labels();
        let entries: Vec<Value> = self.shown().filter_map(|entry| object(self, entry, &mut labels)).collect();
        let mut recording = serializer.serialize_struct("Recording", 1)?;
        recording.serialize_field("events", &entries)?;
        recording.end()
    }
}

fn object(recording: &Recording, entry: &Entry, labels: &mut Labels<'_>) -> Option<Value> {
    let line = render(&entry.happening, View::Plain, labels)?;
    let mut object = Map::new();
    object.insert("at".into(), duration(entry.at).into());
    object.insert("client".into(), recording.name(entry).into());
    let (kind, fields) = fields(&entry.happening, labels);
    object.insert("kind".into(), kind.into());
    match fields {
        Value::Object(fields) => object.extend(fields),
        // A happening without fields of its own is serialized as its line.
        _ => drop(object.insert("text".into(), line.into())),
    }
    Some(Value::Object(object))
}

/// The kind of a happening and its fields; `Null` when its line says everything.
fn fields(happening: &Happening, labels: &mut Labels<'_>) -> (&'static str, Value) {
    match happening {
        Happening::Request { .. } => ("request", Value::Null),
        Happening::Refused => ("refused", json!({})),
        Happening::Redirect { status, target } => ("answer", json!({"status": status, "to": labels.text(target)})),
        Happening::Open { status, media, retry } => ("open", json!({"status": status, "media": media, "retry": retry})),
        Happening::Upgraded { protocol } => ("open", json!({"status": 101, "protocol": protocol})),
        Happening::Response { status, body } => {
            ("answer", json!({"status": status, "body": data(&String::from_utf8_lossy(body), labels)}))
        }
        Happening::Event(event) => {
            let id = event.id.as_ref().map(|id| labels.id(id));
            let mut fields = json!({"event": event.name, "id": id, "data": data(&event.data, labels)});
            if let (Some(at), Some(key)) = (&event.at, &event.key) {
                fields["of"] = json!({"at": labels.id(at), "key": data(key, labels)});
            }
            if let Some(ask) = event.ask {
                fields["ask"] = ask.into();
            }
            ("event", fields)
        }
        Happening::Retry(retry) => ("retry", json!({"retry": retry})),
        Happening::Comment { text, .. } => ("comment", json!({"data": labels.text(text)})),
        Happening::Text(text) => ("text", json!({"data": data(text, labels)})),
        Happening::SentText(text) => ("sent", json!({"data": data(text, labels)})),
        Happening::SentAsk { number, data: value, .. } => ("ask", json!({"ask": number, "data": data(value, labels)})),
        Happening::Ping => ("ping", json!({})),
        Happening::End => ("end", json!({})),
        Happening::Abort => ("abort", json!({})),
        Happening::Close { code, reason, by } => {
            let by = if *by == Peer::Server { "server" } else { "client" };
            ("close", json!({"code": code, "reason": labels.text(reason), "by": by}))
        }
        Happening::Binary(_) => ("binary", Value::Null),
        Happening::SentBinary(_) | Happening::SentPing(_) | Happening::SentRaw(_) | Happening::Reply { .. } => {
            ("sent", Value::Null)
        }
        Happening::Action(_) => ("deed", Value::Null),
        Happening::Cut(_) => ("cut", Value::Null),
        Happening::Violation(_) => ("violation", Value::Null),
        Happening::Panic(_) => ("panic", Value::Null),
        Happening::Header { .. } | Happening::Position(_) | Happening::Block(_) | Happening::Frame { .. } => {
            ("wire", Value::Null)
        }
    }
}

/// JSON data as JSON, any other data as text.
fn data(text: &str, labels: &mut Labels<'_>) -> Value {
    let text = labels.data(text);
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}
