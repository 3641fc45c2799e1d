//! Events have the names that the table of `#[store]` says.
#![deny(warnings, missing_docs)]

use tornadose::prelude::*;

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Inner {
    Said,
    Error(u8),
}

#[store(queue)]
#[derive(Serialize)]
#[serde(untagged)]
enum Untagged {
    Open(Inner),
}

#[store(queue)]
#[derive(Serialize)]
#[serde(transparent)]
struct Transparent(Inner);

#[store(queue)]
#[derive(Serialize)]
#[serde(rename_all(serialize = "camelCase", deserialize = "snake_case"))]
enum Mixed {
    LoggedIn(u8),
    #[serde(rename(serialize = "failed", deserialize = "error"))]
    Error,
    #[serde(untagged)]
    Other(Inner),
}

#[store(queue)]
#[derive(Serialize)]
#[serde(tag = "type", content = "content")]
enum Tagged {
    #[serde(rename = "error")]
    Error(u8),
}

#[track_caller]
fn check(message: &impl Message, name: Option<&str>, data: &str) {
    let event = message.event().expect("the message has an event");
    assert_eq!((event.name(), event.data()), (name, data));
}

/// Checks the names.
pub fn main() {
    check(&Untagged::Open(Inner::Said), None, r#""said""#);
    check(&Transparent(Inner::Error(1)), None, r#"{"error":1}"#);
    check(&Mixed::LoggedIn(1), Some("loggedIn"), "1");
    check(&Mixed::Other(Inner::Said), None, r#""said""#);
    check(&Mixed::Error, Some("failed"), "null");
    check(&Tagged::Error(1), None, r#"{"type":"error","content":1}"#);
}
