//! Decodes a received message as a value of the test's type.

use std::any::type_name;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::client::reading::json_part::difference;
use crate::entry::{Event, Happening};
use crate::text::{hex, message, one_line, quoted};

/// Decodes a message as a `T`. The error is the failure of a test that expected a `T`.
pub(crate) fn decode<T: DeserializeOwned>(received: &Happening) -> Result<T, String> {
    let ways = match received {
        Happening::Event(Event { name, data, .. }) => {
            let tagged = format!("{{{}:{data}}}", quoted(name));
            let tagged = (format!("as {{{}: data}}", quoted(name)), tagged);
            let alone = ("as data alone".to_owned(), data.clone());
            // `message` is the name of an event that was sent without one, so the data comes first.
            if name == "message" { vec![alone, tagged] } else { vec![tagged, alone] }
        }
        Happening::Text(text) => vec![("as it is".to_owned(), text.clone())],
        other => return Err(format!("expected a `{}`, got {}", type_name_of::<T>(), describe(other))),
    };
    let mut problem = format!("expected a `{}`, got {}", type_name_of::<T>(), describe(received));
    for (way, json) in &ways {
        match serde_json::from_str(json) {
            Ok(value) => return Ok(value),
            Err(error) => problem.extend(["\n    ", way, ": ", &error.to_string()]),
        }
    }
    let (Happening::Event(Event { data: text, .. }) | Happening::Text(text)) = received else { return Err(problem) };
    // Data that is not JSON is a string.
    let plain = serde_json::from_str::<serde_json::Value>(text).is_err();
    let value = plain.then(|| serde_json::from_value(text.clone().into()).ok()).flatten();
    value.ok_or(problem)
}

/// Returns a message that contains a JSON value, as data alone or as `{name: data}`. The error is the failure of a test
/// that expected the value.
pub(crate) fn decode_containing(received: &Happening, part: &Value) -> Result<Value, String> {
    let (name, text) = match received {
        Happening::Event(Event { name, data, .. }) => (Some(name), data),
        Happening::Text(text) => (None, text),
        other => return Err(format!("expected a message that contains {part}, got {}", describe(other))),
    };
    // Data that is not JSON is a string.
    let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()));
    let tagged = name.map(|name| json!({ name: &value }));
    let Some(difference) = difference(&value, part) else { return Ok(value) };
    match tagged.map(|tagged| self::difference(&tagged, part)) {
        Some(None) => Ok(value),
        _ => Err(format!("expected a message that contains {part}, got {}\n    {difference}", describe(received))),
    }
}

/// Describes a message for a failure.
pub(crate) fn describe(received: &Happening) -> String {
    match received {
        Happening::Event(Event { name, data, .. }) => format!("the event `{name}` with {}", one_line(data)),
        Happening::Text(text) => format!("the text {}", message(text)),
        Happening::Binary(bytes) => format!("the binary message {}", hex(bytes)),
        other => format!("{other:?}"),
    }
}

/// Returns the name of a type without its paths.
pub(crate) fn type_name_of<T>() -> String {
    let mut name = String::new();
    let mut rest = type_name::<T>();
    while let Some(end) =
        rest.find(|char: char| !(char.is_alphanumeric() || matches!(char, '_' | ':' | '{' | '}' | '#')))
    {
        name += last_segment(&rest[..end]);
        let separator = rest[end..].chars().next().map_or(0, char::len_utf8);
        name += &rest[end..end + separator];
        rest = &rest[end + separator..];
    }
    name + last_segment(rest)
}

fn last_segment(path: &str) -> &str {
    path.rsplit("::").next().unwrap_or(path)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::{decode, type_name_of};
    use crate::entry::{Event, Happening};

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Chat {
        Said { text: String },
        Left,
    }

    fn event(name: &str, data: &str) -> Happening {
        Happening::Event(Event::new(Some(name.to_owned()), None, data.to_owned()))
    }

    #[test]
    fn a_named_event_decodes_as_a_variant_and_its_data_as_a_struct() {
        assert_eq!(decode(&event("said", r#"{"text":"hi"}"#)), Ok(Chat::Said { text: "hi".into() }));
        assert_eq!(decode(&event("left", "null")), Ok(Chat::Left));
        assert_eq!(decode(&event("said", "[1,2]")), Ok(vec![1, 2]));
        assert_eq!(decode(&event("message", r#"{"said":{"text":"hi"}}"#)), Ok(Chat::Said { text: "hi".into() }));
        assert_eq!(decode(&Happening::Text("7".into())), Ok(7));
    }

    #[test]
    fn data_that_is_not_json_decodes_as_a_string() {
        assert_eq!(decode(&event("message", "two\nlines")), Ok("two\nlines".to_owned()));
        assert_eq!(decode(&Happening::Text("hello".into())), Ok("hello".to_owned()));
    }

    #[test]
    fn a_failure_shows_both_attempts() {
        insta::assert_snapshot!(decode::<Chat>(&event("typed", "{}")).unwrap_err(), @r#"
        expected a `Chat`, got the event `typed` with {}
            as {"typed": data}: unknown variant `typed`, expected `said` or `left` at line 1 column 8
            as data alone: expected value at line 1 column 2
        "#);
    }

    #[test]
    fn type_names_have_no_paths() {
        assert_eq!(type_name_of::<BTreeMap<String, Option<Vec<u8>>>>(), "BTreeMap<String, Option<Vec<u8>>>");
        assert_eq!(type_name_of::<Chat>(), "Chat");
    }
}
