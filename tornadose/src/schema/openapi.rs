//! An OpenAPI 3.2 document: <https://spec.openapis.org/oas/v3.2.0.html>. A stream of Server-Sent Events is a sequence of
//! items ("Sequential Media Types"), each with the fields of an event as texts.

use salvo_oapi::{OpenApi, OpenApiVersion};
use serde_json::{Map, Value, json};

use crate::schema::definitions::Dialect;
use crate::schema::described::Described;
use crate::schema::message::EventSchema;
use crate::schema::parameter::{Parameter, Place};
use crate::schema::stream::Stream;
use crate::schema::streams::Streams;

impl Streams {
    /// Returns an OpenAPI 3.2 document of the routes, to [merge](OpenApi::merge) into that of the program's
    /// other routes. The events of a stream are the items of its `text/event-stream`.
    ///
    /// # Panics
    ///
    /// `salvo-oapi` cannot read a schema that was written by hand, because it is none.
    ///
    /// ```
    /// use salvo_oapi::{OpenApi, OpenApiVersion};
    ///
    /// let streams = tornadose::schema().openapi();
    /// let document = OpenApi::new("Chat", "1.0.0").openapi_version(OpenApiVersion::Version3_2).merge(streams);
    /// # drop(document);
    /// ```
    #[must_use]
    #[cfg_attr(docsrs, doc(cfg(feature = "openapi")))]
    pub fn openapi(&self) -> OpenApi {
        document(&self.describe(Dialect::Draft202012))
    }
}

fn document(described: &Described) -> OpenApi {
    let empty = OpenApi::new(described.title.clone(), described.version.clone());
    let empty = empty.openapi_version(OpenApiVersion::Version3_2);
    let paths: Map<String, Value> =
        described.streams.iter().map(|stream| (stream.path.clone(), json!({ "get": operation(stream) }))).collect();
    let mut document = json!(empty);
    document["paths"] = paths.into();
    document["components"] = json!({ "schemas": described.definitions });
    serde_json::from_value(document).expect("salvo-oapi reads documents of its version")
}

fn operation(stream: &Stream) -> Value {
    let mut responses = Map::new();
    if stream.has_sse() {
        let content = json!({ "text/event-stream": { "itemSchema": item(stream) } });
        responses.insert("200".into(), json!({ "description": "The events.", "content": content }));
        if stream.sse_notices.iter().any(|event| event.name() == Some("tornadose:finished")) {
            responses.insert(
                "204".into(),
                json!({ "description": "The stream is finished, and the client has seen that." }),
            );
        }
    }
    if stream.has_ws() {
        responses.insert("101".into(), json!({ "description": "A WebSocket, for an upgrade request." }));
    }
    responses.insert(
        "400".into(),
        json!({ "description": "A part of the request is missing or invalid; the body names it." }),
    );
    let mut operation = json!({
        "operationId": stream.name,
        "parameters": stream.parameters.iter().map(parameter).collect::<Vec<_>>(),
        "responses": responses,
    });
    if !stream.description.is_empty() {
        operation["description"] = stream.description.into();
    }
    operation
}

fn parameter(parameter: &Parameter) -> Value {
    let mut described = json!({
        "name": parameter.name,
        "in": place_name(parameter.place),
        "required": parameter.is_required,
        "schema": parameter.schema,
    });
    if parameter.place == Place::Query && parameter.separator.as_deref() == Some(",") {
        described["style"] = "form".into();
        described["explode"] = false.into();
    } else if parameter.separator.is_some() {
        described["schema"] = json!({ "type": "string" });
    }
    described
}

fn place_name(place: Place) -> &'static str {
    match place {
        Place::Path => "path",
        Place::Query => "query",
        Place::Header => "header",
        Place::Cookie => "cookie",
    }
}

/// Returns the schema of one event. Its data is JSON in a text.
fn item(stream: &Stream) -> Value {
    let text = || json!({ "type": "string" });
    let events = stream.events.iter().chain(&stream.sse_notices);
    let kinds: Vec<Value> = events.map(kind).collect();
    json!({
        "type": "object",
        "properties": { "id": text(), "event": text(), "data": text(), "retry": { "type": "integer", "minimum": 0 } },
        "anyOf": kinds,
    })
}

fn kind(event: &EventSchema) -> Value {
    let data = json!({ "type": "string", "contentMediaType": "application/json", "contentSchema": event.data });
    let mut kind = match &event.name {
        Some(name) => {
            json!({ "properties": { "event": { "const": name }, "data": data }, "required": ["event", "data"] })
        }
        None => json!({ "properties": { "event": false, "data": data }, "required": ["data"] }),
    };
    if let Some(description) = &event.description {
        kind["description"] = description.as_str().into();
    }
    kind
}
