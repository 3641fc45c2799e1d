//! The description of one stream, independent of the kind of document.

use std::collections::BTreeSet;

use schemars::Schema;

use crate::schema::definitions::Definitions;
use crate::schema::library_events;
use crate::schema::message::{EventSchema, MessageSchema};
use crate::schema::parameter::{Parameter, Place};
use crate::schema::subscriber::{SubscriberSchema, TextSchemas};
use crate::subscriber::options::Transports;

/// The description of one stream.
pub(crate) struct Stream {
    pub(crate) name: String,
    /// The path of its route, with each parameter as `{name}`.
    pub(crate) path: String,
    pub(crate) description: &'static str,
    pub(crate) transports: Transports,
    /// The parts of the request, with those of the path that the subscriber does not read.
    pub(crate) parameters: Vec<Parameter>,
    /// The events of its messages.
    pub(crate) events: Vec<EventSchema>,
    /// The events of the library over Server-Sent Events, and over WebSocket. The latter has all of the former.
    pub(crate) sse_notices: Vec<EventSchema>,
    pub(crate) ws_notices: Vec<EventSchema>,
    pub(crate) key: Option<Schema>,
    pub(crate) slot: Option<Schema>,
    /// Of a subscriber that takes texts over WebSocket.
    pub(crate) texts: Option<TextSchemas>,
    pub(crate) watches: bool,
    /// The parameters that the subscriber reads and the path does not have.
    pub(crate) missing: Vec<String>,
}

impl Stream {
    pub(crate) fn describe<S: SubscriberSchema<Message: MessageSchema>>(
        route: &str,
        definitions: &mut Definitions,
    ) -> Self {
        let (path, names) = parse_path(route);
        let key = S::Message::key_schema(&mut definitions.written);
        let slot = S::Message::slot_schema(&mut definitions.written);
        let texts = match S::OPTIONS.transports {
            Transports::Sse => None,
            Transports::Ws | Transports::Both => S::texts(&mut definitions.read, &mut definitions.written),
        };
        let mut parameters = S::parameters(&mut definitions.read);
        let is_path = |parameter: &Parameter| parameter.place == Place::Path;
        let is_in_path = |parameter: &Parameter| names.contains(&parameter.name);
        let missing = parameters.iter().filter(|parameter| is_path(parameter) && !is_in_path(parameter));
        let missing = missing.map(|parameter| parameter.name.clone()).collect();
        parameters.retain(|parameter| !is_path(parameter) || is_in_path(parameter));
        for name in names {
            if !parameters.iter().any(|parameter| is_path(parameter) && parameter.name == name) {
                parameters.push(Parameter::path(name, schemars::json_schema!({ "type": "string" })));
            }
        }
        let resume = Parameter::last_event_id();
        if !parameters.iter().any(|own| (own.place, &own.name) == (resume.place, &resume.name)) {
            parameters.push(resume);
        }
        Self {
            name: S::NAME.to_owned(),
            path,
            description: S::DESCRIPTION,
            transports: S::OPTIONS.transports,
            parameters,
            events: S::Message::event_schemas(&mut definitions.written),
            sse_notices: library_events::events::<S>(key.as_ref(), slot.as_ref(), false),
            ws_notices: library_events::events::<S>(key.as_ref(), slot.as_ref(), true),
            key,
            slot,
            texts,
            watches: S::WATCH.is_some(),
            missing,
        }
    }

    /// The schemas of what the program writes, and of what it reads.
    pub(crate) fn schemas_mut(&mut self) -> (Vec<&mut Schema>, Vec<&mut Schema>) {
        let events = self.events.iter_mut().chain(&mut self.sse_notices).chain(&mut self.ws_notices);
        let events = events.map(|event| &mut event.data);
        let (taken, reply) = match &mut self.texts {
            Some(TextSchemas { taken, reply }) => (Some(taken), Some(reply)),
            None => (None, None),
        };
        let written = events.chain(&mut self.key).chain(&mut self.slot).chain(reply);
        let read = self.parameters.iter_mut().map(|parameter| &mut parameter.schema).chain(taken);
        (written.collect(), read.collect())
    }

    /// The events of the library that a page may get: over a WebSocket where there is one.
    pub(crate) fn notices(&self) -> &[EventSchema] {
        if self.has_ws() { &self.ws_notices } else { &self.sse_notices }
    }

    pub(crate) fn has_sse(&self) -> bool {
        matches!(self.transports, Transports::Sse | Transports::Both)
    }

    pub(crate) fn has_ws(&self) -> bool {
        matches!(self.transports, Transports::Ws | Transports::Both)
    }
}

/// Gives every stream a name of its own.
pub(crate) fn name_apart(streams: &mut [Stream]) {
    let mut taken = BTreeSet::new();
    for stream in streams {
        stream.name = unused(&stream.name, &taken);
        taken.insert(stream.name.clone());
    }
}

/// Returns the name, with a number where it is taken.
pub(crate) fn unused(name: &str, taken: &BTreeSet<String>) -> String {
    if !taken.contains(name) {
        return name.to_owned();
    }
    let mut number = 2_usize;
    loop {
        let numbered = format!("{name}{number}");
        if !taken.contains(&numbered) {
            return numbered;
        }
        number += 1;
    }
}

/// Returns the path of a route of Salvo with each parameter as `{name}`, and the names. Salvo also writes `{name|regex}`,
/// `{name:type}`, and `{*name}`, `{**name}`, `{*+name}` and `{*?name}` for the rest of a path.
fn parse_path(route: &str) -> (String, Vec<String>) {
    let mut path = String::new();
    if !route.starts_with('/') {
        path.push('/');
    }
    let (mut names, mut rest) = (Vec::new(), route);
    while let Some((before, after)) = rest.split_once('{') {
        path.push_str(before);
        // A regular expression may have braces too.
        let mut depth = 1_usize;
        let end = after.find(|character| {
            depth = match character {
                '{' => depth + 1,
                '}' => depth - 1,
                _ => depth,
            };
            depth == 0
        });
        let Some(end) = end else {
            path.push('{');
            rest = after;
            continue;
        };
        let name = after[..end].split(['|', ':']).next().unwrap_or_default();
        let name = name.trim_start_matches(['*', '+', '?']);
        path.extend(["{", name, "}"]);
        names.push(name.to_owned());
        rest = &after[end + 1..];
    }
    path.push_str(rest);
    (path, names)
}

#[cfg(test)]
mod tests {
    use super::parse_path;

    #[test]
    fn a_path_has_the_names_of_its_parameters() {
        for (route, path, names) in [
            ("/", "/", &[] as &[&str]),
            ("ticks", "/ticks", &[]),
            ("/rooms/{room}", "/rooms/{room}", &["room"]),
            ("rooms/{room|[a-z]{2,8}}/{user:num}", "/rooms/{room}/{user}", &["room", "user"]),
            ("/files/{**rest}", "/files/{rest}", &["rest"]),
            ("/files/{*+rest}", "/files/{rest}", &["rest"]),
            ("/open/{", "/open/{", &[]),
        ] {
            let (found, parameters) = parse_path(route);
            assert_eq!(
                (found.as_str(), parameters.as_slice()),
                (path, names.iter().map(ToString::to_string).collect::<Vec<_>>().as_slice())
            );
        }
    }
}
