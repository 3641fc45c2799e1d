//! A recording and its transcript: entries in canonical order, one line each, without values that differ from run to
//! run. It prints a copy of the journal's entries, and keeps none itself.

pub(crate) mod mask;
pub(crate) mod render;
mod labels;
mod serialize;

use std::fmt;
use std::time::Duration;

use crate::entry::Entry;
use crate::text::duration;
use crate::transcript::labels::Labels;
use crate::transcript::mask::Mask;
use crate::transcript::render::{View, render};

/// The actions and observations of clients so far, in canonical order: for printing, for `assert_transcript!` and for
/// insta's other macros.
///
/// Its `Display` prints the transcript. It serializes to `{"events": [{"at", "client", "kind", …}]}`, one entry for
/// each line. JSON data is serialized as JSON, so that insta's redactions can select parts of it.
///
/// ```
/// # use salvo::prelude::*;
/// # #[handler]
/// # async fn serve_news(res: &mut Response) {
/// #     res.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
/// #     res.write_body("data: {\"at\":7}\n\n").unwrap();
/// # }
/// # use tornadose_test::Harness;
/// # tornadose_test::run(async {
/// let news = Harness::new(Router::with_path("news").get(serve_news)).sse("/news").await;
/// news.skip(1).await;
/// # news.closed().await;
/// let recording = news.recording();
/// assert!(recording.to_string().ends_with("news < message {\"at\":7}\nnews ~ end\n"));
/// assert_eq!(serde_json::to_value(&recording).unwrap()["events"][2]["data"]["at"], 7);
/// # });
/// ```
#[derive(Debug, Clone)]
pub struct Recording {
    names: Vec<String>,
    /// All entries of the harness, so that an id is recognized whichever client received it.
    entries: Vec<Entry>,
    /// The clients whose entries are shown; `None` for all.
    clients: Option<Vec<usize>>,
    masks: Vec<Mask>,
}

impl Recording {
    pub(crate) fn new(names: Vec<String>, mut entries: Vec<Entry>, clients: Option<Vec<usize>>) -> Self {
        // The sort is stable: it keeps the order of a client's own entries.
        entries.sort_by_key(|entry| (entry.at, entry.step, !entry.by_test, entry.client.unwrap_or(usize::MAX)));
        Self { names, entries, clients, masks: Vec::new() }
    }

    /// Replaces the values at these paths into JSON data by labels. Equal values get equal labels, `[token-1]`, over
    /// all clients.
    ///
    /// A path is written `.token`, `.user.token`, `.items[].id`, `.*.id` for any member, or `.**.id` for any depth.
    ///
    /// ```
    /// # use salvo::prelude::*;
    /// # #[handler]
    /// # async fn serve_news(res: &mut Response) {
    /// #     res.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
    /// #     res.write_body("data: {\"token\":\"x9!\"}\n\ndata: {\"token\":\"q2?\"}\n\ndata: {\"token\":\"x9!\"}\n\n").unwrap();
    /// # }
    /// # use tornadose_test::Harness;
    /// # tornadose_test::run(async {
    /// let news = Harness::new(Router::with_path("news").get(serve_news)).sse("/news").await;
    /// news.skip(3).await;
    /// # news.closed().await;
    /// let recording = news.recording().mask([".token"]).to_string();
    /// let masked: Vec<&str> = recording.lines().filter_map(|line| line.strip_prefix("news < message ")).collect();
    /// assert_eq!(masked, [r#"{"token":"[token-1]"}"#, r#"{"token":"[token-2]"}"#, r#"{"token":"[token-1]"}"#]);
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When a path is invalid, and when it matches nothing.
    #[must_use]
    #[track_caller]
    pub fn mask<P: AsRef<str>>(self, paths: impl IntoIterator<Item = P>) -> Self {
        let masks: Result<Vec<Mask>, String> = paths.into_iter().map(|path| Mask::parse(path.as_ref())).collect();
        let masked = self.with_masks(masks.unwrap_or_else(|error| panic!("{error}")));
        if let Some(unused) = masked.unused_mask() {
            panic!("{unused}");
        }
        masked
    }

