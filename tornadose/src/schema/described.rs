//! All streams of a program, described for one kind of document.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::schema::stream::Stream;

/// The streams of a document and the definitions that they share.
pub(crate) struct Described {
    pub(crate) title: String,
    pub(crate) version: String,
    pub(crate) streams: Vec<Stream>,
    pub(crate) definitions: BTreeMap<String, Value>,
}

impl Described {
    /// Returns the parameters that subscribers read and their paths do not have, as sentences.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let missing = self.streams.iter().flat_map(|stream| stream.missing.iter().map(move |name| (stream, name)));
        missing
            .map(|(Stream { name: stream, path, .. }, name)| {
                format!("`{stream}` reads the part `{{{name}}}` of the path, which `{path}` does not have: give `route` the whole path")
            })
            .collect()
    }
}
