//! Declarations of TypeScript for `live` of `tornadose.js`: a fixed part, `live.d.ts`, and an interface for each stream.

mod type_text;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use schemars::Schema;

use crate::schema::described::Described;
use crate::schema::message::EventSchema;
use crate::schema::stream::{Stream, unused};
use crate::schema::typescript::type_text::{Types, comment, property};

const LIVE: &str = include_str!("typescript/live.d.ts");

const HEADER: &str = "\
// Generated from the types of a Rust program by `tornadose::schema()`: change them, then run
// `TORNADOSE_WRITE=1 cargo test`.
//
// A page that loads the classic script declares:
//   declare const live: typeof import(\"./tornadose.js\").live
";

/// Names that a type of the program cannot have: those of `live.d.ts`, and those that it uses.
const RESERVED: [&str; 28] = [
    "Stream",
    "Handlers",
    "Loss",
    "Options",
    "SseOptions",
    "WsOptions",
    "Feed",
    "WsFeed",
    "AskError",
    "live",
    "Array",
    "Error",
    "Infinity",
    "Promise",
    "Record",
    "URL",
    "any",
    "bigint",
    "boolean",
    "never",
    "null",
    "number",
    "object",
    "string",
    "symbol",
    "undefined",
    "unknown",
    "void",
];

pub(crate) fn declarations(described: &Described) -> String {
    let mut taken: BTreeSet<String> = RESERVED.map(str::to_owned).into();
    let mut name = |wanted: &str| {
        let name = unused(&type_text::identifier(wanted), &taken);
        taken.insert(name.clone());
        name
    };
    let stream_names: Vec<String> = described.streams.iter().map(|stream| name(&stream.name)).collect();
    let names: BTreeMap<String, String> =
        described.definitions.keys().map(|definition| (definition.clone(), name(definition))).collect();
    let types = Types { names: &names };
    let mut text = format!("{HEADER}\n{LIVE}");
    for (stream, name) in described.streams.iter().zip(&stream_names) {
        text.push('\n');
        interface(&mut text, stream, name, &types);
    }
    for (definition, schema) in &described.definitions {
        let description = schema.get("description").and_then(serde_json::Value::as_str);
        text.push('\n');
        text.push_str(&comment(description, 0));
        let _infallible = writeln!(text, "export type {} = {}", names[definition], types.text(schema, 0));
    }
    text
}

fn interface(text: &mut String, stream: &Stream, name: &str, types: &Types<'_>) {
    let route = format!("`GET {}`", stream.path);
    let description = match stream.description {
        "" => route,
        words if words.contains(route.trim_end_matches('`')) => words.to_owned(),
        words => format!("{words}\n\n{route}"),
    };
    text.push_str(&comment(Some(&description), 0));
    let any = |schema: &Schema| types.text(schema.as_value(), 1);
    let (sends, replies) = match &stream.texts {
        Some(texts) => (any(&texts.taken), any(&texts.reply)),
        None => ("never".to_owned(), "never".to_owned()),
    };
    let watches = match &stream.key {
        Some(key) if stream.watches => any(key),
        _ => "never".to_owned(),
    };
    let _infallible = write!(
        text,
        "export interface {name} extends Stream {{\n  sse: {sse}\n  ws: {ws}\n  events: {events}\n  notices: {notices}\n  \
         sends: {sends}\n  replies: {replies}\n  watches: {watches}\n}}\n",
        sse = stream.has_sse(),
        ws = stream.has_ws(),
        events = events(&stream.events, types),
        notices = events(stream.notices(), types),
    );
}

/// Returns the type whose members are the data of events.
fn events(events: &[EventSchema], types: &Types<'_>) -> String {
    if events.is_empty() {
        return "{}".to_owned();
    }
    let mut text = "{\n".to_owned();
    for event in events {
        let data = types.text(event.data.as_value(), 2);
        let description = event.description.as_deref().or_else(|| event.data.get("description")?.as_str());
        text.push_str(&comment(description, 2));
        let _infallible = writeln!(text, "    {}: {data}", property(event.handler()));
    }
    text.push_str("  }");
    text
}
