//! The configuration of one test run: its clock and its transport.

use std::time::Duration;

use crate::transport::Transport;

/// The longest time that a test may take on the wall clock, unless it sets another. It catches hangs, and does not limit
/// honest work.
const WALL_LIMIT: Duration = Duration::from_mins(1);

/// The clock of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClockMode {
    /// The clock is paused while any task is runnable, and then jumps to the next timer.
    Virtual,
    Real,
}

/// The options of `#[tornadose_test::test]`.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct TestConfig {
    pub(crate) clock: ClockMode,
    pub(crate) over: Option<Transport>,
    /// The path of the test's function; `None` for a body that is run without the attribute.
    pub(crate) name: Option<&'static str>,
    pub(crate) wall_limit: Duration,
    /// Whether tasks that never end fail the test.
    pub(crate) denies_leftover_tasks: bool,
}

impl Default for TestConfig {
    fn default() -> Self {
        Self { clock: ClockMode::Virtual, over: None, name: None, wall_limit: WALL_LIMIT, denies_leftover_tasks: false }
    }
}

#[doc(hidden)]
impl TestConfig {
    #[must_use]
    pub fn in_real_time(self) -> Self {
        Self { clock: ClockMode::Real, ..self }
    }

    #[must_use]
    pub fn over(self, over: Transport) -> Self {
        Self { over: Some(over), ..self }
    }

    #[must_use]
    pub fn name(self, name: &'static str) -> Self {
        Self { name: Some(name), ..self }
    }

    #[must_use]
    pub fn timeout(self, wall_limit: Duration) -> Self {
        Self { wall_limit, ..self }
    }

    #[must_use]
    pub fn deny_leftover_tasks(self) -> Self {
        Self { denies_leftover_tasks: true, ..self }
    }
}
