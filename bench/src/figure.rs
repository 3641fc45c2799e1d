//! The data of a run: the plan that the command line asks for, the measurements that come of it, and their medians.

use std::path::PathBuf;

use serde::Serialize;

use crate::scenario::{Scenario, Transport};
use crate::servers::ServerKind;

/// The servers, scenarios and transports to measure, and where the results go.
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) scenarios: Vec<Scenario>,
    /// Begins with the floor: the ratios of the others refer to it.
    pub(crate) servers: Vec<ServerKind>,
    pub(crate) transports: Vec<Transport>,
    pub(crate) threads: usize,
    pub(crate) quick: bool,
    pub(crate) json: Option<PathBuf>,
    pub(crate) chart: Option<PathBuf>,
}

/// The results of one server in one round.
#[derive(Clone, Serialize)]
pub(crate) struct Measurement {
    pub(crate) round: usize,
    pub(crate) scenario: Scenario,
    pub(crate) transport: Transport,
    pub(crate) server: ServerKind,
    pub(crate) readers: u64,
    pub(crate) deliveries: u64,
    pub(crate) lost: u64,
    /// The server's CPU time per delivery, in nanoseconds.
    pub(crate) cpu: f64,
    /// `cpu` as a multiple of the floor's in the same round.
    pub(crate) ratio: Option<f64>,
    /// Deliveries per second of wall time.
    pub(crate) per_second: f64,
    /// Deliveries per second of the server's CPU time.
    pub(crate) per_core: f64,
    /// Median time from submit to reader, in nanoseconds.
    pub(crate) p50: u64,
    /// 99th percentile of the same time, in nanoseconds.
    pub(crate) p99: u64,
    /// The server's resident memory per reader, in bytes. Measured for idle readers only.
    pub(crate) memory: Option<u64>,
}

/// The measurements of one server, scenario and transport: one per round.
pub(crate) fn select(
    measurements: &[Measurement],
    scenario: Scenario,
    transport: Transport,
    server: ServerKind,
) -> impl Iterator<Item = &Measurement> {
    measurements.iter().filter(move |measurement| {
        measurement.scenario == scenario && measurement.transport == transport && measurement.server == server
    })
}

/// Returns the median, or NaN if there are no values.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[odd / 2],
        even => values[even / 2 - 1].midpoint(values[even / 2]),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are below 2^52")]
pub(crate) fn to_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_the_mean_of_the_middle_two() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()).to_bits(), 2.0_f64.to_bits());
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()).to_bits(), 2.5_f64.to_bits());
        assert!(median([].into_iter()).is_nan());
    }
}
