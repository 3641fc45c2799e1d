//! Names and attributes about which rustc would warn in the expansion, where the user cannot allow it.
#![deny(warnings, missing_docs)]
#![allow(dead_code)]

use tornadose::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Private(String);

/// A key of a type that is more private.
#[store(queue)]
#[derive(Serialize)]
pub struct Line {
    #[key]
    room: Private,
}

/// A message that is more private.
#[subscriber(sse, store = Line, authorize = public)]
pub struct Room {
    #[key]
    room: Private,
}

/// A message that is not to be used any more.
#[deprecated]
#[store(latest)]
#[derive(Serialize)]
pub struct Old(f64);

#[allow(deprecated)]
mod of_the_old {
    /// A subscriber to it.
    #[tornadose::subscriber(sse, store = super::Old)]
    #[deprecated]
    pub struct Olds {
        #[deprecated]
        #[query]
        since: Option<u8>,
    }
}

/// A message with a variant that is not to be used any more.
#[store(queue)]
#[derive(Serialize)]
pub enum Some {
    /// A variant.
    New,
    /// An old variant.
    #[deprecated]
    #[latest]
    Old,
}

#[store(latest)]
#[derive(Serialize)]
#[allow(non_camel_case_types, non_snake_case)]
struct quote {
    #[key]
    Symbol: String,
}

#[subscriber(sse, store = quote, all_keys)]
#[derive(Deserialize)]
struct Quotes {
    #[query]
    #[serde(default)]
    since: Option<u8>,
}

/// Builds the handlers.
pub fn main() {
    let _room = Room::handler(&Store::new());
    let _quotes = Quotes::handler(&Store::new());
    assert_eq!(quote { Symbol: "A".into() }.key(), quoteKey { Symbol: "A".into() });
    assert!(Some::New.event().is_ok());
}
