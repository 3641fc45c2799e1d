//! A recording as data: the same lines in the same order, the same labels, one entry for each.

use serde::ser::{Serialize, SerializeStruct, Serializer};
use serde_json::{Map, Value, json};

use crate::entry::{Line, Side, What};
use crate::text;
use crate::transcript::labels::Labels;
use crate::transcript::{Recording, View, render};

impl Serialize for Recording {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut labels = Labels::in_json(&self.lines, &self.masks);
        let entries: Vec<Value> = self.chosen().filter_map(|line| self.entry(line, &mut labels)).collect();
        let mut recording = serializer.serialize_struct("Recording", 1)?;
        recording.serialize_field("events", &entries)?;
        recording.end()
    }
}

impl Recording {
    fn entry(&self, line: &Line, labels: &mut Labels<'_>) -> Option<Value> {
        let said = render::of(&line.what, View::Plain, labels)?;
        let mut entry = Map::new();
        entry.insert("at".into(), text::duration(line.at).into());
        entry.insert("client".into(), self.speaker(line).into());
        let (kind, rest) = parts(&line.what, labels);
        entry.insert("kind".into(), kind.into());
        match rest {
            Value::Object(rest) => entry.extend(rest),
            // What has no parts worth a selector of their own is said in words.
            _ => drop(entry.insert("text".into(), said.into())),
        }
        Some(Value::Object(entry))
    }
}

fn parts(what: &What, labels: &mut Labels<'_>) -> (&'static str, Value) {
    match what {
        What::Request { .. } => ("request", Value::Null),
        What::Refused => ("refused", json!({})),
        What::Moved { status, target } => ("answer", json!({"status": status, "to": labels.text(target)})),
        What::Open { status, media, retry } => ("open", json!({"status": status, "media": media, "retry": retry})),
        What::Upgraded { protocol } => ("open", json!({"status": 101, "protocol": protocol})),
        What::Answer { status, body } => {
            ("answer", json!({"status": status, "body": data(&String::from_utf8_lossy(body), labels)}))
        }
        What::Event(event) => {
            let id = event.id.as_ref().map(|id| labels.id(id));
            ("event", json!({"event": event.name, "id": id, "data": data(&event.data, labels)}))
        }
        What::Retry(retry) => ("retry", json!({"retry": retry})),
        What::Comment { text, .. } => ("comment", json!({"data": labels.text(text)})),
        What::Text(text) => ("text", json!({"data": data(text, labels)})),
        What::SentText(text) => ("sent", json!({"data": data(text, labels)})),
        What::Ping => ("ping", json!({})),
        What::End => ("end", json!({})),
        What::Abort => ("abort", json!({})),
        What::Close { code, reason, by } => {
            let by = if *by == Side::Server { "server" } else { "client" };
            ("close", json!({"code": code, "reason": labels.text(reason), "by": by}))
        }
        What::Binary(_) => ("binary", Value::Null),
        What::SentBinary(_) | What::SentPing(_) | What::SentRaw(_) | What::Reply { .. } => ("sent", Value::Null),
        What::Deed(_) => ("deed", Value::Null),
        What::Cut(_) => ("cut", Value::Null),
        What::Violation(_) => ("violation", Value::Null),
        What::Panic(_) => ("panic", Value::Null),
        What::Header { .. } | What::Position(_) | What::Block(_) | What::Frame { .. } => ("wire", Value::Null),
    }
}

/// JSON as JSON, anything else as text.
fn data(text: &str, labels: &mut Labels<'_>) -> Value {
    let text = labels.data(text);
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}
