//! The table: medians over the rounds, and how far the ratios spread.

use std::time::Duration;

use crate::measure::{Figure, Plan};
use crate::scenario::{Scenario, Transport};
use crate::servers::Contestant;

pub(crate) fn print(plan: &Plan, contestants: &[Contestant], figures: &[Figure]) {
    println!(
        "{:<15} {:<4} {:<14} {:>12} {:>7} {:>13} {:>11} {:>9} {:>9} {:>8}",
        "scenario", "", "server", "CPU/delivery", "ratio", "(spread)", "/s and core", "p50", "p99", "lost"
    );
    for &scenario in &plan.scenarios {
        for &transport in &plan.transports {
            for &contestant in contestants {
                let of: Vec<&Figure> = chosen(figures, scenario, transport, contestant).collect();
                if scenario == Scenario::Idle {
                    let each = median(of.iter().filter_map(|figure| figure.memory).map(number));
                    let readers = of.first().map_or(0, |figure| figure.readers);
                    println!(
                        "{:<15} {:<4} {:<14} {each:>12.0} bytes of memory for each of {readers} readers",
                        scenario.name(),
                        transport.name(),
                        contestant.name()
                    );
                } else {
                    line(scenario, transport, contestant, &of);
                }
            }
        }
    }
}

fn line(scenario: Scenario, transport: Transport, contestant: Contestant, figures: &[&Figure]) {
    let over = |value: fn(&Figure) -> f64| median(figures.iter().map(|figure| value(figure)));
    let ratios = || figures.iter().filter_map(|figure| figure.ratio);
    let (least, most) = (ratios().fold(f64::INFINITY, f64::min), ratios().fold(0.0, f64::max));
    let time = |value: fn(&Figure) -> u64| {
        let nanos = median(figures.iter().map(|figure| number(value(figure))));
        Duration::from_secs_f64(nanos / 1e9)
    };
    println!(
        "{:<15} {:<4} {:<14} {:>9.0} ns {:>7.2} {:>13} {:>11.0} {:>9.1?} {:>9.1?} {:>8}",
        scenario.name(),
        transport.name(),
        contestant.name(),
        over(|figure| figure.cpu),
        median(ratios()),
        format!("({least:.2}–{most:.2})"),
        over(|figure| figure.per_core),
        time(|figure| figure.p50),
        time(|figure| figure.p99),
        figures.iter().map(|figure| figure.lost).sum::<u64>()
    );
}

pub(crate) fn chosen(
    figures: &[Figure],
    scenario: Scenario,
    transport: Transport,
    contestant: Contestant,
) -> impl Iterator<Item = &Figure> {
    figures.iter().filter(move |figure| {
        figure.scenario == scenario && figure.transport == transport && figure.contestant == contestant
    })
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[odd / 2],
        even => values[even / 2 - 1].midpoint(values[even / 2]),
    }
}

#[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
pub(crate) fn number(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_of_an_even_number_too() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()).to_bits(), 2.0_f64.to_bits());
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()).to_bits(), 2.5_f64.to_bits());
        assert!(median([].into_iter()).is_nan());
    }
}
