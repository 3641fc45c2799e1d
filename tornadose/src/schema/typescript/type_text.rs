//! Writes a JSON Schema as a type of TypeScript.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::schema::definitions::definition_name;

/// Writes types.
pub(super) struct Types<'a> {
    /// The names of the definitions in TypeScript, by those in the document.
    pub(super) names: &'a BTreeMap<String, String>,
}

impl Types<'_> {
    /// Returns the type. `depth` is that of the line on which it begins.
    pub(super) fn text(&self, schema: &Value, depth: usize) -> String {
        match schema {
            Value::Bool(false) => "never".to_owned(),
            Value::Object(members) => self.object_schema(members, depth),
            _ => "unknown".to_owned(),
        }
    }

    fn object_schema(&self, schema: &Map<String, Value>, depth: usize) -> String {
        if let Some(value) = schema.get("const") {
            return literal(value);
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            return union(values.iter().map(literal).collect());
        }
        // Each keyword restricts the values further.
        let mut parts: Vec<String> = Vec::new();
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let name = definition_name(reference).and_then(|name| self.names.get(&name));
            parts.push(name.cloned().unwrap_or_else(|| "unknown".to_owned()));
        }
        for word in ["oneOf", "anyOf"] {
            if let Some(schemas) = schema.get(word).and_then(Value::as_array) {
                parts.push(union(schemas.iter().map(|schema| self.text(schema, depth)).collect()));
            }
        }
        if let Some(schemas) = schema.get("allOf").and_then(Value::as_array) {
            parts.extend(schemas.iter().map(|schema| self.text(schema, depth)));
        }
        let is_known = |text: &String| text != "unknown";
        let own = self.own_type(schema, depth, parts.iter().any(is_known));
        parts.extend(own);
        parts.retain(is_known);
        parts.dedup();
        intersection(parts)
    }

    /// Returns the type that the keyword `type` and those of objects and arrays tell. `has_others` is whether other keywords
    /// tell of one, so that `object` alone adds nothing.
    fn own_type(&self, schema: &Map<String, Value>, depth: usize, has_others: bool) -> Option<String> {
        let types: Vec<&str> = match schema.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ if schema.contains_key("properties") => vec!["object"],
            _ => return None,
        };
        let has_members =
            ["properties", "additionalProperties", "patternProperties"].iter().any(|word| schema.contains_key(*word));
        if types == ["object"] && has_others && !has_members {
            return None;
        }
        Some(union(types.into_iter().map(|word| self.basic_type(word, schema, depth)).collect()))
    }

    fn basic_type(&self, word: &str, schema: &Map<String, Value>, depth: usize) -> String {
        match word {
            "string" | "boolean" | "null" => word.to_owned(),
            "integer" | "number" => "number".to_owned(),
            "array" => self.array(schema, depth),
            "object" => self.object(schema, depth),
            _ => "unknown".to_owned(),
        }
    }

    fn array(&self, schema: &Map<String, Value>, depth: usize) -> String {
        if let Some(items) = schema.get("prefixItems").and_then(Value::as_array) {
            let items: Vec<String> = items.iter().map(|item| self.text(item, depth)).collect();
            return format!("[{}]", items.join(", "));
        }
        let item = schema.get("items").map_or_else(|| "unknown".to_owned(), |item| self.text(item, depth));
        if is_compound(&item) { format!("({item})[]") } else { format!("{item}[]") }
    }

    fn object(&self, schema: &Map<String, Value>, depth: usize) -> String {
        let none = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
        let patterns = schema.get("patternProperties").and_then(Value::as_object);
        let others = match schema.get("additionalProperties") {
            Some(Value::Bool(_)) | None => patterns.and_then(|patterns| patterns.values().next()),
            others => others,
        };
        let others = others.map(|others| format!("Record<string, {}>", self.text(others, depth)));
        if properties.is_empty() {
            return match (others, schema.get("additionalProperties")) {
                (Some(others), _) => others,
                (None, Some(Value::Bool(false))) => "Record<string, never>".to_owned(),
                (None, _) => "Record<string, unknown>".to_owned(),
            };
        }
        let required = schema.get("required").and_then(Value::as_array);
        let is_required = |name: &String| required.is_some_and(|required| required.iter().any(|word| word == name));
        let mut text = "{\n".to_owned();
        for (name, value) in properties {
            let mark = if is_required(name) { "" } else { "?" };
            let description = value.get("description").and_then(Value::as_str);
            text.push_str(&comment(description, depth + 1));
            let value = self.text(value, depth + 1);
            let _infallible = writeln!(text, "{}{}{mark}: {value}", indentation(depth + 1), property(name));
        }
        text.push_str(&indentation(depth));
        text.push('}');
        // TypeScript would have the type of the others for the known members too.
        match others {
            Some(_) => format!("{text} & Record<string, unknown>"),
            None => text,
        }
    }
}

