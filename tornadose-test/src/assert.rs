//! `assert_transcript!`, and the types that its expansion names.

use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::Arc;

use crate::journal::Journal;
use crate::runtime::current::settle;
use crate::transcript::Recording;
use crate::transcript::mask::Mask;
use crate::transcript::render::View;

/// Compares the transcript of a client, or of the whole harness, with a snapshot; `cargo insta` reviews and fills it
/// in.
///
/// The snapshot is inline (`@"…"`) or in a file beside the test. The macro settles first (it contains an `.await`).
/// When the snapshot matches, every message that the transcript shows counts as read.
///
/// ```text
/// assert_transcript!(ada, @"…");
/// assert_transcript!(app);                            // a file, named after the test
/// assert_transcript!("two readers", app);             // a file of this name
/// assert_transcript!(app, wire, @"…");                // the exact bytes: see `Recording::wire`
/// assert_transcript!(app, mask: [".token"], @"…");    // labels in place of values: see `Recording::mask`
/// assert_transcript!(app, only(["ada", "bob"]), @"…") // of these clients: see `Recording::only`
/// assert_transcript!("all of it", app, wire, mask: [".token", ".**.secret"], only(["ada"]));
/// ```
///
/// A mask that matches nothing fails the test. The file of a masked transcript contains the number of values that each
/// mask has replaced. Under [`over`](macro@crate::test) the names of files contain the transport.
///
/// An inline snapshot:
///
/// ```
/// # use salvo::prelude::*;
/// # #[handler]
/// # async fn serve_news(res: &mut Response) {
/// #     res.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
/// #     res.write_body("retry: 2000\nid: 7\nevent: said\ndata: {\"text\":\"hi\"}\n\n").unwrap();
/// # }
/// use tornadose_test::{Harness, assert_transcript};
/// # tornadose_test::run(async {
/// let app = Harness::new(Router::with_path("news").get(serve_news));
/// app.sse("/news").await;
/// assert_transcript!(app, @r#"
/// news > GET /news
/// news ~ open 200 text/event-stream, retry 2s
/// news < said #1 {"text":"hi"}
/// news ~ end
/// "#);
/// # });
/// ```
#[macro_export]
macro_rules! assert_transcript {
    ($source:expr $(,)?) => {
        $crate::__transcript!(($source) () [])
    };
    ($first:expr, $($rest:tt)+) => {
        $crate::__transcript!(($first) () [] $($rest)+)
    };
}

/// `(source) (name, if any) [calls for the options so far] remaining arguments`.
#[doc(hidden)]
#[macro_export]
macro_rules! __transcript {
    (($source:expr) ($($name:expr)?) [$($call:tt)*] wire $(, $($rest:tt)*)?) => {
        $crate::__transcript!(($source) ($($name)?) [$($call)* .wire()] $($($rest)*)?)
    };
    (($source:expr) ($($name:expr)?) [$($call:tt)*] mask: [$($mask:expr),* $(,)?] $(, $($rest:tt)*)?) => {
        $crate::__transcript!(($source) ($($name)?) [$($call)* .mask(&[$($mask),*])] $($($rest)*)?)
    };
    (($source:expr) ($($name:expr)?) [$($call:tt)*] only([$($only:expr),* $(,)?]) $(, $($rest:tt)*)?) => {
        $crate::__transcript!(($source) ($($name)?) [$($call)* .only(&[$($only),*])] $($($rest)*)?)
    };
    (($source:expr) () [$($call:tt)*] @$snapshot:literal $(,)?) => {{
        let transcript = $crate::__private::TranscriptBuilder::of(&$source)$($call)*.print().await;
        let settings = transcript.settings(None).bind_to_scope();
        $crate::__private::insta::assert_snapshot!(transcript.text(), stringify!($source), @$snapshot);
        drop(settings);
        transcript.accept_snapshot();
    }};
    (($source:expr) () [$($call:tt)*]) => {
        $crate::__transcript!(@file ($source) ($crate::__private::insta::internals::AutoName) (false) [$($call)*])
    };
    (($source:expr) ($name:expr) [$($call:tt)*]) => {
        $crate::__transcript!(@file ($source) ($name) (true) [$($call)*])
    };
    (@file ($source:expr) ($name:expr) ($is_named:literal) [$($call:tt)*]) => {{
        fn here() {}
        let transcript = $crate::__private::TranscriptBuilder::of(&$source)$($call)*.print().await;
        let suffix = transcript.suffix(::core::any::type_name_of_val(&here), $is_named);
        let settings = transcript.settings(suffix).bind_to_scope();
        $crate::__private::insta::assert_snapshot!($name, transcript.text(), stringify!($source));
        drop(settings);
        transcript.accept_snapshot();
    }};
    (($name:expr) () [] $source:expr $(, $($rest:tt)*)?) => {
        $crate::__transcript!(($source) ($name) [] $($($rest)*)?)
    };
}

/// A source of transcripts: a harness, or one of its clients.
#[doc(hidden)]
pub trait HasTranscript {
    #[doc(hidden)]
    fn scope(&self) -> Scope;
}

impl<S: HasTranscript> HasTranscript for &S {
    fn scope(&self) -> Scope {
        S::scope(self)
    }
}

/// The entries of a whole journal, or of one client.
#[doc(hidden)]
pub struct Scope {
    pub(crate) journal: Arc<Journal>,
    pub(crate) client: Option<usize>,
}

