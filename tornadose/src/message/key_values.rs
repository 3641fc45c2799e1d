//! Reads a key from the JSON that a client sends: the bare value of a key with one field, or the object of its fields.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::message::key_names::{NamedKey, Text};

/// Selects how the value of a field of a key is read.
#[derive(Debug)]
pub struct KeyValue<T>(PhantomData<T>);

// Not `DeserializeOwned`, which rustc takes for implemented by a type with a `&'static str`, and then reports.
impl<T: Deserialize<'static>> KeyValue<T> {
    /// The value can be read.
    pub const IS_READABLE: bool = true;

    /// Reads the next value from its JSON.
    pub fn read(values: &mut dyn Iterator<Item = &str>) -> Option<T> {
        let value: Value = serde_json::from_str(values.next()?).ok()?;
        T::deserialize(value).ok()
    }
}

/// Takes the place of what [`KeyValue`] has for a type without `Deserialize`.
pub trait UnreadableValue<T> {
    /// The value cannot be read.
    const IS_READABLE: bool = false;

    /// Reads no value.
    fn read(_: &mut dyn Iterator<Item = &str>) -> Option<T> {
        None
    }
}

impl<T> UnreadableValue<T> for KeyValue<T> {}

/// Fails to compile, at the caller, when clients cannot name the keys.
///
/// # Panics
///
/// At compile time, as described.
#[track_caller]
pub(crate) const fn check_readable<K: NamedKey>() {
    assert!(!K::FIELDS.is_empty(), "`watch` needs a message with a `#[key]`, by which it names what is watched");
    let mut index = 0;
    while index < K::FIELDS.len() {
        if !K::IS_READABLE[index] {
            let text = Text::new().push("`watch` reads the key from what a client sends, and the type of its `#[key] ");
            let text = text.push(K::FIELDS[index]).push("` does not implement `Deserialize`");
            panic!("{}", text.as_str())
        }
        index += 1;
    }
}

/// Reads the key of a message of `#[store]`.
pub(crate) fn read_fields<K: NamedKey>(json: &str) -> Option<K> {
    if let [_] = K::FIELDS {
        return K::read(&mut std::iter::once(json));
    }
    let mut fields: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(json).ok()?;
    let values: Option<Vec<&str>> = K::FIELDS.iter().map(|name| Some(fields.remove(*name)?.get())).collect();
    // A client that sends further fields means another key.
    if fields.is_empty() { K::read(&mut values?.into_iter()) } else { None }
}

#[cfg(test)]
mod tests {
    use super::{KeyValue, UnreadableValue, check_readable, read_fields};
    use crate::message::key_names::NamedKey;

    #[derive(Debug, PartialEq)]
    struct Symbol(String);

    impl NamedKey for Symbol {
        const FIELDS: &'static [&'static str] = &["symbol"];
        const IS_READABLE: &'static [bool] = &[KeyValue::<String>::IS_READABLE];

        fn read(values: &mut dyn Iterator<Item = &str>) -> Option<Self> {
            Some(Self(KeyValue::<String>::read(values)?))
        }
    }

    #[derive(Debug, PartialEq)]
    struct Room(u8, String);

    impl NamedKey for Room {
        const FIELDS: &'static [&'static str] = &["floor", "room"];
        const IS_READABLE: &'static [bool] = &[KeyValue::<u8>::IS_READABLE, KeyValue::<String>::IS_READABLE];

        fn read(values: &mut dyn Iterator<Item = &str>) -> Option<Self> {
            Some(Self(KeyValue::<u8>::read(values)?, KeyValue::<String>::read(values)?))
        }
    }

    #[test]
    fn a_key_of_one_field_is_its_bare_value() {
        assert_eq!(read_fields(r#""A\"B""#), Some(Symbol("A\"B".into())));
        for other in ["7", "null", r#"{"symbol":"A"}"#, r#"["A"]"#, "", r#""A"#] {
            assert_eq!(read_fields::<Symbol>(other), None, "{other}");
        }
    }

    #[test]
    fn a_key_of_several_fields_is_their_object_in_any_order() {
        for json in [r#"{"floor":1,"room":"a"}"#, r#" { "room" : "a" , "flo\u006fr" : 1 } "#] {
            assert_eq!(read_fields(json), Some(Room(1, "a".into())), "{json}");
        }
        for other in [
            r#"{"floor":1}"#,
            r#"{"floor":256,"room":"a"}"#,
            r#"{"floor":1,"room":"a","door":2}"#,
            r#"[1,"a"]"#,
            r#""a""#,
            "{}",
        ] {
            assert_eq!(read_fields::<Room>(other), None, "{other}");
        }
    }

    struct NotDeserialized;

    impl NamedKey for NotDeserialized {
        const FIELDS: &'static [&'static str] = &["floor", "room"];
        const IS_READABLE: &'static [bool] = &[KeyValue::<u8>::IS_READABLE, KeyValue::<Self>::IS_READABLE];

        fn read(values: &mut dyn Iterator<Item = &str>) -> Option<Self> {
            KeyValue::<Self>::read(values)
        }
    }

    #[test]
    #[should_panic = "the type of its `#[key] room` does not implement `Deserialize`"]
    fn a_key_that_cannot_be_read_is_reported() {
        assert!(NotDeserialized::read(&mut ["1", "2"].into_iter()).is_none());
        check_readable::<NotDeserialized>();
    }
}
