//! Parts of JSON values.

use serde::Serialize;
use serde_json::Value;

/// Returns the JSON of a value that a test expects.
#[track_caller]
pub(crate) fn value_of(part: &impl Serialize) -> Value {
    serde_json::to_value(part).unwrap_or_else(|error| panic!("the expected value is not JSON: {error}"))
}

/// Returns the first path at which `value` does not contain `part`, with what is there; `None` when it does.
pub(crate) fn difference(value: &Value, part: &Value) -> Option<String> {
    find_difference(value, part, &mut String::new())
}

fn find_difference(value: &Value, part: &Value, path: &mut String) -> Option<String> {
    match (value, part) {
        (Value::Object(value), Value::Object(part)) => part.iter().find_map(|(name, part)| {
            let length = path.len();
            path.extend([".", name]);
            let difference = match value.get(name) {
                Some(value) => find_difference(value, part, path),
                None => Some(format!("`{path}` is missing")),
            };
            path.truncate(length);
            difference
        }),
        (Value::Array(value), Value::Array(part)) if value.len() == part.len() => {
            value.iter().zip(part).enumerate().find_map(|(nth, (value, part))| {
                let length = path.len();
                path.extend(["[", &nth.to_string(), "]"]);
                let difference = find_difference(value, part, path);
                path.truncate(length);
                difference
            })
        }
        _ if value == part => None,
        _ if path.is_empty() => Some("the values differ".into()),
        _ => Some(format!("`{path}` is {value}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::difference;

    #[test]
    fn an_object_contains_some_of_its_members() {
        let user = json!({"id": 7, "name": {"first": "Ada", "last": "Lovelace"}, "tags": [{"a": 1, "b": 2}]});
        for part in
            [json!({}), json!({"id": 7}), json!({"name": {"last": "Lovelace"}, "tags": [{"b": 2}]}), user.clone()]
        {
            assert_eq!(difference(&user, &part), None, "{part}");
        }
    }

    #[test]
    fn a_difference_has_a_path() {
        let user = json!({"id": 7, "name": {"first": "Ada"}, "tags": [{"a": 1}]});
        for (part, path) in [
            (json!({"name": {"first": "Bob"}}), "`.name.first` is \"Ada\""),
            (json!({"name": {"last": "Lovelace"}}), "`.name.last` is missing"),
            (json!({"tags": [{"a": 2}]}), "`.tags[0].a` is 1"),
            (json!({"tags": []}), "`.tags` is [{\"a\":1}]"),
            (json!(7), "the values differ"),
        ] {
            assert_eq!(difference(&user, &part).as_deref(), Some(path), "{part}");
        }
    }
}
