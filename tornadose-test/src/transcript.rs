//! A transcript: lines in their canonical order, one sentence for each, nothing in them that chance or a clock has made.
//! What happened is kept by `record`; this is only how it reads.

pub(crate) mod mask;
mod render;
mod labels;
mod serialize;

use std::fmt;
use std::time::Duration;

use crate::entry::Line;
use crate::text;
use crate::transcript::labels::Labels;
use crate::transcript::mask::Mask;

/// What clients have seen and done so far, in canonical order: ready for `assert_transcript!`, for any macro of insta,
/// and for printing.
///
/// Its `Display` is the transcript. Serialized it is `{"events": [{"at", "client", "kind", …}]}`, one entry for each
/// line, with data that is JSON as JSON: redactions of insta find their way in it.
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
/// let recording = news.recording();
/// assert!(recording.to_string().ends_with("news < message {\"at\":7}\nnews ~ end\n"));
/// assert_eq!(serde_json::to_value(&recording).unwrap()["events"][2]["data"]["at"], 7);
/// # });
/// ```
#[derive(Debug, Clone)]
pub struct Recording {
    names: Vec<String>,
    /// All lines of the harness: ids are known wherever they have come.
    lines: Vec<Line>,
    /// Whose lines are shown; everybody's without it.
    clients: Option<Vec<usize>>,
    masks: Vec<Mask>,
}

/// How much a transcript shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    Plain,
    /// The exact bytes, and what a page never hears of.
    Wire,
}

impl Recording {
    pub(crate) fn new(names: Vec<String>, mut lines: Vec<Line>, clients: Option<Vec<usize>>) -> Self {
        // Stable: a client's own sequence is the order in which its lines came.
        lines.sort_by_key(|line| (line.at, line.act, !line.own, line.client.unwrap_or(usize::MAX)));
        Self { names, lines, clients, masks: Vec::new() }
    }

    /// The same, with labels in place of the values at these paths into JSON data: `.token`, `.user.token`, `.items[].id`,
    /// `.*.id` for any member, `.**.id` for any depth. Equal values get equal labels, `[token-1]`, over all clients.
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
    /// let recording = news.recording().mask([".token"]).to_string();
    /// let masked: Vec<&str> = recording.lines().filter_map(|line| line.strip_prefix("news < message ")).collect();
    /// assert_eq!(masked, [r#"{"token":"[token-1]"}"#, r#"{"token":"[token-2]"}"#, r#"{"token":"[token-1]"}"#]);
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When something is no such path, and when it matches nothing.
    #[must_use]
    #[track_caller]
    pub fn mask<P: AsRef<str>>(self, paths: impl IntoIterator<Item = P>) -> Self {
        let masks: Result<Vec<Mask>, String> = paths.into_iter().map(|path| Mask::parse(path.as_ref())).collect();
        let masked = self.masked(masks.unwrap_or_else(|wrong| panic!("{wrong}")));
        if let Some(unused) = masked.unused() {
            panic!("{unused}");
        }
        masked
    }

    /// The same, with the lines of these clients only.
    ///
    /// ```
    /// # use salvo::prelude::*;
    /// # #[handler]
    /// # async fn serve_news(res: &mut Response) { res.render("no news"); }
    /// # use tornadose_test::Harness;
    /// # tornadose_test::run(async {
    /// let app = Harness::new(Router::with_path("news").get(serve_news));
    /// app.client("ada").sse("/news").await;
    /// app.client("bob").sse("/news").await;
    /// assert_eq!(app.recording().only(["bob"]).to_string(), "bob > GET /news\nbob ~ answer 200 no news\n");
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When there is no client of this name.
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

    pub(crate) fn masked(mut self, masks: Vec<Mask>) -> Self {
        self.masks.extend(masks);
        self
    }

    /// A sentence about a mask that matches nothing, if there is one.
    pub(crate) fn unused(&self) -> Option<String> {
        let replaced = self.replaced();
        let (mask, _) = self.masks.iter().zip(replaced).find(|(_, count)| *count == 0)?;
        Some(format!("the mask `{mask}` matches nothing: remove it, or correct it"))
    }

    /// How many values each mask has replaced.
    pub(crate) fn replaced(&self) -> Vec<usize> {
        let mut labels = Labels::of(&self.lines, &self.masks);
        for line in self.chosen() {
            let _ = render::of(&line.what, View::Plain, &mut labels);
        }
        labels.replaced
    }

    pub(crate) fn masks(&self) -> impl Iterator<Item = String> {
        self.masks.iter().map(ToString::to_string)
    }

    /// Whose lines it shows; everybody's without an answer.
    pub(crate) fn clients(&self) -> Option<&[usize]> {
        self.clients.as_deref()
    }

    /// The transcript with everything that went over the wire: headers, exact bytes (`\r`, `\n` and `\0` escaped),
    /// position frames, the comments of the first frame, pings' payloads and pongs.
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
    /// assert!(news.recording().wire().ends_with("news < retry:3000\\n\\n\nnews < id:#1\\n\\n\nnews ~ end\n"));
    /// # });
    /// ```
    pub fn wire(&self) -> String {
        self.print(View::Wire)
    }

    pub(crate) fn print(&self, view: View) -> String {
        let mut printed = String::new();
        let mut clock = None;
        for (line, sentence) in self.sentences(view) {
            let gap = line.at.saturating_sub(clock.unwrap_or(line.at));
            if gap > Duration::ZERO {
                printed.extend(["after ", &text::duration(gap), "\n"]);
            }
            clock = Some(line.at);
            printed.extend([sentence.as_str(), "\n"]);
        }
        printed
    }

    /// The sentences of the messages that nobody has read.
    pub(crate) fn unread(&self) -> Vec<String> {
        let unread = |(line, sentence): (&Line, String)| line.is_unread().then_some(sentence);
        self.sentences(View::Plain).filter_map(unread).collect()
    }

    /// The lines that show in this view, with who speaks and what is said; labels are given in this order.
    fn sentences(&self, view: View) -> impl Iterator<Item = (&Line, String)> {
        let mut labels = Labels::of(&self.lines, &self.masks);
        self.chosen().filter_map(move |line| {
            let name = self.speaker(line);
            render::of(&line.what, view, &mut labels).map(|said| (line, format!("{name} {said}")))
        })
    }

    fn chosen(&self) -> impl Iterator<Item = &Line> {
        let shown = |client: &Option<usize>| match (client, &self.clients) {
            (Some(client), Some(clients)) => clients.contains(client),
            // What happens to the server is everybody's affair.
            _ => true,
        };
        self.lines.iter().filter(move |line| shown(&line.client))
    }

    fn speaker(&self, line: &Line) -> &str {
        line.client.map_or("server", |client| &self.names[client])
    }
}

impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.print(View::Plain))
    }
}
