//! The configuration of one test run: its clock and its transport.

use crate::transport::Transport;

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
}

impl Default for TestConfig {
    fn default() -> Self {
        Self { clock: ClockMode::Virtual, over: None }
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
}
