//! `assert_transcript!`, and what it calls.

use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::Arc;

use crate::journal::Record;
use crate::runtime::settle;
use crate::transcript::mask::Mask;
use crate::transcript::{Recording, View};

/// Compares what clients have seen and done, from birth, with a snapshot; `cargo insta` reviews and fills it in.
///
/// The snapshot stands in the test (`@"…"`), or in a file beside it. The source is a client or the whole harness. The
/// macro settles first (it contains an `.await`), and when the snapshot is right, everything it printed counts as read.
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
/// A mask that matches nothing fails the test, and a file of a masked transcript says how many values each mask has
/// replaced. Under [`over`](macro@crate::test) files are named after the transport too.
///
/// A snapshot in the test:
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

/// `(source) (name, if there is one) [calls for the options so far] and what is still to be read`.
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
        let printed = $crate::__private::Printing::of(&$source)$($call)*.print().await;
        let settings = printed.settings().bind_to_scope();
        $crate::__private::insta::assert_snapshot!(printed.text(), stringify!($source), @$snapshot);
        drop(settings);
        printed.right();
    }};
    (($source:expr) () [$($call:tt)*]) => {
        $crate::__transcript!(($source) ($crate::__private::insta::internals::AutoName) [$($call)*])
    };
    (($source:expr) ($name:expr) [$($call:tt)*]) => {{
        let printed = $crate::__private::Printing::of(&$source)$($call)*.print().await;
        let settings = printed.settings().bind_to_scope();
        $crate::__private::insta::assert_snapshot!($name, printed.text(), stringify!($source));
        drop(settings);
        printed.right();
    }};
    (($name:expr) () [] $source:expr $(, $($rest:tt)*)?) => {
        $crate::__transcript!(($source) ($name) [] $($($rest)*)?)
    };
}

/// What has a transcript: a harness, or a client of it.
#[doc(hidden)]
pub trait Source {
    #[doc(hidden)]
    fn part(&self) -> Part;
}

impl<S: Source> Source for &S {
    fn part(&self) -> Part {
        S::part(self)
    }
}

/// A whole record, or one client's share of it.
#[doc(hidden)]
pub struct Part {
    pub(crate) record: Arc<Record>,
    pub(crate) client: Option<usize>,
}

impl Part {
    pub(crate) fn recording(&self) -> Recording {
        self.record.recording(self.client)
    }
}

/// A transcript that is about to be printed, with the options it was asked for.
#[doc(hidden)]
pub struct Printing {
    part: Part,
    view: View,
    masks: Vec<String>,
    only: Vec<String>,
}

#[doc(hidden)]
impl Printing {
    pub fn of(source: &impl Source) -> Self {
        Self { part: source.part(), view: View::Plain, masks: Vec::new(), only: Vec::new() }
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
    pub fn print(self) -> impl Future<Output = Printed> {
        let at = Location::caller();
        async move {
            settle().await;
            let Self { part, view, masks, only } = self;
            let masks: Result<Vec<Mask>, String> = masks.iter().map(|mask| Mask::parse(mask)).collect();
            let masks = masks.unwrap_or_else(|wrong| part.record.run.fail(Some(at), &wrong));
            let mut recording = part.recording();
            // Those of the whole harness may match elsewhere.
            let (shared, named) = (recording.masks().count(), masks.len());
            if !only.is_empty() {
                recording = recording.only(only);
            }
            let recording = recording.masked(masks);
            let replaced = recording.replaced();
            if let Some(unused) = (shared..shared + named).find(|nth| replaced[*nth] == 0) {
                let mask = recording.masks().nth(unused).unwrap_or_default();
                part.record.run.fail(Some(at), &format!("the mask `{mask}` matches nothing: remove it, or correct it"));
            }
            let text = recording.print(view);
            let lines = part.record.len();
            // The failure of a snapshot shows the transcript already.
            part.record.run.explained(true);
            let masks = recording.masks().zip(replaced).collect();
            Printed { clients: recording.clients().map(<[usize]>::to_vec), part, text, lines, masks }
        }
    }
}

/// A transcript on its way through insta.
#[doc(hidden)]
pub struct Printed {
    part: Part,
    clients: Option<Vec<usize>>,
    text: String,
    lines: usize,
    masks: BTreeMap<String, usize>,
}

#[doc(hidden)]
impl Printed {
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A file of a transcript over one of several transports is named after it, and tells of its masks.
    pub fn settings(&self) -> insta::Settings {
        let mut settings = insta::Settings::clone_current();
        if let Some(over) = self.part.record.run.over {
            settings.set_snapshot_suffix(over.to_string());
        }
        if !self.masks.is_empty() {
            settings.set_info(&BTreeMap::from([("masked", &self.masks)]));
        }
        settings
    }

    pub fn right(self) {
        self.part.record.run.explained(false);
        self.part.record.mark_read(self.clients.as_deref(), self.lines);
    }
}
