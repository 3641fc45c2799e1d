//! Messages and subscribers that are described, in every shape: expansions cause no warning.
#![deny(warnings, unused_qualifications, rust_2018_idioms, clippy::all, clippy::pedantic)]

use schemars::JsonSchema;
use tornadose::Id;
use tornadose::prelude::*;

/// A key that is read, and has no schema.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Opaque(u8);

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn write<S: serde::Serializer>(value: &u8, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u8(*value)
}

#[store(queue, schema)]
#[derive(Serialize, JsonSchema)]
enum Said {
    Text {
        #[key]
        #[schemars(with = "u8")]
        room: Opaque,
        #[key]
        #[serde(serialize_with = "write")]
        floor: u8,
        r#type: String,
    },
    #[latest]
    Topic {
        #[key]
        #[schemars(with = "u8")]
        room: Opaque,
        #[key]
        floor: u8,
        #[slot]
        language: Option<String>,
    },
}

#[derive(Deserialize, JsonSchema)]
enum Say {
    Text(String),
}

/// Takes texts by `&self`, and replies with an id.
#[subscriber(sse, ws, store = Said, authorize = public, receive = receive, watch = public, crate = tornadose, schema)]
struct Room {
    #[keys(room)]
    #[query(separator = "|")]
    rooms: Vec<Opaque>,
    #[key]
    #[header("x-floor")]
    floor: u8,
    #[cookie]
    r#type: Option<String>,
    #[query]
    pages: Option<Vec<u8>>,
    #[ticket]
    user: String,
}

async fn receive(room: &Room, say: Say, store: &Store<Said>) -> Result<Id, String> {
    let Say::Text(text) = say;
    let r#type = format!("{text} {:?} {:?} {}", room.r#type, room.pages, room.user);
    let said = Said::Text { room: room.rooms[0].clone(), floor: room.floor, r#type };
    store.submit(said).await.map_err(|error| error.to_string())
}

/// Returns nothing.
#[subscriber(ws, store = Said, all_keys, receive = Self::receive, schema)]
struct Listener;

impl Listener {
    #[expect(clippy::unused_async, reason = "a hook is `async`")]
    async fn receive(&mut self, _: Say, store: &Store<Said>) {
        store.try_submit(Said::Topic { room: Opaque(0), floor: 0, language: None }).ok();
    }
}

#[test]
fn every_shape_is_described() {
    let streams = tornadose::schema().route::<Room>("/room").route::<Listener>("/listener");
    let types = streams.typescript().to_string();
    assert!(types.contains("replies: null") && types.contains("replies: string"), "{types}");
    let document = streams.asyncapi().to_string();
    for name in ["x-floor", "rooms", "pages", "ticket"] {
        assert!(document.contains(&format!("\"{name}\"")), "{name} of {document}");
    }
}
