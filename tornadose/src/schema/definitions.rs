//! The definitions that the schemas of a document share. The written and the read form of one type may differ,
//! such as in a field with a default, so that each has a generator of its own.

use std::collections::{BTreeMap, BTreeSet};

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::Value;

/// Where references point to.
pub(crate) const PREFIX: &str = "#/components/schemas/";

/// The version of JSON Schema that a document has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// AsyncAPI 3.0.
    Draft07,
    /// OpenAPI 3.2.
    Draft202012,
}

/// Collects definitions while streams are described.
pub(crate) struct Definitions {
    /// Of what the program writes.
    pub(crate) written: SchemaGenerator,
    /// Of what the program reads.
    pub(crate) read: SchemaGenerator,
}

impl Definitions {
    pub(crate) fn new(dialect: Dialect) -> Self {
        let settings = match dialect {
            Dialect::Draft07 => SchemaSettings::draft07(),
            Dialect::Draft202012 => SchemaSettings::draft2020_12(),
        };
        let settings = settings.with(|settings| settings.definitions_path = "/components/schemas".into());
        Self {
            written: settings.clone().for_serialize().into_generator(),
            read: settings.for_deserialize().into_generator(),
        }
    }

    /// Returns all definitions by their names. `written` and `read` are the schemas of the document, which are changed to
    /// its dialect; a definition that is read otherwise than it is written has the name of the type and `Input`.
    pub(crate) fn finish(mut self, written: Vec<&mut Schema>, mut read: Vec<&mut Schema>) -> BTreeMap<String, Value> {
        for schema in written {
            convert(&mut self.written, schema);
        }
        for schema in &mut read {
            convert(&mut self.read, schema);
        }
        let mut definitions = take(&mut self.written);
        let mut inputs = take(&mut self.read);
        let renamed = different(&definitions, &inputs);
        let names: BTreeMap<String, String> = renamed
            .into_iter()
            .map(|name| {
                let is_taken = |new: &String| definitions.contains_key(new) || inputs.contains_key(new);
                let mut new = format!("{name}Input");
                while is_taken(&new) {
                    new.push('_');
                }
                (name, new)
            })
            .collect();
        for value in inputs.values_mut() {
            rename(value, &names);
        }
        for schema in read {
            let mut value = std::mem::take(schema).to_value();
            rename(&mut value, &names);
            *schema = Schema::try_from(value).unwrap_or_default();
        }
        for (name, value) in inputs {
            definitions.insert(names.get(&name).cloned().unwrap_or(name), value);
        }
        definitions
    }
}

/// Returns the name of the definition that a reference points to.
pub(crate) fn definition_name(reference: &str) -> Option<String> {
    let encoded = reference.strip_prefix(PREFIX)?;
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = (*first == b'%').then(|| encoded_byte(after)).flatten();
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    // RFC 6901 §4: the order matters.
    Some(String::from_utf8(bytes).ok()?.replace("~1", "/").replace("~0", "~"))
}

/// Returns the byte that two hexadecimal digits stand for.
fn encoded_byte(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits.get(..2)?).ok()?, 16).ok()
}

/// Sorts the members of all objects, so that the text does not depend on the features of `serde_json`.
pub(crate) fn sorted(mut value: Value) -> Value {
    value.sort_all_objects();
    value
}

/// Applies the dialect to a schema.
fn convert(generator: &mut SchemaGenerator, schema: &mut Schema) {
    for transform in generator.transforms_mut() {
        transform.transform(schema);
    }
    let value = sorted(std::mem::take(schema).to_value());
    *schema = Schema::try_from(value).unwrap_or_default();
}

fn take(generator: &mut SchemaGenerator) -> BTreeMap<String, Value> {
    generator.take_definitions(true).into_iter().map(|(name, value)| (name, sorted(value))).collect()
}

/// Returns the names of the definitions that are read otherwise than they are written, themselves or by what they refer to.
fn different(written: &BTreeMap<String, Value>, read: &BTreeMap<String, Value>) -> BTreeSet<String> {
    let is_different = |(name, value): &(&String, &Value)| written.get(*name).is_some_and(|other| other != *value);
    let mut names: BTreeSet<String> = read.iter().filter(is_different).map(|(name, _)| name.clone()).collect();
    loop {
        let refers = |value: &Value| references(value).iter().any(|name| names.contains(name));
        let more: Vec<String> = read
            .iter()
            .filter(|(name, value)| written.contains_key(*name) && !names.contains(*name) && refers(value))
            .map(|(name, _)| name.clone())
            .collect();
        if more.is_empty() {
            return names;
        }
        names.extend(more);
    }
}

/// Returns the names of the definitions that a schema refers to.
fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(members) => {
            let own = members.get("$ref").and_then(Value::as_str).and_then(definition_name);
            own.into_iter().chain(members.values().flat_map(references)).collect()
        }
        Value::Array(values) => values.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

fn rename(value: &mut Value, names: &BTreeMap<String, String>) {
    match value {
        Value::Object(members) => {
            let new = members.get("$ref").and_then(Value::as_str).and_then(definition_name);
            if let Some(new) = new.and_then(|name| names.get(&name)) {
                let encoded = new.replace('~', "~0").replace('/', "~1").replace('%', "%25");
                members.insert("$ref".into(), format!("{PREFIX}{encoded}").into());
            }
            for value in members.values_mut() {
                rename(value, names);
            }
        }
        Value::Array(values) => {
            for value in values {
                rename(value, names);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    use super::{Definitions, Dialect, definition_name};

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Inner {
        #[serde(default)]
        count: u8,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Outer {
        inner: Inner,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Same {
        text: String,
    }

    #[test]
    fn a_type_that_is_read_otherwise_has_two_definitions() {
        let mut definitions = Definitions::new(Dialect::Draft07);
        let mut written = [definitions.written.subschema_for::<Outer>(), definitions.written.subschema_for::<Same>()];
        let mut read = [definitions.read.subschema_for::<Outer>(), definitions.read.subschema_for::<Same>()];
        let all = definitions.finish(written.iter_mut().collect(), read.iter_mut().collect());
        let names: Vec<&str> = all.keys().map(String::as_str).collect();
        assert_eq!(names, ["Inner", "InnerInput", "Outer", "OuterInput", "Same"]);
        assert_eq!(all["Inner"]["required"], json!(["count"]));
        assert_eq!(all["InnerInput"].get("required"), None);
        assert_eq!(all["OuterInput"]["properties"]["inner"], json!({ "$ref": "#/components/schemas/InnerInput" }));
        assert_eq!(*written[0].as_value(), json!({ "$ref": "#/components/schemas/Outer" }));
        assert_eq!(*read[0].as_value(), json!({ "$ref": "#/components/schemas/OuterInput" }));
        assert_eq!(read[1], written[1]);
    }

    #[test]
    fn the_name_of_a_reference_is_decoded() {
        for (reference, name) in [
            ("#/components/schemas/Said", Some("Said")),
            ("#/components/schemas/%C3%84rger~1a~01%", Some("Ärger/a~1%")),
            ("#/definitions/Said", None),
        ] {
            assert_eq!(definition_name(reference).as_deref(), name);
        }
    }
}
