//! The return types of a test function.

use std::fmt::Debug;

/// The result of a test: `()`, or a `Result` whose error can be shown.
///
/// ```
/// fn returns_a_test_result(_: impl tornadose_test::TestResult) {}
/// returns_a_test_result(());
/// returns_a_test_result(Ok::<(), std::io::Error>(()));
/// ```
#[diagnostic::on_unimplemented(
    message = "a test returns `()` or `Result<(), E>` with `E: Debug`, not `{Self}`",
    label = "not a test result"
)]
pub trait TestResult {
    /// Whether the test has failed by what it returned.
    fn failed(&self) -> bool;
}

impl TestResult for () {
    fn failed(&self) -> bool {
        false
    }
}

impl<E: Debug> TestResult for Result<(), E> {
    fn failed(&self) -> bool {
        self.is_err()
    }
}
