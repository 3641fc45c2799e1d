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
        let settings = transcript.settings().bind_to_scope();
        $crate::__private::insta::assert_snapshot!(transcript.text(), stringify!($source), @$snapshot);
        drop(settings);
        transcript.accept_snapshot();
    }};
    (($source:expr) () [$($call:tt)*]) => {
        $crate::__transcript!(($source) ($crate::__private::insta::internals::AutoName) [$($call)*])
    };
    (($source:expr) ($name:expr) [$($call:tt)*]) => {{
        let transcript = $crate::__private::TranscriptBuilder::of(&$source)$($call)*.print().await;
        let settings = transcript.settings().bind_to_scope();
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

    /// Returns insta's settings: the transport is a suffix of the file's name, and the masks are listed in the file.
    pub fn settings(&self) -> insta::Settings {
        let mut settings = insta::Settings::clone_current();
        if let Some(over) = self.scope.journal.run.over {
            settings.set_snapshot_suffix(over.to_string());
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
