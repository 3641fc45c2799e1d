//! An AsyncAPI 3.0 document: <https://www.asyncapi.com/docs/reference/specification/v3.0.0>. It describes the program, so
//! that the program sends the events and receives the texts.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::schema::described::Described;
use crate::schema::message::EventSchema;
use crate::schema::parameter::{Parameter, Place};
use crate::schema::stream::{Stream, unused};

/// The transport of a channel.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    Sse,
    Ws,
}

pub(crate) fn document(described: &Described) -> Value {
    let (mut channels, mut operations) = (Map::new(), Map::new());
    for stream in &described.streams {
        let transports = [(stream.has_sse(), Transport::Sse), (stream.has_ws(), Transport::Ws)];
        for (_, transport) in transports.into_iter().filter(|(is_served, _)| *is_served) {
            add_channel(stream, transport, &mut channels, &mut operations);
        }
    }
    json!({
        "asyncapi": "3.0.0",
        "info": { "title": described.title, "version": described.version },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": { "schemas": described.definitions },
    })
}

/// The messages of a channel, each with an id.
#[derive(Default)]
struct Messages {
    messages: Map<String, Value>,
    taken: BTreeSet<String>,
}

impl Messages {
    /// Adds a message, and returns its id.
    fn add(&mut self, name: &str, message: Value) -> String {
        let id: String = name
            .chars()
            .map(
                |character| {
                    if character.is_ascii_alphanumeric() || "_.-".contains(character) { character } else { '-' }
                },
            )
            .collect();
        let id = unused(&id, &self.taken);
        self.taken.insert(id.clone());
        self.messages.insert(id.clone(), message);
        id
    }
}

fn add_channel(
    stream: &Stream,
    transport: Transport,
    channels: &mut Map<String, Value>,
    operations: &mut Map<String, Value>,
) {
    let (word, title) = match transport {
        Transport::Sse => ("sse", "Server-Sent Events"),
        Transport::Ws => ("ws", "WebSocket"),
    };
    let channel = format!("{}-{word}", stream.name);
    let mut messages = Messages::default();
    let notices = match transport {
        Transport::Sse => &stream.sse_notices,
        Transport::Ws => &stream.ws_notices,
    };
    let events = stream.events.iter().chain(notices);
    let sent: Vec<String> =
        events.map(|event| messages.add(event.handler(), event_message(event, transport, stream.watches))).collect();
    let mut operation = operation("send", &channel, &sent);
    if transport == Transport::Sse {
        operation["bindings"] = json!({ "http": http_binding(stream) });
    }
    operations.insert(format!("{channel}-events"), operation);
    if transport == Transport::Ws {
        add_texts(stream, &channel, &mut messages, operations);
    }
    let mut described = json!({
        "address": stream.path,
        "title": format!("{} over {title}", stream.name),
        "messages": messages.messages,
    });
    if !stream.description.is_empty() {
        described["description"] = stream.description.into();
    }
    let parameters = path_parameters(stream);
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    if transport == Transport::Ws {
        described["bindings"] = json!({ "ws": ws_binding(stream) });
    }
    channels.insert(channel, described);
}

/// Adds what a client sends over WebSocket.
fn add_texts(stream: &Stream, channel: &str, messages: &mut Messages, operations: &mut Map<String, Value>) {
    let mut received = Vec::new();
    if let Some(texts) = &stream.texts {
        received.push(messages.add("text", json!({ "name": "text", "payload": texts.taken })));
        let number = json!({ "type": "integer", "minimum": 0, "maximum": (1_u64 << 53) - 1 });
        let ask = json!({
            "type": "object",
            "properties": { "tornadose:ask": number.clone(), "data": texts.taken },
            "required": ["tornadose:ask", "data"],
        });
        let ask = messages.add("tornadose:ask", json!({ "name": "tornadose:ask", "payload": ask }));
        let reply = json!({
            "type": "object",
            "properties": { "event": { "const": "tornadose:reply" }, "ask": number.clone(), "data": texts.reply },
            "required": ["event", "ask", "data"],
        });
        let reply = messages.add("tornadose:reply", json!({ "name": "tornadose:reply", "payload": reply }));
        let error = json!({
            "type": "object",
            "properties": {
                "event": { "const": "tornadose:error" },
                "ask": number,
                "data": { "type": "object", "properties": { "reason": { "type": "string" } }, "required": ["reason"] },
            },
            "required": ["event", "ask", "data"],
        });
        let error = messages.add("tornadose:error-of-an-ask", json!({ "name": "tornadose:error", "payload": error }));
        let mut asks = operation("receive", channel, &[ask]);
        asks["reply"] = json!({
            "channel": { "$ref": format!("#/channels/{channel}") },
            "messages": message_references(channel, &[reply, error]),
        });
        operations.insert(format!("{channel}-asks"), asks);
    }
    if let Some(key) = stream.key.as_ref().filter(|_| stream.watches) {
        for (name, has_since) in [("tornadose:watch", true), ("tornadose:unwatch", false)] {
            let mut properties = json!({ name: { "type": "array", "items": key } });
            if has_since {
                properties["since"] = json!({ "type": "string" });
            }
            let payload = json!({ "type": "object", "properties": properties, "required": [name] });
            received.push(messages.add(name, json!({ "name": name, "payload": payload })));
        }
    }
    if !received.is_empty() {
        operations.insert(format!("{channel}-texts"), operation("receive", channel, &received));
    }
}

