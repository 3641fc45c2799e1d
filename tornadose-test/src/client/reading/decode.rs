//! A received message as a value of the test's type, or the sentence that says why it is none.

use std::any::type_name;

use serde::de::DeserializeOwned;

use crate::entry::{Event, What};
use crate::text::{hex, message, one_line, quoted};

/// Reads a message as a `T`.
pub(crate) fn typed<T: DeserializeOwned>(received: &What) -> Result<T, String> {
    let ways = match received {
        What::Event(Event { name, data, .. }) => {
            let tagged = format!("{{{}:{data}}}", quoted(name));
            let tagged = (format!("as {{{}: data}}", quoted(name)), tagged);
            let alone = ("as data alone".to_owned(), data.clone());
            // `message` is what an event without a name is called: its data speaks for itself.
            if name == "message" { vec![alone, tagged] } else { vec![tagged, alone] }
        }
        What::Text(text) => vec![("as it is".to_owned(), text.clone())],
        other => return Err(format!("expected a `{}`, got {}", name_of::<T>(), shown(other))),
    };
    let mut wrong = format!("expected a `{}`, got {}", name_of::<T>(), shown(received));
    for (way, json) in &ways {
        match serde_json::from_str(json) {
            Ok(value) => return Ok(value),
            Err(error) => wrong.extend(["\n    ", way, ": ", &error.to_string()]),
        }
    }
    let (What::Event(Event { data: text, .. }) | What::Text(text)) = received else { return Err(wrong) };
    // A plain handler's data need not be JSON: then it is a string.
    let plain = serde_json::from_str::<serde_json::Value>(text).is_err();
    let value = plain.then(|| serde_json::from_value(text.clone().into()).ok()).flatten();
    value.ok_or(wrong)
}

/// A message for a failure.
pub(crate) fn shown(received: &What) -> String {
    match received {
        What::Event(Event { name, data, .. }) => format!("the event `{name}` with {}", one_line(data)),
        What::Text(text) => format!("the text {}", message(text)),
        What::Binary(bytes) => format!("the binary message {}", hex(bytes)),
        other => format!("{other:?}"),
    }
}

/// The name of a type without the paths.
pub(crate) fn name_of<T>() -> String {
    let mut name = String::new();
    let mut rest = type_name::<T>();
    while let Some(end) = rest.find(|char: char| !(char.is_alphanumeric() || matches!(char, '_' | ':'))) {
        name += last(&rest[..end]);
        let behind = rest[end..].chars().next().map_or(0, char::len_utf8);
        name += &rest[end..end + behind];
        rest = &rest[end + behind..];
    }
    name + last(rest)
}

fn last(path: &str) -> &str {
    path.rsplit("::").next().unwrap_or(path)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::{name_of, typed};
    use crate::entry::{Event, What};

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Chat {
        Said { text: String },
        Left,
    }

    fn event(name: &str, data: &str) -> What {
        What::Event(Event::new(Some(name.to_owned()), None, data.to_owned()))
    }

    #[test]
    fn a_named_event_is_a_variant_and_data_alone_is_a_struct() {
        assert_eq!(typed(&event("said", r#"{"text":"hi"}"#)), Ok(Chat::Said { text: "hi".into() }));
        assert_eq!(typed(&event("left", "null")), Ok(Chat::Left));
        assert_eq!(typed(&event("said", "[1,2]")), Ok(vec![1, 2]));
        assert_eq!(typed(&event("message", r#"{"said":{"text":"hi"}}"#)), Ok(Chat::Said { text: "hi".into() }));
        assert_eq!(typed(&What::Text("7".into())), Ok(7));
    }

    #[test]
    fn data_that_is_not_json_is_a_string() {
        assert_eq!(typed(&event("message", "two\nlines")), Ok("two\nlines".to_owned()));
        assert_eq!(typed(&What::Text("hello".into())), Ok("hello".to_owned()));
    }

    #[test]
    fn a_misfit_says_both_ways_that_were_tried() {
        insta::assert_snapshot!(typed::<Chat>(&event("typed", "{}")).unwrap_err(), @r#"
        expected a `Chat`, got the event `typed` with {}
            as {"typed": data}: unknown variant `typed`, expected `said` or `left` at line 1 column 8
            as data alone: expected value at line 1 column 2
        "#);
    }

    #[test]
    fn types_are_named_without_their_paths() {
        assert_eq!(name_of::<BTreeMap<String, Option<Vec<u8>>>>(), "BTreeMap<String, Option<Vec<u8>>>");
        assert_eq!(name_of::<Chat>(), "Chat");
    }
}
