//! The schemas of single fields: the keys and slots of messages, and the parts of a request.

use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};

/// Selects the schema of a field. An expansion calls `schema` on it: that is the function here for a type that implements
/// `JsonSchema`, and that of [`UnknownField`] for any other, because rustc prefers inherent functions.
#[derive(Debug)]
pub struct FieldSchema<T>(PhantomData<T>);

impl<T: JsonSchema> FieldSchema<T> {
    /// Returns the schema of the type.
    pub fn schema(schemas: &mut SchemaGenerator) -> Schema {
        schemas.subschema_for::<T>()
    }
}

/// See [`FieldSchema`].
pub trait UnknownField {
    /// Returns the schema that any JSON matches.
    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!(true)
    }
}

impl<T> UnknownField for FieldSchema<T> {}

/// Returns the schema that any JSON matches, for a field that serde writes by a function of the user's.
#[must_use]
pub fn any_schema() -> Schema {
    json_schema!(true)
}

/// Returns the schema of a key or slot with these fields as clients know it: the value of the only field, or the object of
/// all of them.
#[must_use]
pub fn fields_schema(fields: Vec<(&str, Schema)>) -> Schema {
    let names: Vec<Value> = fields.iter().map(|(name, _)| Value::from(*name)).collect();
    let fields: Vec<(&str, Schema)> = match <[_; 1]>::try_from(fields) {
        Ok([(_, only)]) => return only,
        Err(fields) => fields,
    };
    let properties: Map<String, Value> =
        fields.into_iter().map(|(name, schema)| (name.to_owned(), schema.to_value())).collect();
    json_schema!({ "type": "object", "properties": properties, "required": names, "additionalProperties": false })
}

/// Returns the schema of a value that matches one of these. There is at least one.
#[must_use]
pub fn any_of(schemas: Vec<Schema>) -> Schema {
    let mut different: Vec<Schema> = Vec::new();
    for schema in schemas {
        if !different.contains(&schema) {
            different.push(schema);
        }
    }
    match <[_; 1]>::try_from(different) {
        Ok([only]) => only,
        Err(several) => {
            let several: Vec<Value> = several.into_iter().map(Schema::to_value).collect();
            json_schema!({ "anyOf": several })
        }
    }
}
