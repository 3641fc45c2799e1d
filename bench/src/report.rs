//! The table on the standard output: medians over the rounds, and the spread of the ratios.

use std::time::Duration;

use crate::figure::{Measurement, Plan, median, select, to_f64};
use crate::scenario::{Scenario, Transport};
use crate::servers::ServerKind;

pub(crate) fn print(plan: &Plan, measurements: &[Measurement]) {
    println!(
        "{:<15} {:<4} {:<14} {:>12} {:>7} {:>13} {:>11} {:>9} {:>9} {:>8}",
        "scenario", "", "server", "CPU/delivery", "ratio", "(spread)", "/s and core", "p50", "p99", "lost"
    );
    for &scenario in &plan.scenarios {
        for &transport in &plan.transports {
            for &server in &plan.servers {
                let rounds: Vec<&Measurement> = select(measurements, scenario, transport, server).collect();
                if scenario == Scenario::Idle {
                    print_memory(transport, server, &rounds);
                } else {
                    print_deliveries(scenario, transport, server, &rounds);
                }
            }
        }
    }
}

fn print_memory(transport: Transport, server: ServerKind, rounds: &[&Measurement]) {
    let per_reader = median(rounds.iter().filter_map(|round| round.memory).map(to_f64));
    let readers = rounds.first().map_or(0, |round| round.readers);
    println!(
        "{:<15} {:<4} {:<14} {per_reader:>12.0} bytes of memory for each of {readers} readers",
        Scenario::Idle.name(),
        transport.name(),
        server.name()
    );
}

fn print_deliveries(scenario: Scenario, transport: Transport, server: ServerKind, rounds: &[&Measurement]) {
    let median_of = |value: fn(&Measurement) -> f64| median(rounds.iter().map(|round| value(round)));
    let ratios = || rounds.iter().filter_map(|round| round.ratio);
    let (min, max) = (ratios().fold(f64::INFINITY, f64::min), ratios().fold(0.0, f64::max));
    let time = |value: fn(&Measurement) -> u64| {
        let nanos = median(rounds.iter().map(|round| to_f64(value(round))));
        Duration::from_secs_f64(nanos / 1e9)
    };
    println!(
        "{:<15} {:<4} {:<14} {:>9.0} ns {:>7.2} {:>13} {:>11.0} {:>9.1?} {:>9.1?} {:>8}",
        scenario.name(),
        transport.name(),
        server.name(),
        median_of(|round| round.cpu),
        median(ratios()),
        format!("({min:.2}–{max:.2})"),
        median_of(|round| round.per_core),
        time(|round| round.p50),
        time(|round| round.p99),
        rounds.iter().map(|round| round.lost).sum::<u64>()
    );
}
