//! A transcript: lines in their canonical order, one sentence for each, nothing in them that chance or a clock has made.
//! What happened is kept by `record`; this is only how it reads.

mod sentence;
mod labels;
pub(crate) mod text;
mod serialize;
pub(crate) mod assert;

use std::fmt;
use std::time::Duration;

use crate::record::line::Line;
use crate::transcript::labels::Labels;

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
    client: Option<usize>,
}

/// How much a transcript shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    Plain,
    /// The exact bytes, and what a page never hears of.
    Wire,
}

impl Recording {
    pub(crate) fn new(names: Vec<String>, mut lines: Vec<Line>, client: Option<usize>) -> Self {
        // Stable: a client's own sequence is the order in which its lines came.
        lines.sort_by_key(|line| (line.at, line.act, !line.own, line.client.unwrap_or(usize::MAX)));
        Self { names, lines, client }
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
        let mut labels = Labels::of(&self.lines);
        self.chosen().filter_map(move |line| {
            let name = line.client.map_or("server", |client| &self.names[client]);
            sentence::of(&line.what, view, &mut labels).map(|said| (line, format!("{name} {said}")))
        })
    }

    fn chosen(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| self.client.is_none() || line.client.is_none() || line.client == self.client)
    }
}

impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.print(View::Plain))
    }
}
