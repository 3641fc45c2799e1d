//! `assert_transcript!`, and what it calls.

use std::sync::Arc;

use crate::record::Record;
use crate::runtime::settle;
use crate::transcript::{Recording, View};

/// Compares what clients have seen and done, from birth, with a snapshot; `cargo insta` reviews and fills it in.
///
/// The snapshot stands in the test (`@"…"`), or in a file beside it. The source is a client or the whole harness. The
/// macro settles first (it contains an `.await`), and when the snapshot is right, everything it printed counts as read.
/// With `wire` the exact bytes are printed, see [`Recording::wire`].
///
/// ```text
/// assert_transcript!(ada, @"…");
/// assert_transcript!(app, wire, @"…");
/// assert_transcript!(app);                    // a file, named after the test
/// assert_transcript!("two readers", app);     // a file of this name
/// assert_transcript!("two readers", app, wire);
/// ```
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
    ($source:expr, wire, @$snapshot:literal $(,)?) => {{
        let printed = $crate::__private::Printed::wire(&$source).await;
        $crate::__private::insta::assert_snapshot!(printed.text(), stringify!($source), @$snapshot);
        printed.right();
    }};
    ($source:expr, @$snapshot:literal $(,)?) => {{
        let printed = $crate::__private::Printed::plain(&$source).await;
        $crate::__private::insta::assert_snapshot!(printed.text(), stringify!($source), @$snapshot);
        printed.right();
    }};
    ($source:expr, wire $(,)?) => {{
        let printed = $crate::__private::Printed::wire(&$source).await;
        $crate::__private::insta::assert_snapshot!(
            $crate::__private::insta::internals::AutoName,
            printed.text(),
            stringify!($source)
        );
        printed.right();
    }};
    ($name:expr, $source:expr, wire $(,)?) => {{
        let printed = $crate::__private::Printed::wire(&$source).await;
        $crate::__private::insta::assert_snapshot!($name, printed.text(), stringify!($source));
        printed.right();
    }};
    ($name:expr, $source:expr $(,)?) => {{
        let printed = $crate::__private::Printed::plain(&$source).await;
        $crate::__private::insta::assert_snapshot!($name, printed.text(), stringify!($source));
        printed.right();
    }};
    ($source:expr $(,)?) => {{
        let printed = $crate::__private::Printed::plain(&$source).await;
        $crate::__private::insta::assert_snapshot!(
            $crate::__private::insta::internals::AutoName,
            printed.text(),
            stringify!($source)
        );
        printed.right();
    }};
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

/// A transcript on its way through insta.
#[doc(hidden)]
pub struct Printed {
    part: Part,
    text: String,
    lines: usize,
}

impl Printed {
    #[doc(hidden)]
    pub async fn plain(source: &impl Source) -> Self {
        Self::print(source.part(), View::Plain).await
    }

    #[doc(hidden)]
    pub async fn wire(source: &impl Source) -> Self {
        Self::print(source.part(), View::Wire).await
    }

    async fn print(part: Part, view: View) -> Self {
        settle().await;
        let text = part.recording().print(view);
        let lines = part.record.len();
        // The failure of a snapshot shows the transcript already.
        part.record.run.explained(true);
        Self { part, text, lines }
    }

    #[doc(hidden)]
    pub fn text(&self) -> &str {
        &self.text
    }

    #[doc(hidden)]
    pub fn right(self) {
        self.part.record.run.explained(false);
        self.part.record.mark_read(self.part.client, self.lines);
    }
}
