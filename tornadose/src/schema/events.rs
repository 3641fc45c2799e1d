//! The events of a message of `#[store]`, taken from the JSON Schema of its type: of an enum, each variant is an event.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};

use crate::schema::message::EventSchema;

/// How the events of a message are named.
#[derive(Clone, Copy, Debug)]
pub enum EventNames {
    /// Every event is without a name.
    Unnamed,
    /// By variants, whose names serde writes.
    Variants {
        /// The names.
        named: &'static [&'static str],
        /// Whether other variants have events without a name.
        has_unnamed: bool,
    },
    /// By the variants of another type, which serde converts the message to. Their names are not known.
    Converted,
}

/// A type whose events can be described. Every type that implements `JsonSchema` is one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `JsonSchema`",
    label = "`schema` describes its events by it",
    note = "put `#[derive(JsonSchema)]` of the crate `schemars` on `{Self}`"
)]
pub trait DescribeEvents {
    /// Returns its events.
    fn events(schemas: &mut SchemaGenerator, names: EventNames) -> Vec<EventSchema>;
}

#[diagnostic::do_not_recommend]
impl<T: JsonSchema> DescribeEvents for T {
    fn events(schemas: &mut SchemaGenerator, names: EventNames) -> Vec<EventSchema> {
        let is_known = match names {
            EventNames::Unnamed => return vec![EventSchema::unnamed(schemas.subschema_for::<T>())],
            EventNames::Variants { named, .. } => Some(named),
            EventNames::Converted => None,
        };
        let whole = T::json_schema(schemas);
        let (mut events, rest) = split(&whole, &|name| is_known.is_none_or(|named| named.contains(&name)));
        // An event that the schema does not show is sent all the same, as any JSON.
        let is_missing = |name: &&&str| events.iter().all(|event| event.name() != Some(name));
        let missing: Vec<&str> = is_known.unwrap_or_default().iter().filter(is_missing).copied().collect();
        events.extend(missing.into_iter().map(|name| EventSchema::named(name, json_schema!(true))));
        let has_unnamed = match names {
            EventNames::Variants { has_unnamed, .. } => has_unnamed,
            EventNames::Unnamed | EventNames::Converted => !rest.is_empty(),
        };
        if has_unnamed {
            let data = match <[Value; 1]>::try_from(rest) {
                Ok([only]) => into_schema(only),
                Err(none) if none.is_empty() => json_schema!(true),
                Err(several) => json_schema!({ "anyOf": several }),
            };
            events.push(EventSchema::unnamed(data));
        }
        events
    }
}

/// Returns the events of the named variants of an enum, and the schemas of what has no name.
///
/// An externally tagged enum is one of several objects, each with the name of a variant as its only member, and of texts,
/// which are the names of variants without content.
fn split(whole: &Schema, is_name: &dyn Fn(&str) -> bool) -> (Vec<EventSchema>, Vec<Value>) {
    let alternatives = ["oneOf", "anyOf"].into_iter().find_map(|word| whole.get(word)?.as_array());
    let alternatives = alternatives.map_or_else(
        || {
            // The description is of the type.
            let mut only = whole.as_value().clone();
            if let Some(members) = only.as_object_mut() {
                members.remove("description");
            }
            vec![only]
        },
        Clone::clone,
    );
    let (mut events, mut rest) = (Vec::<EventSchema>::new(), Vec::new());
    for alternative in alternatives {
        let mut found = named_events(&alternative, is_name);
        // A variant without a name may look like one that has been found.
        found.retain(|event| events.iter().all(|earlier| earlier.name != event.name));
        if found.is_empty() {
            rest.push(alternative);
        }
        events.extend(found);
    }
    (events, rest)
}

fn named_events(alternative: &Value, is_name: &dyn Fn(&str) -> bool) -> Vec<EventSchema> {
    let description = alternative.get("description").and_then(Value::as_str);
    let describe = |event: EventSchema| match description {
        Some(text) => event.description(text),
        None => event,
    };
    // A variant without content is sent with the data `null`.
    let unit = |name: &str| describe(EventSchema::named(name, json_schema!({ "type": "null" })));
    if let Some(name) = alternative.get("const").and_then(Value::as_str) {
        return if is_name(name) { vec![unit(name)] } else { Vec::new() };
    }
    if let Some(names) = alternative.get("enum").and_then(Value::as_array) {
        let names: Option<Vec<&str>> = names.iter().map(Value::as_str).collect();
        let names = names.filter(|names| names.iter().all(|name| is_name(name)));
        return names.unwrap_or_default().into_iter().map(unit).collect();
    }
    let member = alternative.get("properties").and_then(Value::as_object).and_then(only_member);
    let is_required = |name: &str| {
        let required = alternative.get("required").and_then(Value::as_array);
        required.is_some_and(|required| required.iter().any(|word| word == name))
    };
    match member {
        Some((name, data)) if is_name(name) && is_required(name) => {
            vec![describe(EventSchema::named(name, into_schema(data.clone())))]
        }
        _ => Vec::new(),
    }
}

fn only_member(members: &Map<String, Value>) -> Option<(&String, &Value)> {
    if members.len() == 1 { members.iter().next() } else { None }
}

fn into_schema(value: Value) -> Schema {
    Schema::try_from(value).unwrap_or_else(|_| json_schema!(true))
}
