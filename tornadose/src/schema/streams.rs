//! The streams that a program describes, and the documents that are made of them.

use std::fmt;

use serde_json::Value;

use crate::schema::asyncapi;
use crate::schema::definitions::{self, Definitions, Dialect};
use crate::schema::described::Described;
use crate::schema::generated_file::GeneratedFile;
use crate::schema::message::MessageSchema;
use crate::schema::stream::{self, Stream};
use crate::schema::subscriber::SubscriberSchema;
use crate::schema::typescript;

/// Returns a description without streams, to which [`route`](Streams::route) adds them.
///
/// See the module [`schema`](mod@crate::schema).
///
/// ```
/// let document = tornadose::schema().title("Chat").version("1.2.0").asyncapi().to_string();
/// assert!(document.contains(r#""title": "Chat""#));
/// ```
pub fn schema() -> Streams {
    Streams { title: "Streams".into(), version: "1.0.0".into(), routes: Vec::new() }
}

/// The streams of a program, each at a path. [`schema`] begins it.
#[derive(Clone)]
#[must_use = "nothing is generated"]
pub struct Streams {
    title: String,
    version: String,
    routes: Vec<Route>,
}

#[derive(Clone)]
struct Route {
    path: String,
    describe: fn(&str, &mut Definitions) -> Stream,
}

impl Streams {
    /// Sets the title of the documents.
    ///
    /// ```
    /// let _streams = tornadose::schema().title("Chat");
    /// ```
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// Sets the version of the program's interface, which the documents state.
    ///
    /// ```
    /// let _streams = tornadose::schema().version(env!("CARGO_PKG_VERSION"));
    /// ```
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Adds the stream of a subscriber at the path that its route has, with all that comes before it in the router.
    /// Parameters are written as for Salvo.
    ///
    /// ```
    /// # use schemars::JsonSchema;
    /// # use tornadose::prelude::*;
    /// # #[store(latest, schema)]
    /// # #[derive(Serialize, JsonSchema)]
    /// # struct Tick(f64);
    /// # #[subscriber(sse, store = Tick, schema)]
    /// # struct Ticks;
    /// let streams = tornadose::schema().route::<Ticks>("/ticks");
    /// assert!(streams.typescript().to_string().contains("GET /ticks"));
    /// ```
    pub fn route<S: SubscriberSchema<Message: MessageSchema>>(mut self, path: impl Into<String>) -> Self {
        self.routes.push(Route { path: path.into(), describe: Stream::describe::<S> });
        self
    }

    /// Returns an AsyncAPI 3.0 document as JSON. Each stream has a channel for each of its transports.
    ///
    /// ```
    /// let document = tornadose::schema().asyncapi().to_string();
    /// assert!(document.contains(r#""asyncapi": "3.0.0""#));
    /// ```
    pub fn asyncapi(&self) -> GeneratedFile {
        let described = self.describe(Dialect::Draft07);
        GeneratedFile::new(json_text(asyncapi::document(&described)), described.mistakes())
    }

    /// Returns declarations of TypeScript for `live` of [`tornadose.js`](crate::script): of the events that a page handles,
    /// what it sends and is replied, and the keys that it watches.
    ///
    /// A page that is written in TypeScript takes the file for the module:
    ///
    /// ```ts
    /// import { live, type RoomFeed } from "./tornadose.js" // the file is `tornadose.d.ts` beside it
    ///
    /// live<RoomFeed>("/rooms/1", {
    ///   said({ user, text }) { show(user, text) },
    ///   "tornadose:gap"({ reason }) { warn(reason) },
    /// })
    /// ```
    ///
    /// ```
    /// let types = tornadose::schema().typescript().to_string();
    /// assert!(types.contains("export function live<"));
    /// ```
    pub fn typescript(&self) -> GeneratedFile {
        let described = self.describe(Dialect::Draft202012);
        GeneratedFile::new(typescript::declarations(&described), described.mistakes())
    }

    pub(crate) fn describe(&self, dialect: Dialect) -> Described {
        let mut definitions = Definitions::new(dialect);
        let mut streams: Vec<Stream> =
            self.routes.iter().map(|route| (route.describe)(&route.path, &mut definitions)).collect();
        stream::name_apart(&mut streams);
        let (written, read): (Vec<_>, Vec<_>) = streams.iter_mut().map(Stream::schemas_mut).unzip();
        let definitions =
            definitions.finish(written.into_iter().flatten().collect(), read.into_iter().flatten().collect());
        Described { title: self.title.clone(), version: self.version.clone(), streams, definitions }
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<&str> = self.routes.iter().map(|route| route.path.as_str()).collect();
        f.debug_struct("Streams").field("title", &self.title).field("routes", &paths).finish_non_exhaustive()
    }
}

/// Returns the text of a document.
fn json_text(document: Value) -> String {
    let document = definitions::sorted(document);
    format!("{document:#}\n")
}