/// Returns the comment with this text, or nothing.
pub(super) fn comment(text: Option<&str>, depth: usize) -> String {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return String::new() };
    let (text, indentation) = (text.replace("*/", "*\\/"), indentation(depth));
    let lines: Vec<&str> = text.trim().lines().map(str::trim_end).collect();
    if let [line] = lines.as_slice() {
        return format!("{indentation}/** {line} */\n");
    }
    let mut comment = format!("{indentation}/**\n");
    for line in lines {
        let line = format!("{indentation} * {line}");
        comment.push_str(line.trim_end());
        comment.push('\n');
    }
    comment.push_str(&indentation);
    comment.push_str(" */\n");
    comment
}

/// Returns the name of a member, in quotes where it has to be.
pub(super) fn property(name: &str) -> String {
    if is_identifier(name) { name.to_owned() } else { Value::from(name).to_string() }
}

/// Returns an identifier that resembles the name.
pub(super) fn identifier(name: &str) -> String {
    let mut identifier: String = name
        .chars()
        .map(|character| if character.is_alphanumeric() || character == '_' { character } else { '_' })
        .collect();
    if !identifier.starts_with(|first: char| first.is_alphabetic() || first == '_') {
        identifier.insert(0, '_');
    }
    identifier
}

fn is_identifier(name: &str) -> bool {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_' || character == '$';
    name.starts_with(|first: char| is_part(first) && !first.is_ascii_digit()) && name.chars().all(is_part)
}

fn literal(value: &Value) -> String {
    match value {
        Value::Object(_) | Value::Array(_) => "unknown".to_owned(),
        simple => simple.to_string(),
    }
}

fn union(mut types: Vec<String>) -> String {
    let mut seen = Vec::new();
    types.retain(|text| {
        let is_new = !seen.contains(text);
        seen.push(text.clone());
        is_new
    });
    if types.iter().any(|text| text == "unknown") {
        return "unknown".to_owned();
    }
    match types.as_slice() {
        [] => "never".to_owned(),
        _ => types.join(" | "),
    }
}

fn intersection(types: Vec<String>) -> String {
    match <[String; 1]>::try_from(types) {
        Ok([one]) => one,
        Err(types) if types.is_empty() => "unknown".to_owned(),
        Err(types) => {
            let in_parentheses = |text: String| if is_compound(&text) { format!("({text})") } else { text };
            types.into_iter().map(in_parentheses).collect::<Vec<_>>().join(" & ")
        }
    }
}

/// Whether the type is a union or an intersection, and not one in brackets.
fn is_compound(text: &str) -> bool {
    let (mut depth, mut rest) = (0_usize, text);
    while let Some(first) = rest.chars().next() {
        // A comment, and a text, may have any characters.
        if let Some(comment) = rest.strip_prefix("/**") {
            rest = comment.split_once("*/").map_or("", |(_, after)| after);
            continue;
        }
        rest = &rest[first.len_utf8()..];
        match first {
            '"' => rest = after_text(rest),
            '{' | '[' | '(' | '<' => depth += 1,
            '}' | ']' | ')' | '>' => depth = depth.saturating_sub(1),
            '|' | '&' if depth == 0 => return true,
            _ => {}
        }
    }
    false
}

/// Returns what follows the quote that ends a text of JSON.
fn after_text(text: &str) -> &str {
    let mut is_escaped = false;
    let end = text.find(|character| {
        let is_end = character == '"' && !is_escaped;
        is_escaped = character == '\\' && !is_escaped;
        is_end
    });
    end.map_or("", |end| &text[end + 1..])
}