impl Scope {
    pub(crate) fn recording(&self) -> Recording {
        self.journal.recording(self.client)
    }
}

/// A transcript that is not printed yet, with its options.
#[doc(hidden)]
pub struct TranscriptBuilder {
    scope: Scope,
    view: View,
    masks: Vec<String>,
    only: Vec<String>,
}

#[doc(hidden)]
impl TranscriptBuilder {
    pub fn of(source: &impl HasTranscript) -> Self {
        Self { scope: source.scope(), view: View::Plain, masks: Vec::new(), only: Vec::new() }
    }

    #[must_use]
    pub fn wire(self) -> Self {
        Self { view: View::Wire, ..self }
    }

    #[must_use]
    pub fn mask(self, masks: &[&str]) -> Self {
        Self { masks: masks.iter().map(ToString::to_string).collect(), ..self }
    }

    #[must_use]
    pub fn only(self, only: &[&str]) -> Self {
        Self { only: only.iter().map(ToString::to_string).collect(), ..self }
    }

    #[track_caller]
    pub fn print(self) -> impl Future<Output = Transcript> {
        let at = Location::caller();
        async move {
            settle().await;
            let Self { scope, view, masks, only } = self;
            let masks: Result<Vec<Mask>, String> = masks.iter().map(|mask| Mask::parse(mask)).collect();
            let masks = masks.unwrap_or_else(|error| scope.journal.run.fail(Some(at), &error));
            let mut recording = scope.recording();
            // The harness's own masks may match in another transcript.
            let (shared, own) = (recording.masks().count(), masks.len());
            if !only.is_empty() {
                recording = recording.only(only);
            }
            let recording = recording.with_masks(masks);
            let replaced = recording.replaced();
            if let Some(unused) = (shared..shared + own).find(|nth| replaced[*nth] == 0) {
                let mask = recording.masks().nth(unused).unwrap_or_default();
                scope
                    .journal
                    .run
                    .fail(Some(at), &format!("the mask `{mask}` matches nothing: remove it, or correct it"));
            }
            let text = recording.print(view);
            let entries = scope.journal.len();
            // A failed snapshot shows the transcript itself.
            scope.journal.run.set_reported(true);
            let masks = recording.masks().zip(replaced).collect();
            Transcript { clients: recording.clients().map(<[usize]>::to_vec), scope, text, entries, masks }
        }
    }
}

/// A transcript that insta compares with its snapshot.
#[doc(hidden)]
pub struct Transcript {
    scope: Scope,
    clients: Option<Vec<usize>>,
    text: String,
    entries: usize,
    masks: BTreeMap<String, usize>,
}

#[doc(hidden)]
impl Transcript {
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the suffix of the file's name. `here` is the path of an item in the function that compares.
    pub fn suffix(&self, here: &str, is_named: bool) -> Option<String> {
        let run = &self.scope.journal.run;
        let over = run.over.map(|over| over.to_string());
        run.test.map_or(over.clone(), |test| file_suffix(here, test, is_named).or(over))
    }

    /// Returns insta's settings: the file's name has this suffix, and the file lists the masks.
    pub fn settings(&self, suffix: Option<String>) -> insta::Settings {
        let mut settings = insta::Settings::clone_current();
        if let Some(suffix) = suffix {
            settings.set_snapshot_suffix(suffix);
        }
        if !self.masks.is_empty() {
            settings.set_info(&BTreeMap::from([("masked", &self.masks)]));
        }
        settings
    }

    /// Marks the messages that the transcript shows as read.
    pub fn accept_snapshot(self) {
        self.scope.journal.run.set_reported(false);
        self.scope.journal.mark_read(self.clients.as_deref(), self.entries);
    }
}

/// Returns the suffix for a function that is not the test itself, so that the files of two tests have two names. It is a
/// case of the function, as `rstest` makes them, or another test that calls it.
fn file_suffix(here: &str, test: &str, is_named: bool) -> Option<String> {
    let function = here.strip_suffix("::here").unwrap_or(here);
    let function: Vec<&str> = function.split("::").filter(|segment| *segment != "{{closure}}").collect();
    let test: Vec<&str> = test.split("::").collect();
    let shared = function.iter().zip(&test).take_while(|(function, test)| function == test).count();
    let (is_test, is_case) = (shared == test.len(), shared == function.len());
    // A name of the test's own is the same wherever the comparison stands, except in its cases.
    (!is_test && (is_case || !is_named)).then(|| test[shared..].join("__"))
}

#[cfg(test)]
mod tests {
    use super::file_suffix;

    #[test]
    fn each_test_has_its_own_files() {
        for (here, test, unnamed, named) in [
            ("k::m::works::works::{{closure}}::here", "k::m::works", None, None),
            ("k::m::works_over_ws::works::{{closure}}::here", "k::m::works_over_ws", None, None),
            ("k::m::works::{{closure}}::here", "k::m::works::case_1", Some("case_1"), Some("case_1")),
            ("k::m::check::{{closure}}::here", "k::m::works", Some("works"), None),
            ("k::m::check::{{closure}}::here", "k::m::works::case_1", Some("works__case_1"), None),
        ] {
            assert_eq!(file_suffix(here, test, false).as_deref(), unnamed, "{here}");
            assert_eq!(file_suffix(here, test, true).as_deref(), named, "{here}");
        }
    }
}
