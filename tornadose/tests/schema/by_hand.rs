//! Subscribers and messages that are written by hand.

use schemars::{JsonSchema, SchemaGenerator, json_schema};
use tornadose::prelude::*;
use tornadose::schema::{EventSchema, MessageSchema, Parameter, SubscriberSchema, TextSchemas};
use tornadose::subscriber::{KeyOf, Options, Transports};
use tornadose::{EncodeError, Event, NoKey, Retention};

struct Fragment(String);

impl Message for Fragment {
    type Key = NoKey;
    const CHANNEL: &'static str = "fragments";

    fn key(&self) -> NoKey {
        NoKey
    }
    fn retention(&self) -> Retention {
        Retention::Latest
    }
    fn event(&self) -> Result<Event, EncodeError> {
        Ok(Event::text(&self.0))
    }
}

impl MessageSchema for Fragment {
    fn event_schemas(schemas: &mut SchemaGenerator) -> Vec<EventSchema> {
        vec![EventSchema::unnamed(String::json_schema(schemas)).description("HTML */ here")]
    }
}

struct Fragments;

impl Subscriber for Fragments {
    type Message = Fragment;
    const OPTIONS: Options = Options::new().transports(Transports::Both);

    fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> {
        Ok(Self)
    }
    fn keys(&self) -> Keys<KeyOf<Self>> {
        Keys::All
    }
}

impl SubscriberSchema for Fragments {
    const NAME: &'static str = "Options";
    const DESCRIPTION: &'static str = "Two\nlines.";

    fn parameters(_: &mut SchemaGenerator) -> Vec<Parameter> {
        vec![Parameter::query("page", json_schema!({ "type": "integer" })).optional()]
    }
    fn texts(taken: &mut SchemaGenerator, replies: &mut SchemaGenerator) -> Option<TextSchemas> {
        Some(TextSchemas { taken: String::json_schema(taken), reply: u8::json_schema(replies) })
    }
}

#[test]
fn what_is_written_by_hand_is_described_as_well() {
    let streams = tornadose::schema().route::<Fragments>("fragments/{part}");
    let types = streams.typescript().to_string();
    let (_, own) = types.split_once("/**\n * Two").unwrap();
    assert_eq!(
        own,
        r#"
 * lines.
 *
 * `GET /fragments/{part}`
 */
export interface Options2 extends Stream {
  sse: true
  ws: true
  events: {
    /** HTML *\/ here */
    message: string
  }
  notices: {
    /** Messages are lost to this client. */
    "tornadose:gap": {
      missed: number | null
      reason: "trimmed" | "lagged" | "restarted" | "removed" | "outage" | "unreadable"
    }
    /** A text of the client could not be used. */
    "tornadose:error": {
      reason: string
    }
  }
  sends: string
  replies: number
  watches: never
}
"#
    );
    let document: serde_json::Value = serde_json::from_str(&streams.asyncapi().to_string()).unwrap();
    let channels: Vec<&String> = document["channels"].as_object().unwrap().keys().collect();
    assert_eq!(channels, ["Options-sse", "Options-ws"]);
    assert_eq!(document["channels"]["Options-ws"]["parameters"], serde_json::json!({ "part": {} }));
}