    /// Keeps the lines of these clients only.
    ///
    /// ```
    /// # use salvo::prelude::*;
    /// # #[handler]
    /// # async fn serve_news(res: &mut Response) { res.render("no news"); }
    /// # use tornadose_test::Harness;
    /// # tornadose_test::run(async {
    /// let app = Harness::new(Router::with_path("news").get(serve_news));
    /// let ada = app.client("ada").sse("/news").await;
    /// let bob = app.client("bob").sse("/news").await;
    /// # assert_eq!((ada.status(), bob.status()), (200, 200));
    /// assert_eq!(app.recording().only(["bob"]).to_string(), "bob > GET /news\nbob ~ answer 200 no news\n");
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When there is no client with this name.
    #[must_use]
    #[track_caller]
    pub fn only<N: AsRef<str>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        let mut clients = Vec::new();
        for name in names {
            let name = name.as_ref();
            let known = clients.len();
            clients.extend((0..self.names.len()).filter(|client| self.names[*client] == name));
            assert!(clients.len() > known, "there is no client `{name}`; there are: {}", self.names.join(", "));
        }
        self.clients = Some(clients);
        self
    }

    pub(crate) fn with_masks(mut self, masks: Vec<Mask>) -> Self {
        self.masks.extend(masks);
        self
    }

    /// Returns a failure about the first mask that matches nothing.
    pub(crate) fn unused_mask(&self) -> Option<String> {
        let replaced = self.replaced();
        let (mask, _) = self.masks.iter().zip(replaced).find(|(_, count)| *count == 0)?;
        Some(format!("the mask `{mask}` matches nothing: remove it, or correct it"))
    }

    /// Returns the number of values that each mask replaces.
    pub(crate) fn replaced(&self) -> Vec<usize> {
        let mut labels = Labels::new(&self.entries, &self.masks);
        for entry in self.shown() {
            // Rendering counts the replaced values; the line itself is not needed.
            let _ = render(&entry.happening, View::Plain, &mut labels);
        }
        labels.replaced
    }

    /// Returns the labels for a recording that is serialized.
    pub(crate) fn json_labels(&self) -> Labels<'_> {
        Labels::in_json(&self.entries, &self.masks)
    }

    pub(crate) fn masks(&self) -> impl Iterator<Item = String> {
        self.masks.iter().map(ToString::to_string)
    }

    /// The clients whose entries are shown; `None` for all.
    pub(crate) fn clients(&self) -> Option<&[usize]> {
        self.clients.as_deref()
    }

    /// Returns the transcript with everything that was sent over the wire: headers, exact bytes (`\r`, `\n` and `\0`
    /// escaped), position frames, the comments of the first frame, ping payloads and pongs.
    ///
    /// ```
    /// # use salvo::prelude::*;
    /// # #[handler]
    /// # async fn serve_news(res: &mut Response) {
    /// #     res.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
    /// #     res.write_body("retry:3000\n\nid:7\n\n").unwrap();
    /// # }
    /// # use tornadose_test::Harness;
    /// # tornadose_test::run(async {
    /// let news = Harness::new(Router::with_path("news").get(serve_news)).sse("/news").await;
    /// # news.closed().await;
    /// assert!(news.recording().wire().ends_with("news < retry:3000\\n\\n\nnews < id:#1\\n\\n\nnews ~ end\n"));
    /// # });
    /// ```
    pub fn wire(&self) -> String {
        self.print(View::Wire)
    }

    pub(crate) fn print(&self, view: View) -> String {
        let mut printed = String::new();
        let mut clock = None;
        for (entry, line) in self.lines(view) {
            let gap = entry.at.saturating_sub(clock.unwrap_or(entry.at));
            if gap > Duration::ZERO {
                printed.extend(["after ", &duration(gap), "\n"]);
            }
            clock = Some(entry.at);
            printed.extend([line.as_str(), "\n"]);
        }
        printed
    }

    /// The lines of the entries that satisfy a condition.
    pub(crate) fn lines_of(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<String> {
        let wanted = |(entry, line): (&Entry, String)| wanted(entry).then_some(line);
        self.lines(View::Plain).filter_map(wanted).collect()
    }

    /// The entries that this view shows, each with its line; labels are numbered in this order. The pieces of a block
    /// that arrived at the same instant are one line.
    fn lines(&self, view: View) -> impl Iterator<Item = (&Entry, String)> {
        let mut labels = Labels::new(&self.entries, &self.masks);
        let mut lines: Vec<(&Entry, String)> = Vec::new();
        for entry in self.shown() {
            let Some(text) = render(&entry.happening, view, &mut labels) else { continue };
            match lines.last_mut() {
                Some((start, line)) if entry.continues(start) => {
                    line.push_str(text.strip_prefix("< ").unwrap_or(&text));
                    *start = entry;
                }
                _ => lines.push((entry, format!("{} {text}", self.name(entry)))),
            }
        }
        lines.into_iter()
    }

    pub(crate) fn shown(&self) -> impl Iterator<Item = &Entry> {
        let is_shown = |client: &Option<usize>| match (client, &self.clients) {
            (Some(client), Some(clients)) => clients.contains(client),
            // Every transcript shows the entries of the server.
            _ => true,
        };
        self.entries.iter().filter(move |entry| is_shown(&entry.client))
    }

    pub(crate) fn name(&self, entry: &Entry) -> &str {
        entry.client.map_or("server", |client| &self.names[client])
    }
}

impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.print(View::Plain))
    }
}
