//! The events of each shape of message that serde allows: what is described is what is submitted.

use std::collections::BTreeMap;

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};
use tornadose::prelude::*;
use tornadose::schema::MessageSchema;

/// Asserts that each message has an event that is described, with data that its schema allows.
fn check<M: MessageSchema>(messages: Vec<M>, names: &[Option<&str>]) {
    let mut schemas = schemars::generate::SchemaSettings::draft2020_12().for_serialize().into_generator();
    let events = M::event_schemas(&mut schemas);
    let mut described: Vec<Option<&str>> = events.iter().map(|event| event.name()).collect();
    described.sort_unstable();
    assert_eq!(described, names);
    for message in messages {
        let event = message.event().unwrap();
        assert!(described.contains(&event.name()), "{:?} of {described:?}", event.name());
    }
}

#[store(queue, schema)]
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum External {
    UnitOnly,
    #[serde(rename = "other")]
    Unit2,
    NewType(u8),
    Tuple(u8, String),
    Empty {},
    Named {
        one: u8,
    },
}

#[test]
fn each_variant_is_an_event() {
    use External::{Empty, Named, NewType, Tuple, Unit2, UnitOnly};
    let messages = vec![UnitOnly, Unit2, NewType(1), Tuple(1, "a".into()), Empty {}, Named { one: 1 }];
    check(messages, &["empty", "named", "new-type", "other", "tuple", "unit-only"].map(Some));
}

#[store(queue, schema)]
#[derive(Serialize, JsonSchema)]
enum OnlyUnits {
    Up,
    Down,
}

#[store(queue, schema)]
#[derive(Serialize, JsonSchema)]
enum Single {
    Said { text: String },
}

#[store(queue, schema)]
#[derive(Serialize, JsonSchema)]
#[serde(tag = "type")]
enum Tagged {
    A { one: u8 },
    B,
}

#[store(queue, schema)]
#[derive(Serialize, JsonSchema)]
enum Mixed {
    Said {
        text: String,
    },
    #[serde(untagged)]
    Raw {
        bytes: u64,
    },
}

#[store(queue, schema)]
#[derive(Clone, Serialize, JsonSchema)]
#[serde(into = "Wire")]
enum Converted {
    One(u8),
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Wire {
    SentAs { value: u8 },
    SentToo,
}

impl From<Converted> for Wire {
    fn from(Converted::One(value): Converted) -> Self {
        if value == 0 { Self::SentToo } else { Self::SentAs { value } }
    }
}

/// Its schema has other names than its events.
#[store(queue, schema)]
#[derive(Serialize, JsonSchema)]
enum Renamed {
    #[schemars(rename = "Other")]
    Said {
        text: String,
    },
    Left {
        at: u8,
    },
}

/// Its unnamed variant looks like its named one.
#[store(queue, schema)]
#[derive(Serialize, JsonSchema)]
enum Alike {
    #[serde(rename = "said")]
    Said { text: String },
    #[serde(untagged)]
    Raw { said: String },
}

#[store(queue, schema)]
#[derive(Serialize, JsonSchema)]
struct Plain {
    only: u8,
}

#[test]
fn other_shapes_have_the_events_that_they_submit() {
    check(vec![OnlyUnits::Up, OnlyUnits::Down], &[Some("Down"), Some("Up")]);
    check(vec![Single::Said { text: String::new() }], &[Some("Said")]);
    check(vec![Tagged::A { one: 1 }, Tagged::B], &[None]);
    check(vec![Mixed::Said { text: String::new() }, Mixed::Raw { bytes: 1 }], &[None, Some("Said")]);
    check(vec![Converted::One(0), Converted::One(1)], &[Some("sent_as"), Some("sent_too")]);
    check(vec![Plain { only: 1 }], &[None]);
    check(vec![Renamed::Said { text: String::new() }, Renamed::Left { at: 1 }], &[Some("Left"), Some("Said")]);
    check(vec![Alike::Said { text: String::new() }, Alike::Raw { said: String::new() }], &[None, Some("said")]);
}

#[test]
fn the_data_is_that_of_the_event_and_not_of_the_message() {
    let mut schemas = SchemaGenerator::default();
    let data: BTreeMap<String, Value> = External::event_schemas(&mut schemas)
        .into_iter()
        .filter_map(|event| Some((event.name()?.to_owned(), event.data().clone().to_value())))
        .collect();
    assert_eq!(data["unit-only"], json!({ "type": "null" }));
    assert_eq!(data["new-type"]["type"], "integer");
    assert_eq!(data["tuple"]["maxItems"], 2);
    assert_eq!(data["named"]["required"], json!(["one"]));
}

#[store(latest, schema)]
#[derive(Serialize, JsonSchema)]
#[expect(dead_code, reason = "it is only described")]
enum Keyed {
    A {
        #[key]
        room: String,
        #[key]
        floor: u8,
        #[slot]
        slot: u8,
    },
    B {
        #[key]
        room: String,
        #[key]
        floor: u8,
        #[slot]
        name: String,
    },
}

#[store(queue, schema)]
#[derive(Serialize, JsonSchema)]
struct NoSchemaOfTheKey {
    #[key]
    #[schemars(with = "String")]
    room: Opaque,
}

/// A key without `JsonSchema`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
struct Opaque(u8);

#[test]
fn keys_and_slots_are_described_as_clients_know_them() {
    let mut schemas = SchemaGenerator::default();
    let key = Keyed::key_schema(&mut schemas).unwrap().to_value();
    assert_eq!(key["required"], json!(["room", "floor"]));
    let slot = Keyed::slot_schema(&mut schemas).unwrap().to_value();
    assert_eq!(slot["anyOf"][0]["format"], "uint8");
    assert_eq!(slot["anyOf"][1], json!({ "type": "string" }));
    assert_eq!(Plain::key_schema(&mut schemas), None);
    assert_eq!(NoSchemaOfTheKey::key_schema(&mut schemas), Some(schemars::json_schema!(true)));
    assert_eq!(NoSchemaOfTheKey { room: Opaque(1) }.key().room, Opaque(1));
}
