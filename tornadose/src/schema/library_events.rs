//! The events that the library itself sends, as `docs/protocol.md` describes them.

use schemars::{Schema, json_schema};
use serde_json::{Map, Value};

use crate::message::Message;
use crate::schema::message::EventSchema;
use crate::subscriber::Subscriber;

/// Returns the events that connections of the subscriber may get beside those of its messages, over one transport. `key` and
/// `slot` are the schemas of its messages.
pub(crate) fn events<S: Subscriber>(key: Option<&Schema>, slot: Option<&Schema>, is_ws: bool) -> Vec<EventSchema> {
    let has_gaps = <S::Message as Message>::HAS_QUEUE || <S::Message as Message>::HAS_LATEST_TTL;
    let watches = is_ws && S::WATCH.is_some();
    let any_key = || key.cloned().unwrap_or_else(|| json_schema!(true));
    let key_of_several = || if watches { vec![("key", any_key())] } else { Vec::new() };
    let key_if_any = || key.map(|key| ("key", key.clone())).into_iter().collect::<Vec<_>>();
    let mut events = Vec::new();
    let mut add =
        |is_sent: bool, name: &str, text: &str, required: Vec<(&str, Schema)>, optional: Vec<(&str, Schema)>| {
            if is_sent {
                events.push(EventSchema::named(name, object(required, optional)).description(text));
            }
        };
    add(
        has_gaps,
        "tornadose:gap",
        "Messages are lost to this client.",
        vec![("reason", reasons()), ("missed", count())],
        key_of_several(),
    );
    add(
        S::LOADS,
        "tornadose:reset",
        "The client clears what it shows; the whole state follows.",
        Vec::new(),
        key_of_several(),
    );
    add(
        <S::Message as Message>::CAN_FINISH,
        "tornadose:finished",
        "Nothing more comes: of this key, or without one, of the connection.",
        Vec::new(),
        key_if_any(),
    );
    let slot_if_any = slot.map(|slot| ("slot", slot.clone()));
    let expired = key_if_any().into_iter().chain(slot_if_any).chain([("event", json_schema!({ "type": "string" }))]);
    add(
        <S::Message as Message>::HAS_LATEST_TTL,
        "tornadose:expired",
        "A value was not renewed in time, and is dropped.",
        Vec::new(),
        expired.collect(),
    );
    let text = || json_schema!({ "type": "string" });
    add(
        is_ws,
        "tornadose:error",
        "A text of the client could not be used.",
        vec![("reason", text())],
        key_of_several(),
    );
    let keys = || json_schema!({ "type": "array", "items": any_key() });
    add(watches, "tornadose:watching", "These keys are watched now.", vec![("keys", keys())], Vec::new());
    add(watches, "tornadose:unwatched", "These keys are watched no more.", vec![("keys", keys())], Vec::new());
    events
}

/// Returns the schema of an object.
pub(crate) fn object(required: Vec<(&str, Schema)>, optional: Vec<(&str, Schema)>) -> Schema {
    let names: Vec<Value> = required.iter().map(|(name, _)| Value::from(*name)).collect();
    let members = required.into_iter().chain(optional);
    let properties: Map<String, Value> = members.map(|(name, schema)| (name.to_owned(), schema.to_value())).collect();
    let mut object = json_schema!({ "type": "object", "properties": properties });
    if !names.is_empty() {
        object.insert("required".into(), names.into());
    }
    object
}

fn reasons() -> Schema {
    json_schema!({ "enum": ["trimmed", "lagged", "restarted", "removed", "outage", "unreadable"] })
}

fn count() -> Schema {
    json_schema!({ "type": ["integer", "null"], "minimum": 0 })
}