fn event_message(event: &EventSchema, transport: Transport, watches: bool) -> Value {
    let mut message = json!({ "name": event.handler() });
    match transport {
        Transport::Sse => {
            message["payload"] = json!(event.data);
            // WHATWG HTML §9.2.5: an event has these fields beside its data.
            let mut fields = json!({ "id": { "type": "string" } });
            let mut headers = json!({ "type": "object" });
            if let Some(name) = &event.name {
                fields["event"] = json!({ "const": name });
                headers["required"] = json!(["event"]);
            }
            headers["properties"] = fields;
            message["headers"] = headers;
        }
        Transport::Ws => {
            let mut frame = json!({ "id": { "type": "string" }, "data": event.data });
            let mut required = vec!["data"];
            if let Some(name) = &event.name {
                frame["event"] = json!({ "const": name });
                required.insert(0, "event");
            }
            if watches {
                // An event of the past of a key has these in place of an id.
                frame["at"] = json!({ "type": "string" });
                frame["key"] = json!(true);
            }
            message["payload"] = json!({ "type": "object", "properties": frame, "required": required });
        }
    }
    if let Some(description) = &event.description {
        message["description"] = description.as_str().into();
    }
    message
}

fn operation(action: &str, channel: &str, messages: &[String]) -> Value {
    json!({
        "action": action,
        "channel": { "$ref": format!("#/channels/{channel}") },
        "messages": message_references(channel, messages),
    })
}

fn message_references(channel: &str, messages: &[String]) -> Vec<Value> {
    messages.iter().map(|id| json!({ "$ref": format!("#/channels/{channel}/messages/{id}") })).collect()
}

/// Returns the parameters of the address. All are texts, so they have no schema.
fn path_parameters(stream: &Stream) -> Map<String, Value> {
    let path = stream.parameters.iter().filter(|parameter| parameter.place == Place::Path);
    path.map(|parameter| {
        let description = parameter.schema.get("description").and_then(Value::as_str);
        let described = description.map_or_else(|| json!({}), |text| json!({ "description": text }));
        (parameter.name.clone(), described)
    })
    .collect()
}

/// <https://github.com/asyncapi/bindings/tree/master/http>
fn http_binding(stream: &Stream) -> Value {
    let mut binding = json!({ "method": "GET", "bindingVersion": "0.3.0" });
    if let Some(query) = members_at(stream, Place::Query) {
        binding["query"] = query;
    }
    binding
}

/// <https://github.com/asyncapi/bindings/tree/master/websockets>
fn ws_binding(stream: &Stream) -> Value {
    let mut binding = json!({ "method": "GET", "bindingVersion": "0.1.0" });
    for (place, name) in [(Place::Query, "query"), (Place::Header, "headers")] {
        if let Some(members) = members_at(stream, place) {
            binding[name] = members;
        }
    }
    binding
}

/// Returns the schema of an object that has the parameters at a place as its members.
fn members_at(stream: &Stream, place: Place) -> Option<Value> {
    let here: Vec<&Parameter> = stream.parameters.iter().filter(|parameter| parameter.place == place).collect();
    if here.is_empty() {
        return None;
    }
    let required: Vec<&str> =
        here.iter().filter(|parameter| parameter.is_required).map(|parameter| parameter.name.as_str()).collect();
    let properties: Map<String, Value> = here
        .iter()
        .map(|parameter| {
            // A list in one text is that text.
            let schema =
                if parameter.separator.is_some() { json!({ "type": "string" }) } else { json!(parameter.schema) };
            (parameter.name.clone(), schema)
        })
        .collect();
    let mut members = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        members["required"] = json!(required);
    }
    Some(members)
}
