//! What a test function may return.

use std::fmt::Debug;

/// The result of a test: `()`, or a `Result` whose error can be shown.
///
/// ```
/// fn returns_an_outcome(_: impl tornadose_test::Outcome) {}
/// returns_an_outcome(());
/// returns_an_outcome(Ok::<(), std::io::Error>(()));
/// ```
#[diagnostic::on_unimplemented(
    message = "a test returns `()` or `Result<(), E>` with `E: Debug`, not `{Self}`",
    label = "not the outcome of a test"
)]
pub trait Outcome {
    /// Whether the test has failed by what it returned.
    fn failed(&self) -> bool;
}

impl Outcome for () {
    fn failed(&self) -> bool {
        false
    }
}

impl<E: Debug> Outcome for Result<(), E> {
    fn failed(&self) -> bool {
        self.is_err()
    }
}
