//! The failure of a test body.

use std::future::Future;
use std::panic::{UnwindSafe, catch_unwind};

use tornadose_test::run;

/// Returns the message of a failing body, with `LINE` in place of line numbers.
pub(crate) fn failure<F: Future<Output = ()>>(body: impl FnOnce() -> F + UnwindSafe) -> String {
    let panic = catch_unwind(|| run(body())).unwrap_err();
    let message = panic.downcast::<String>().unwrap();
    let lines = message.lines().map(|line| match line.split_once(".rs:") {
        Some((file, _)) => format!("{file}.rs:LINE"),
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}
