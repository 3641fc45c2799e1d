//! How a body fails: what it says.

use std::future::Future;
use std::panic::{UnwindSafe, catch_unwind};

use tornadose_test::run;

/// What a failing body says, without the numbers of its lines.
pub(crate) fn failure<F: Future<Output = ()>>(body: impl FnOnce() -> F + UnwindSafe) -> String {
    let panic = catch_unwind(|| run(body())).unwrap_err();
    let said = panic.downcast::<String>().unwrap();
    let lines = said.lines().map(|line| match line.split_once(".rs:") {
        Some((file, _)) => format!("{file}.rs:LINE"),
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}