fn indentation(depth: usize) -> String {
    "  ".repeat(depth)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::{Types, comment, identifier, property};

    #[test]
    fn a_schema_is_written_as_a_type() {
        let names = BTreeMap::from([("Said".to_owned(), "Said2".to_owned())]);
        let types = Types { names: &names };
        for (schema, text) in [
            (json!(true), "unknown"),
            (json!({}), "unknown"),
            (json!(false), "never"),
            (json!({ "type": "string" }), "string"),
            (json!({ "type": ["string", "null"] }), "string | null"),
            (json!({ "type": "integer", "format": "uint8", "minimum": 0 }), "number"),
            (json!({ "const": "a" }), "\"a\""),
            (json!({ "enum": ["a", 1, null] }), "\"a\" | 1 | null"),
            (json!({ "$ref": "#/components/schemas/Said" }), "Said2"),
            (json!({ "$ref": "#/components/schemas/Other" }), "unknown"),
            (json!({ "type": "array", "items": { "type": "number" } }), "number[]"),
            (json!({ "type": "array", "items": { "type": ["number", "null"] } }), "(number | null)[]"),
            (
                json!({ "type": "array", "prefixItems": [{ "type": "number" }, { "type": "string" }] }),
                "[number, string]",
            ),
            (
                json!({ "type": "array", "items": { "type": "array", "prefixItems": [{ "type": ["number", "null"] }, true] } }),
                "[number | null, unknown][]",
            ),
            (json!({ "type": "array", "items": { "enum": ["a|b"] } }), "\"a|b\"[]"),
            (json!({ "type": "array" }), "unknown[]"),
            (json!({ "type": "object" }), "Record<string, unknown>"),
            (json!({ "type": "object", "additionalProperties": { "type": "number" } }), "Record<string, number>"),
            (json!({ "type": "object", "additionalProperties": false }), "Record<string, never>"),
            (
                json!({ "type": "object", "patternProperties": { "^\\d+$": { "type": "number" } }, "additionalProperties": false }),
                "Record<string, number>",
            ),
            (
                json!({ "type": "object", "properties": { "a": { "type": "number" }, "b-c": true }, "required": ["a"] }),
                "{\n  a: number\n  \"b-c\"?: unknown\n}",
            ),
            (
                json!({
                    "oneOf": [{ "type": "object", "properties": { "kind": { "const": "a" } }, "required": ["kind"] }, { "type": "null" }],
                    "type": "object", "properties": { "id": { "type": "string" } }, "required": ["id"],
                }),
                "({\n  kind: \"a\"\n} | null) & {\n  id: string\n}",
            ),
            (json!({ "anyOf": [{ "type": "string" }, { "type": "string" }] }), "string"),
            (json!({ "allOf": [{ "$ref": "#/components/schemas/Said" }], "type": "object" }), "Said2"),
            // A variant of an enum with a tag.
            (
                json!({
                    "$ref": "#/components/schemas/Said", "type": "object",
                    "properties": { "kind": { "const": "a" } }, "required": ["kind"],
                }),
                "Said2 & {\n  kind: \"a\"\n}",
            ),
            // A map beside other members.
            (
                json!({
                    "type": "object", "properties": { "id": { "type": "string" } }, "required": ["id"],
                    "additionalProperties": { "type": "number" },
                }),
                "{\n  id: string\n} & Record<string, unknown>",
            ),
            (json!({ "type": "array", "items": { "enum": ["\"", "b"] } }), "(\"\\\"\" | \"b\")[]"),
            (
                json!({ "type": "array", "items": { "oneOf": [
                    { "type": "object", "properties": { "a": { "type": "string", "description": "5\" < 6" } } },
                    { "type": "null" },
                ] } }),
                "({\n  /** 5\" < 6 */\n  a?: string\n} | null)[]",
            ),
        ] {
            assert_eq!(types.text(&schema, 0), text, "{schema}");
        }
    }

    #[test]
    fn a_description_is_a_comment_that_nothing_ends_early() {
        assert_eq!(comment(None, 1), "");
        assert_eq!(comment(Some("One."), 1), "  /** One. */\n");
        assert_eq!(comment(Some("One */ two.\n\nThree."), 0), "/**\n * One *\\/ two.\n *\n * Three.\n */\n");
    }

    #[test]
    fn names_are_quoted_or_replaced() {
        for (name, text) in [("said", "said"), ("tornadose:gap", "\"tornadose:gap\""), ("1a", "\"1a\""), ("", "\"\"")] {
            assert_eq!(property(name), text);
        }
        for (name, text) in
            [("Said", "Said"), ("Page<Said>", "Page_Said_"), ("1a", "_1a"), ("Ärger", "Ärger"), ("", "_")]
        {
            assert_eq!(identifier(name), text);
        }
    }
}
