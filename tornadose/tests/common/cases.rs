//! Runs a property test. It shows the smallest case that fails.

use std::time::{Duration, Instant};

use proptest::prelude::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseResult, TestRng, TestRunner};

/// Checks this many cases, which are the same in every run, or with `TORNADOSE_LONG` the cases of three minutes.
pub(crate) fn check_cases<S: Strategy>(cases: u32, strategy: &S, check: impl Fn(S::Value) -> TestCaseResult) {
    let until = std::env::var_os("TORNADOSE_LONG").map(|_| Instant::now() + Duration::from_mins(3));
    for round in 0_u64.. {
        let config = Config { cases, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&round.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        if let Err(failure) = TestRunner::new_with_rng(config, rng).run(strategy, &check) {
            panic!("round {round}: {failure}");
        }
        if until.is_none_or(|until| Instant::now() >= until) {
            return;
        }
    }
}
