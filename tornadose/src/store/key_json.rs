//! The JSON of a key: the text by which a key is known outside of the process, and its length, which is the size of
//! the key.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;

use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::event::error::EncodeError;

/// Returns the text of a key, by which a backend stores its latest values.
pub(crate) fn key_text(key: &impl Serialize) -> Result<String, EncodeError> {
    Ok(serde_json::to_string(key)?)
}

/// Returns the key of this text as it is written to clients: the value alone where the key has one field.
pub(crate) fn wire_key(key_text: &str) -> Cow<'_, str> {
    let Ok(fields) = serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(key_text) else {
        return key_text.into();
    };
    match fields.first_key_value() {
        Some((_, value)) if fields.len() == 1 => value.get().to_owned().into(),
        _ => key_text.into(),
    }
}

/// Returns the slot of this JSON as it is written to clients: the value alone where the slot has one field.
/// `names_variant`: the JSON is that of an enum, and what is below the name of the variant is written.
pub(super) fn wire_slot(slot: &str, names_variant: bool) -> Cow<'_, str> {
    if !names_variant {
        return wire_key(slot);
    }
    match serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(slot) {
        Ok(variant) if variant.len() == 1 => {
            let fields = variant.into_values().next().map_or("null", RawValue::get);
            wire_key(fields).into_owned().into()
        }
        _ => slot.into(),
    }
}

/// Returns the place of a latest value as backends know it: its key, and the JSON of its slot or else its event's name.
pub(super) fn latest_slot(key_text: &str, event_name: Option<&str>, slot: Option<&str>) -> String {
    match slot.or(event_name) {
        Some(name) => format!("{key_text} {name}"),
        None => key_text.to_owned(),
    }
}

/// Splits the place of a latest value into the text of its key and the rest. Returns `None` for the text of a key alone.
pub(super) fn split_slot(place: &str) -> Option<(&str, &str)> {
    let mut values = serde_json::Deserializer::from_str(place).into_iter::<IgnoredAny>();
    values.next()?.ok()?;
    let (key_text, rest) = place.split_at_checked(values.byte_offset())?;
    Some((key_text, rest.strip_prefix(' ')?))
}

/// Returns the length of a key's JSON, without building it. A type without fields has one value, which nobody chooses:
/// its key has the size 0.
pub(crate) fn key_size<K: Serialize>(key: &K) -> Result<usize, EncodeError> {
    if size_of::<K>() == 0 {
        return Ok(0);
    }
    let mut counter = ByteCounter(0);
    serde_json::to_writer(&mut counter, key)?;
    Ok(counter.0)
}

struct ByteCounter(usize);

impl io::Write for ByteCounter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde::ser::Error;
    use serde::{Serialize, Serializer};

    use super::{key_size, key_text, latest_slot, split_slot, wire_key, wire_slot};
    use crate::message::NoKey;

    #[test]
    fn the_size_of_a_key_is_the_length_of_its_json() {
        for key in ["", "room", "\"\n\u{1}é🦀"] {
            assert_eq!(key_size(&key).unwrap(), key_text(&key).unwrap().len(), "{key:?}");
        }
        assert_eq!(key_size(&(7, "seven")).unwrap(), r#"[7,"seven"]"#.len());
        assert_eq!(key_size(&NoKey).unwrap(), 0);
    }

    #[test]
    fn the_slot_of_a_value_is_the_json_of_its_key_and_the_name_of_its_event() {
        let text = key_text(&("rust", 7)).unwrap();
        assert_eq!(latest_slot(&text, None, None), r#"["rust",7]"#);
        assert_eq!(latest_slot(&text, Some("quote"), None), r#"["rust",7] quote"#);
        assert_eq!(latest_slot(&text, Some("quote"), Some(r#"{"a":"b c"}"#)), r#"["rust",7] {"a":"b c"}"#);
    }

    #[test]
    fn the_place_of_a_value_is_split_behind_the_key() {
        for (key, rest) in [(r#"{"room":"a b \" c"}"#, "quote"), ("7", r#"{"a":"b c"}"#), ("\"x \"", " ")] {
            assert_eq!(split_slot(&format!("{key} {rest}")), Some((key, rest)));
            assert_eq!(split_slot(key), None);
        }
        for neither in ["", " ", "Debug { of: 1 }", "{} x".trim_end_matches(" x"), "[1,"] {
            assert_eq!(split_slot(neither), None, "{neither:?}");
        }
    }

    #[test]
    fn a_key_of_one_field_is_written_as_its_value() {
        for (text, written) in [
            (r#"{"room":"a\"b"}"#, r#""a\"b""#),
            (r#"{"room":{"x":1}}"#, r#"{"x":1}"#),
            (r#"{"tenant":1,"room":"a"}"#, r#"{"tenant":1,"room":"a"}"#),
            (r#""home""#, r#""home""#),
            ("[1,2]", "[1,2]"),
            ("{}", "{}"),
            ("null", "null"),
        ] {
            assert_eq!(wire_key(text), written);
        }
    }

    #[test]
    fn a_slot_is_written_as_a_key_is_and_that_of_an_enum_without_its_variant() {
        for (text, names_variant, written) in [
            (r#"{"sensor":"heat"}"#, false, r#""heat""#),
            (r#"{"at":{"x":1}}"#, false, r#"{"x":1}"#),
            (r#"{"Reading":{"sensor":"heat"}}"#, true, r#""heat""#),
            (r#"{"Reading":{"sensor":"heat","unit":"C"}}"#, true, r#"{"sensor":"heat","unit":"C"}"#),
            (r#"{"Reading":{"at":{"x":1}}}"#, true, r#"{"x":1}"#),
            ("7", false, "7"),
            ("7", true, "7"),
        ] {
            assert_eq!(wire_slot(text, names_variant), written);
        }
    }

    #[test]
    fn a_key_that_cannot_be_serialized_is_an_error() {
        struct Fails(#[expect(dead_code, reason = "the type has a field")] u8);
        impl Serialize for Fails {
            fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(S::Error::custom("no"))
            }
        }
        assert!(key_size(&Fails(1)).is_err());
        assert!(key_text(&Fails(1)).is_err());
    }
}
